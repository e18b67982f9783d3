"""The Kaitai Struct exports compiled to Python, and what they and the codec read in comparable form."""

from __future__ import annotations

import importlib.util
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import kaitaistruct
import yaml

from addcow_spec.codec import parse_feature_names, parse_header, parse_qcow2, qcow2_backing_name
from addcow_spec.errors import MalformedImage
from addcow_spec.model import ExtensionType, Features, HeaderV10, Qcow2Header, Revision, Role

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import ModuleType

__all__ = ["EXPORTS", "FORMATS", "Refusal", "Specifications", "by_codec"]

EXPORTS = Path(__file__).parents[2] / "spec" / "exports"
COMPILER = Path(__file__).parents[1] / "node" / "compile_ksy.js"

FORMATS = ("addcow_v4", "addcow_v6", "addcow_v10", "qcow2_header")

_Values = dict[str, Any]


class Refusal(NamedTuple):
    """Why a parser refused: the field at fault, empty where it does not say; whether bytes are missing."""

    field: str
    cut: bool


def by_codec(name: str, data: bytes) -> _Values | Refusal:
    """What the codec reads, or why it refuses."""
    try:
        return _qcow2_values(data) if name == "qcow2_header" else _add_cow_values(name, data)
    except MalformedImage as error:
        missing = error.span is not None and error.span.end > len(data)
        return Refusal(error.field, missing or error.field.endswith("].length"))


def _add_cow_values(name: str, data: bytes) -> _Values:
    revision = Revision(name.removeprefix("addcow_"))
    header = parse_header(data, revision)
    values: _Values = {slot: getattr(header, slot) for slot in _slots(header)}
    if not isinstance(header, HeaderV10):
        values |= {"backing_name": header.name(Role.BACKING), "image_name": header.name(Role.IMAGE)}
    else:
        values |= {"backing_filename": header.name(Role.BACKING), "image_filename": header.name(Role.IMAGE)}
    return values | {"bitmap": data[header.LENGTH :]}


def _slots(header: object) -> list[str]:
    return [slot for kind in type(header).__mro__ for slot in getattr(kind, "__slots__", ())]


def _qcow2_values(data: bytes) -> _Values:
    header = parse_qcow2(data)
    values = header._asdict()
    values["extensions"] = [_extension(found.type, found.data, found.padding) for found in header.extensions]
    return values | {"backing_file_name": qcow2_backing_name(header, data)}


def _extension(kind: int, data: bytes, padding: bytes) -> _Values:
    names = parse_feature_names(data) if kind == ExtensionType.FEATURE_NAMES else ()
    return {
        "type": kind,
        "data": data,
        "padding": padding,
        "names": [(found.kind, found.bit, found.name) for found in names],
    }


class Specifications:
    """The compiled specifications.

    Attributes:
        texts: the YAML of each, parsed.
    """

    def __init__(self, directory: Path) -> None:
        sources = [EXPORTS / f"{name}.ksy" for name in FORMATS]
        subprocess.run(["node", COMPILER, directory, *sources], check=True)
        self.texts: Mapping[str, Any] = {
            path.stem: yaml.safe_load(path.read_text("utf-8")) for path in sources
        }
        self._modules = {name: _imported(directory / f"{name}.py") for name in FORMATS}

    def read(self, name: str, data: bytes) -> _Values | Refusal:
        """What the compiled specification reads, or why it refuses."""
        kind = getattr(self._modules[name], name.title().replace("_", ""))
        try:
            found = kind.from_bytes(data)
        except kaitaistruct.ValidationFailedError as error:
            return Refusal(self._field(name, error.src_path), cut=False)
        except EOFError:
            return Refusal("", cut=True)
        return _qcow2_read(found) if name == "qcow2_header" else _add_cow_read(name, found)

    def _field(self, name: str, path: str) -> str:
        """The name of the attribute at a path such as ``/types/version_3/seq/4``."""
        node = self.texts[name]
        for step in path.strip("/").split("/"):
            node = node[int(step)] if isinstance(node, list) else node[step]
        return str(node["id"])


def _imported(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _add_cow_read(name: str, found: Any) -> _Values:
    if name == "addcow_v10":
        flags = found.features
        bits = flags.backing_file * 1 | flags.backing_format_no_probe * 2 | flags.unknown << 2
        numbers = [f"{role}_filename_{part}" for role in ("backing", "image") for part in ("offset", "size")]
        fields = (*numbers, "reserved", "backing_filename", "image_filename", "bitmap")
        return {field: getattr(found, field) for field in fields} | {"features": Features(bits)}
    values = {
        "backing_file": found._raw_backing_file,
        "image_file": found._raw_image_file,
        "backing_name": found.backing_file.name or None,
        "image_name": found.image_file.name or None,
        "size": found.size,
        "bitmap": found.bitmap,
    }
    return values | {"reserved": found.reserved} if name == "addcow_v6" else values


def _qcow2_read(found: Any) -> _Values:
    values: _Values = {
        "incompatible_features": 0,
        "compatible_features": 0,
        "autoclear_features": 0,
        "refcount_order": 4,
        "additional": b"",
    }
    parts = [found] if found.version == 2 else [found, found.version_3]
    for part in parts:
        values |= {field: getattr(part, field) for field in Qcow2Header._fields if hasattr(part, field)}
    entries = getattr(found.extension_area, "extensions", [])
    ended = bool(entries) and _number(entries[-1].type) == 0
    values["end_marker"] = b"\0\0\0\0" + entries[-1].length.to_bytes(4, "big") if ended else b""
    values["extensions"] = [_extension_read(entry) for entry in (entries[:-1] if ended else entries)]
    return values | {"backing_file_name": found.backing_file_name}


def _extension_read(entry: Any) -> _Values:
    table = entry.data.entries if hasattr(entry, "_raw_data") else []
    return {
        "type": _number(entry.type),
        "data": getattr(entry, "_raw_data", entry.data),
        "padding": entry.padding,
        "names": [(_number(row.kind), row.bit, row.name) for row in table],
    }


def _number(value: Any) -> int:
    return int(getattr(value, "value", value))
