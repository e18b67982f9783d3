"""The headers declared once, with `construct`: everything else is derived from these tables.

A layout is a table of fields, each with the offset that the specification gives it. The offsets are not
used to parse: they are compared with the sizes of the fields before them when the module is loaded, so a
wrong offset or a forgotten field cannot go unseen. The exports (Kaitai Struct, libmagic, fuzzing dictionary)
are made from the same tables through `Layout.fields`.

This is the one module that imports construct.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from typing import Any, Literal, NamedTuple

from construct import (
    Bytes,
    Const,
    Int8ub,
    Int32ub,
    Int32ul,
    Int64ub,
    Int64ul,
    Struct,
    this,
)

from addcow_spec.model import MAGIC, QCOW2_MAGIC, VERSION, Span

__all__ = [
    "ADDCOW_V4",
    "ADDCOW_V6",
    "ADDCOW_V10",
    "QCOW2_EXTENSION",
    "QCOW2_EXTENSION_START",
    "QCOW2_FEATURE_NAME",
    "QCOW2_V2",
    "QCOW2_V3_FIELDS",
    "Field",
    "Layout",
    "Pointer",
]


class Field(NamedTuple):
    """A field of a layout.

    Attributes:
        name: its name, unique in the layout.
        offset: its offset in bytes from the start of the layout, as the specification states it.
        type: construct's type of it.
        doc: what it holds, in one line.
        enum: names of known values or bits, for the exports.
    """

    name: str
    offset: int
    type: Any
    doc: str
    enum: tuple[tuple[str, int], ...] = ()

    @property
    def size(self) -> int:
        """Length in bytes."""
        return int(self.type.sizeof())

    @property
    def kind(self) -> Literal["magic", "constant", "integer", "bytes"]:
        """What sort of field this is."""
        if isinstance(self.type, Const):
            return "magic" if isinstance(self.type.value, bytes) else "constant"
        return "bytes" if isinstance(self.type, Bytes) else "integer"

    @property
    def value(self) -> bytes | int | None:
        """The only value that a constant or magic may have."""
        return self.type.value if isinstance(self.type, Const) else None

    @property
    def byte_order(self) -> Literal["le", "be"] | None:
        """Byte order of an integer; None for bytes."""
        if self.kind in ("magic", "bytes"):
            return None
        return "le" if self._content.fmtstr.startswith("<") else "be"

    @property
    def code(self) -> str:
        """What stands for it in a format of `struct`, without the byte order."""
        content = self._content
        return f"{self.size}s" if isinstance(content, Bytes) else str(content.fmtstr[1:])

    @property
    def _content(self) -> Any:  # noqa: ANN401 - construct has no types
        return self.type.subcon if isinstance(self.type, Const) else self.type


class Pointer(NamedTuple):
    """A string elsewhere in the file that two integer fields locate."""

    name: str
    offset_field: str
    size_field: str
    doc: str


class Layout:
    """Consecutive fields, their offsets proven when the layout is made.

    Attributes:
        name: identifier, used by the exports.
        title: what it is, in one line.
        fields: the fields in order.
        pointers: strings that fields locate.
        start: offset of the first field.
        end: offset of the first byte after the last field.
        struct: construct's type of the whole.
        spans: where each field is in the file.
        variables: names of the fields that are no constants, which come first.
    """

    def __init__(
        self,
        name: str,
        title: str,
        fields: tuple[Field, ...],
        pointers: tuple[Pointer, ...] = (),
        *,
        start: int = 0,
    ) -> None:
        self.name = name
        self.title = title
        self.fields = fields
        self.pointers = pointers
        self.start = self.end = start
        for field in fields:
            if field.offset != self.end:
                raise AssertionError(f"{name}.{field.name}: offset {field.offset}, fields end at {self.end}")
            self.end += field.size
        self.struct: Any = Struct(*(field.name / field.type for field in fields))
        little = any(field.byte_order == "le" for field in fields)
        codes = "".join(field.code for field in fields)
        self.spans = {field.name: Span(field.offset, field.size) for field in fields}
        self.variables = tuple(field.name for field in fields if field.value is None)
        constant = fields[: len(fields) - len(self.variables)]
        if any(field.value is None for field in constant):
            raise AssertionError(f"{name}: a constant comes after a field that is none")
        self._flat = struct.Struct(("<" if little else ">") + codes)
        self._names = tuple(field.name for field in fields)
        self._begins = tuple((field.name, field.size, field.type.build(None)) for field in constant)
        self._head = b"".join(begin for _, _, begin in self._begins)
        self._ends = tuple(field.offset + field.size - start for field in fields)

    def parse(self, data: bytes) -> dict[str, Any] | None:
        """The fields of the layout that ``data`` starts with, by name; None where there is a `fault`.

        Every opening passes here, and every file that is refused; construct takes ten times as long.
        """
        if data.startswith(self._head) and len(data) >= self._flat.size:
            return dict(zip(self._names, self._flat.unpack_from(data), strict=True))
        return None

    def fault(self, data: bytes) -> str:
        """The name of the first field that is missing, or not the constant that it has to be."""
        at = 0
        for name, size, constant in self._begins:
            if data[at : at + size] != constant:
                return name
            at += size
        return self._names[bisect_right(self._ends, len(data))]

    def field(self, name: str) -> Field:
        """The field of that name; KeyError where there is none."""
        for field in self.fields:
            if field.name == name:
                return field
        raise KeyError(name)


_FEATURES_V10 = (("BACKING_FILE", 0x1), ("BACKING_FORMAT_NO_PROBE", 0x2))

ADDCOW_V10 = Layout(
    "addcow_v10",
    "add-cow header, revision v10 (June 2012), little endian",
    (
        Field("magic", 0, Const(MAGIC), "ADD_COW and the byte 0xff"),
        Field("version", 8, Const(VERSION, Int32ul), "version of the format"),
        Field("backing_filename_offset", 12, Int32ul, "offset of the backing file's name; 0 without one"),
        Field("backing_filename_size", 16, Int32ul, "length of that name in bytes, no terminator"),
        Field("image_filename_offset", 20, Int32ul, "offset of the image file's name"),
        Field("image_filename_size", 24, Int32ul, "length of that name in bytes, no terminator"),
        Field("features", 28, Int64ul, "feature bits", _FEATURES_V10),
        Field("reserved", 36, Bytes(4060), "holds the names; zero elsewhere"),
    ),
    (
        Pointer(
            "backing_filename", "backing_filename_offset", "backing_filename_size", "backing file's name"
        ),
        Pointer("image_filename", "image_filename_offset", "image_filename_size", "name of the image file"),
    ),
)

_FIELDS_V4 = (
    Field("magic", 0, Const(MAGIC), "ADD_COW and the byte 0xff"),
    Field("version", 8, Const(VERSION, Int32ub), "version of the format"),
    Field("backing_file", 12, Bytes(1024), "backing file's name, padded with zeros"),
    Field("image_file", 1036, Bytes(1024), "image file's name, padded with zeros"),
    Field("size", 2060, Int64ub, "virtual size of the disk in bytes"),
)

ADDCOW_V4 = Layout("addcow_v4", "add-cow header, revision v4 (October 2011), big endian", _FIELDS_V4)

ADDCOW_V6 = Layout(
    "addcow_v6",
    "add-cow header, revision v6 (December 2011), big endian",
    (*_FIELDS_V4, Field("reserved", 2068, Bytes(492), "zero; aligns the bitmap to a sector")),
)

QCOW2_V2 = Layout(
    "qcow2_header_v2",
    "qcow2 header, the 72 bytes that versions 2 and 3 share, big endian",
    (
        Field("magic", 0, Const(QCOW2_MAGIC), "QFI and the byte 0xfb"),
        Field("version", 4, Int32ub, "2 or 3"),
        Field("backing_file_offset", 8, Int64ub, "offset of the backing file's name; 0 without one"),
        Field("backing_file_size", 16, Int32ub, "length of that name in bytes"),
        Field("cluster_bits", 20, Int32ub, "a cluster has 1 << cluster_bits bytes"),
        Field("size", 24, Int64ub, "virtual size of the disk in bytes"),
        Field("crypt_method", 32, Int32ub, "0: not encrypted"),
        Field("l1_size", 36, Int32ub, "entries in the active L1 table"),
        Field("l1_table_offset", 40, Int64ub, "offset of the active L1 table"),
        Field("refcount_table_offset", 48, Int64ub, "offset of the refcount table"),
        Field("refcount_table_clusters", 56, Int32ub, "clusters that the refcount table takes"),
        Field("nb_snapshots", 60, Int32ub, "number of internal snapshots"),
        Field("snapshots_offset", 64, Int64ub, "offset of the snapshot table"),
    ),
    (Pointer("backing_file", "backing_file_offset", "backing_file_size", "name of the backing file"),),
)

QCOW2_V3_FIELDS = Layout(
    "qcow2_header_v3",
    "the fields that qcow2 version 3 adds",
    (
        Field("incompatible_features", 72, Int64ub, "an unknown bit forbids to open the image"),
        Field("compatible_features", 80, Int64ub, "unknown bits are ignored"),
        Field("autoclear_features", 88, Int64ub, "a writer clears unknown bits first"),
        Field("refcount_order", 96, Int32ub, "a refcount has 1 << refcount_order bits, at most 64"),
        Field("header_length", 100, Int32ub, "length of the header in bytes, at least 104"),
    ),
    start=72,
)

QCOW2_EXTENSION = Struct(
    "type" / Int32ub,
    "length" / Int32ub,
    "data" / Bytes(this.length),
    "padding" / Bytes(-this.length % 8),
)
# Type and length, from which a parser tells where the next extension is; construct takes ten times as long.
QCOW2_EXTENSION_START = struct.Struct(
    ">" + "".join(field.subcon.fmtstr[1:] for field in QCOW2_EXTENSION.subcons[:2])
)

QCOW2_FEATURE_NAME = Layout(
    "qcow2_feature_name",
    "entry of qcow2's feature name table",
    (
        Field(
            "kind",
            0,
            Int8ub,
            "feature bitmap that the bit belongs to",
            (("incompatible", 0), ("compatible", 1), ("autoclear", 2)),
        ),
        Field("bit", 1, Int8ub, "number of the bit, 0 to 63"),
        Field("raw_name", 2, Bytes(46), "name, padded with zeros"),
    ),
)
