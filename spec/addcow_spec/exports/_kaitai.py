"""The grammar as Kaitai Struct specifications, one file for each header.

What Kaitai calls an instance is read when it is asked for. Each one here has a condition, so that asking for
a name that does not lie where the format allows gives nothing instead of an error, as in the model.
"""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any, Final

import yaml

from addcow_spec.codec import LAYOUTS, QCOW2_CLUSTER_BITS
from addcow_spec.geometry import Geometry
from addcow_spec.grammar import (
    QCOW2_FEATURE_NAME,
    QCOW2_V2,
    QCOW2_V3_FIELDS,
)
from addcow_spec.model import ExtensionType, Revision

if TYPE_CHECKING:
    from addcow_spec.grammar import Field, Layout, Pointer

__all__ = ["kaitai"]

_Node = dict[str, Any]

_WIDTH: Final = 100

_NAMES_DOC: Final = "Names are bytes without an encoding, and hostile until proven otherwise."
_QCOW2_DOC: Final = (
    "The header of a qcow2 image with its extensions; the tables and clusters after it are left out. "
    "Give it the first cluster of the image: the extensions end there at the latest."
)


class _Flow(list[Any]):
    """A list that is written on one line."""


class _Hex(int):
    """A number that is written in hexadecimal."""


class _Block(str):
    """A text that is written as it is, over several lines."""

    __slots__ = ()


class _Dumper(yaml.SafeDumper):
    """Writes YAML as people lay it out: list items indented, no aliases."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002 - PyYAML's signature
        super().increase_indent(flow=flow, indentless=False)

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - PyYAML's signature
        return True


_Dumper.add_representer(
    _Flow, lambda dumper, data: dumper.represent_sequence("tag:yaml.org,2002:seq", data, flow_style=True)
)
_Dumper.add_representer(
    _Block, lambda dumper, data: dumper.represent_scalar("tag:yaml.org,2002:str", data, style="|")
)
_Dumper.add_representer(
    _Hex, lambda dumper, data: dumper.represent_scalar("tag:yaml.org,2002:int", f"{data:#x}")
)


def kaitai() -> dict[str, str]:
    """The text of each specification by the name of its file."""
    documents = [*(_add_cow(revision, layout) for revision, layout in LAYOUTS.items()), _qcow2()]
    return {f"{document['meta']['id']}.ksy": _text(document) for document in documents}


def _text(document: _Node) -> str:
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=_WIDTH)


def _wrapped(text: str) -> _Block:
    return _Block(textwrap.fill(text, _WIDTH - 2))


def _meta(name: str, title: str, extension: str, layout: Layout) -> _Node:
    (endian,) = {field.byte_order for field in layout.fields} - {None}
    return {
        "id": name,
        "title": title,
        "file-extension": extension,
        "license": "Apache-2.0",
        "ks-version": "0.10",
        "endian": endian,
    }


def _attribute(field: Field) -> _Node:
    """The attribute for a field whose type stands for itself."""
    node: _Node = {"id": field.name}
    if isinstance(field.value, bytes):
        text, last = field.value[:-1].decode("ascii"), field.value[-1]
        node["contents"] = _Flow([text, _Hex(last)])
    elif field.kind == "bytes":
        node["size"] = field.size
    else:
        node["type"] = f"u{field.size}"
        if field.value is not None:
            node["valid"] = field.value
    return node | {"doc": field.doc}


def _seq(layout: Layout, changes: dict[str, _Node]) -> list[_Node]:
    """The layout's attributes; ``changes`` says by field what an attribute has besides."""
    nodes = []
    for field in layout.fields:
        node = _attribute(field) | changes.get(field.name, {})
        nodes.append(node | {"doc": node.pop("doc")})
    return nodes


def _pointed(pointer: Pointer, first: int, end: str) -> _Node:
    """The instance for a name, absent unless it lies between byte ``first`` and ``end``.

    No sum is taken in the condition: in languages with fixed widths it could wrap.
    """
    offset, size = pointer.offset_field, pointer.size_field
    conditions = [
        f"{offset} >= {first}",
        f"{size} > 0",
        f"{size} <= {end}",
        f"{offset} <= {end} - {size}",
    ]
    return {"pos": offset, "size": size, "if": _Block("\nand ".join(conditions)), "doc": pointer.doc}


def _add_cow(revision: Revision, layout: Layout) -> _Node:
    changes: dict[str, _Node] = {}
    instances: _Node = {}
    types: _Node = {}
    if layout.pointers:
        reserved = layout.field("reserved")
        instances |= {p.name: _pointed(p, reserved.offset, str(layout.end)) for p in layout.pointers}
        changes["features"] = {"type": "features"}
        types["features"] = _flags(layout.field("features"))
    else:
        changes |= {name: {"type": "padded_name"} for name in ("backing_file", "image_file")}
        types["padded_name"] = _padded_name()
    instances["bitmap"] = {
        "pos": layout.end,
        "size-eos": True,
        "doc": f"a bit for each {Geometry(revision, 0).unit_size} bytes of the disk, the least significant"
        " first; with what follows it",
    }
    return {
        "meta": _meta(layout.name, layout.title, "add-cow", layout),
        "doc": _wrapped(f"The header of an add-cow file. {_NAMES_DOC}"),
        "doc-ref": "spec/02-header.md",
        "seq": _seq(layout, changes),
        "instances": instances,
        "types": types,
    }


