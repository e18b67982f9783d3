"""What the walk knows of a layer, and how a layer names the one below it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from addcow_conformance.checker._model import FileFormat, HeaderField
from addcow_spec.codec import LAYOUTS
from addcow_spec.geometry import SECTOR_SIZE
from addcow_spec.model import MAGIC, QCOW2_MAGIC, Features, Header, HeaderV10, Role, Span
from addcow_spec.text import printable

if TYPE_CHECKING:
    from addcow_conformance.checker._files import OpenFile
    from addcow_conformance.checker._qcow2 import Qcow2Layer
    from addcow_spec.grammar import Field

__all__ = [
    "Layer",
    "Reference",
    "add_cow_reference",
    "header_fields",
    "name_field",
    "probe",
    "qcow2_reference",
    "usable_name",
]

_FORMATS = {b"raw": FileFormat.RAW, b"qcow2": FileFormat.QCOW2, b"add-cow": FileFormat.ADD_COW}

# Where QEMU's probes look for the formats that a raw disk may be mistaken for.
_PROBES = (
    (0, MAGIC, FileFormat.ADD_COW, "add-cow"),
    (0, QCOW2_MAGIC, FileFormat.QCOW2, "qcow2"),
    (0, b"KDMV", FileFormat.RAW, "VMDK"),
    (0, b"COWD", FileFormat.RAW, "VMDK 3"),
    (0, b"vhdxfile", FileFormat.RAW, "VHDX"),
    (0, b"conectix", FileFormat.RAW, "VHD"),
    (0, b"QED\0", FileFormat.RAW, "QED"),
    (0, b"LUKS\xba\xbe", FileFormat.RAW, "LUKS"),
    (0, b"WithoutFreeSpace", FileFormat.RAW, "Parallels"),
    (0, b"WithouFreSpacExt", FileFormat.RAW, "Parallels"),
    (0x40, b"\x7f\x10\xda\xbe", FileFormat.RAW, "VDI"),
)


@dataclass(slots=True)
class Layer:
    """A file that guest data comes from, as the walk goes down; ``virtual_size`` is None where unknown."""

    index: int
    file: OpenFile
    format: FileFormat
    header: Header | None = None
    virtual_size: int | None = None
    backed: bool = False


class Reference(NamedTuple):
    """A backing file as the layer above names it; ``stated`` is None where its format is left to a probe."""

    layer: Layer
    name: bytes
    span: Span
    field: str
    stated: FileFormat | None
    blame: tuple[Span, str]


def probe(file: OpenFile) -> tuple[FileFormat, str]:
    """What the content of a backing file is taken for where no format is stated, and the format's name.

    Formats that this project does not read are taken for raw.

    Raises:
        StorageError: reading failed.
    """
    start = file.read(0, SECTOR_SIZE)
    for offset, magic, kind, name in _PROBES:
        if start.startswith(magic, offset):
            return kind, name
    return FileFormat.RAW, "raw"


def qcow2_reference(layer: Layer, found: Qcow2Layer) -> Reference | None:
    """The backing file that a qcow2 layer names, None without one."""
    if not found.has_usable_name:
        return None
    stated, header = found.backing_format, found.header
    span = Span(header.backing_file_offset, header.backing_file_size)
    return Reference(
        layer=layer,
        name=found.backing_name,
        span=span,
        field="backing_file",
        stated=None if stated is None else _FORMATS.get(stated, FileFormat.OTHER),
        blame=(span, "backing_file"),
    )


def usable_name(header: Header, role: Role) -> bytes | None:
    """A name that can be a path: present, and without the NUL that ACW-NAM-007 forbids."""
    name = header.name(role)
    return None if name is None or b"\0" in name else name


def name_field(header: Header, role: Role) -> str:
    return f"{role}_filename" if isinstance(header, HeaderV10) else f"{role}_file"


def add_cow_reference(layer: Layer, header: Header) -> Reference | None:
    name = usable_name(header, Role.BACKING)
    if name is None:
        return None
    span, field = header.name_span(Role.BACKING), name_field(header, Role.BACKING)
    if not isinstance(header, HeaderV10):
        return Reference(layer, name, span, field, None, (span, field))
    raw = Features.BACKING_FORMAT_NO_PROBE in header.features
    stated = FileFormat.RAW if raw else None
    return Reference(layer, name, span, field, stated, (Span(28, 8), "features"))


def header_fields(header: Header) -> tuple[HeaderField, ...]:
    """The header's fields as people want to see them; names of v10 follow the field that holds them."""
    found = []
    for field in _FIELDS[header.revision]:
        if isinstance(field, HeaderField):
            found.append(field)
            continue
        name, span = field
        held = getattr(header, name)
        value = printable(held.partition(b"\0")[0]) if isinstance(held, bytes) else held
        found.append(HeaderField(name, span, value))
    if isinstance(header, HeaderV10):
        for role in (Role.IMAGE, Role.BACKING):
            stored = header.name(role)
            if stored is not None:
                found.append(HeaderField(f"{role}_filename", header.name_span(role), printable(stored)))
    return tuple(found)


def _shown(field: Field) -> HeaderField | tuple[str, Span]:
    """A field that is shown the same for every header; of the others where it is."""
    span = Span(field.offset, field.size)
    if field.name == "reserved":
        return HeaderField(field.name, span, f"{field.size} bytes")
    if field.value is None:
        return field.name, span
    return HeaderField(
        field.name, span, field.value.hex(" ") if isinstance(field.value, bytes) else field.value
    )


_FIELDS = {revision: tuple(map(_shown, layout.fields)) for revision, layout in LAYOUTS.items()}