def _flags(field: Field) -> _Node:
    """A type with one bit for each known flag, lowest first, and the unknown bits as a number."""
    known = [{"id": name.lower(), "type": "b1", "doc": f"{name}, {bit:#x}"} for name, bit in field.enum]
    unknown = {"id": "unknown", "type": f"b{field.size * 8 - len(known)}", "doc": "bits without a meaning"}
    return {"meta": {"bit-endian": field.byte_order}, "seq": [*known, unknown]}


def _padded_name() -> _Node:
    return {
        "doc": "A name that ends at the first NUL, or with the field.",
        "seq": [
            {"id": "name", "terminator": 0, "eos-error": False},
            {"id": "padding", "size-eos": True},
        ],
    }


def _qcow2() -> _Node:
    version_2 = QCOW2_V2.end
    (pointer,) = QCOW2_V2.pointers
    bits = QCOW2_CLUSTER_BITS
    limits: dict[str, _Node] = {
        "version": {"valid": {"any-of": _Flow([2, 3])}},
        "cluster_bits": {"valid": {"min": bits.start, "max": bits.stop - 1}},
    }
    name = f"{pointer.name}_name"
    return {
        "meta": _meta("qcow2_header", "qcow2 header, versions 2 and 3, big endian", "qcow2", QCOW2_V2),
        "doc": _wrapped(f"{_QCOW2_DOC} {_NAMES_DOC}"),
        "doc-ref": "spec/08-qcow2.md",
        "seq": [
            *_seq(QCOW2_V2, limits),
            {
                "id": "version_3",
                "type": "version_3",
                "if": "version == 3",
                "doc": QCOW2_V3_FIELDS.title,
            },
            {
                "id": "extension_area",
                "type": "extension_area",
                "size": "extensions_end - header_length",
                "doc": "header extensions, between the header and the backing file's name",
            },
        ],
        "instances": {
            "header_length": {
                "value": f"version == 3 ? version_3.header_length : {version_2}",
                "doc": "length of the header in bytes, without the extensions",
            },
            "extensions_end": {
                "value": _Block(
                    f"{pointer.offset_field} >= header_length and {pointer.offset_field} < _io.size\n"
                    f"? {pointer.offset_field}\n"
                    ": _io.size"
                ),
                "doc": "where the extensions end at the latest",
            },
            name: _pointed(pointer, 1, "_io.size"),
        },
        "types": {
            "version_3": _version_3(),
            "extension_area": {
                "seq": [
                    {
                        "id": "extensions",
                        "type": "extension",
                        "repeat": "until",
                        "repeat-until": "_.type == extension_type::end or _io.size - _io.pos < 8",
                        "if": "_io.size >= 8",
                        "doc": "the last one has the type end, unless the area is full",
                    }
                ]
            },
            "extension": _extension(),
            "feature_name_table": {
                "seq": [
                    {
                        "id": "entries",
                        "type": "feature_name",
                        "repeat": "expr",
                        "repeat-expr": "_io.size / sizeof<feature_name>",
                    }
                ]
            },
            "feature_name": {
                "doc": QCOW2_FEATURE_NAME.title,
                "seq": _seq(
                    QCOW2_FEATURE_NAME,
                    {"kind": {"enum": "feature_kind"}, "raw_name": {"id": "name", "pad-right": 0}},
                ),
            },
        },
        "enums": {
            "extension_type": {
                0: "end",
                **{_Hex(kind): kind.name.lower() for kind in ExtensionType},
            },
            "feature_kind": {value: name for name, value in QCOW2_FEATURE_NAME.field("kind").enum},
        },
    }


def _version_3() -> _Node:
    end = QCOW2_V3_FIELDS.end
    return {
        "seq": [
            *_seq(QCOW2_V3_FIELDS, {"header_length": {"valid": {"min": end, "max": "_io.size"}}}),
            {
                "id": "additional",
                "size": f"header_length - {end}",
                "doc": "fields that a later header has",
            },
        ]
    }


def _extension() -> _Node:
    present = "type != extension_type::end"
    return {
        "seq": [
            {"id": "type", "type": "u4", "enum": "extension_type"},
            {"id": "length", "type": "u4", "doc": "length of the data in bytes, without the padding"},
            {
                "id": "data",
                "size": "length",
                "type": {
                    "switch-on": "type",
                    "cases": {"extension_type::feature_names": "feature_name_table"},
                },
                "if": present,
            },
            {
                "id": "padding",
                "size": "(8 - length % 8) % 8",
                "if": present,
                "doc": "fills the data up to a multiple of 8",
            },
        ]
    }
