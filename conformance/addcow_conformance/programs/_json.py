"""Programs as JSON, version 1. A file is somebody's word: every value is bounded before it is used."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from addcow_conformance.programs._program import (
    OPERATIONS,
    Backing,
    BackingKind,
    Disk,
    Operation,
    PowerLoss,
    Program,
    Race,
    StorageKind,
    Via,
)
from addcow_spec.errors import UsageError
from addcow_spec.model import Revision

if TYPE_CHECKING:
    from collections.abc import Callable
    from enum import StrEnum

__all__ = ["LARGEST_FILE", "dump_program", "load_program"]

VERSION = 1
LARGEST_FILE = 16 << 20

_MARK = "add-cow program"
_DISK = 8 << 30
_DATA = 64 << 20
_STEPS = 100_000


class _Reader:
    """A value with its place in the file, for errors."""

    def __init__(self, value: Any, place: str) -> None:  # noqa: ANN401 - whatever JSON holds
        self.value = value
        self.place = place

    def wrong(self, wanted: str) -> UsageError:
        return UsageError(f"program: {self.place or 'the file'}: {wanted} is wanted")

    def number(self, largest: int) -> int:
        if type(self.value) is not int or not 0 <= self.value <= largest:
            raise self.wrong(f"a number from 0 to {largest}")
        return self.value

    def flag(self) -> bool:
        if type(self.value) is not bool:
            raise self.wrong("true or false")
        return self.value

    def text(self) -> str:
        if type(self.value) is not str:
            raise self.wrong("text")
        return self.value

    def word(self, words: type[StrEnum]) -> Any:  # noqa: ANN401 - the caller's enumeration
        if self.value not in list(words):
            raise self.wrong(f"one of {', '.join(words)}")
        return words(self.value)

    def items(self) -> list[_Reader]:
        if type(self.value) is not list or len(self.value) > _STEPS:
            raise self.wrong(f"a list of at most {_STEPS}")
        return [_Reader(item, f"{self.place}[{at}]") for at, item in enumerate(self.value)]

    def members(
        self, known: dict[str, Any] | None = None, needed: tuple[str, ...] = ()
    ) -> dict[str, _Reader]:
        """The members of an object; those that are not known are refused."""
        if type(self.value) is not dict or len(self.value) > _STEPS:
            raise self.wrong("an object")
        for name in needed:
            if name not in self.value:
                raise self.wrong(f'"{name}"')
        for name in self.value:
            if known is not None and name not in known:
                raise self.wrong(f"no {name!a}")
        place = f"{self.place}." if self.place else ""
        return {name: _Reader(item, place + ascii(name)[1:-1]) for name, item in self.value.items()}


def _request(reader: _Reader) -> Operation:
    request = _operation(reader)
    if type(request).__name__ not in {"Read", "Write", "Zeroes", "Flush", "Stream"}:
        raise reader.wrong("read, write, zeroes, flush or stream")
    return request


def _optional(read: Callable[[_Reader], Any]) -> Callable[[_Reader], Any]:
    return lambda reader: None if reader.value is None else read(reader)


# How each field of an operation is read, whatever the operation.
_FIELDS: dict[str, Callable[[_Reader], Any]] = {
    "offset": lambda reader: reader.number(2 * _DISK),
    "length": lambda reader: reader.number(_DATA),
    "seed": lambda reader: reader.number(1 << 32),
    "fua": _Reader.flag,
    "unmap": _Reader.flag,
    "writable": _Reader.flag,
    "via": lambda reader: reader.word(Via),
    "size": lambda reader: reader.number(_DISK),
    "steps": _optional(lambda reader: reader.number(_STEPS)),
    "after": lambda reader: reader.number(_STEPS),
    "code": lambda reader: reader.number(133),
    "partial": lambda reader: reader.number(_DATA),
    "pause": lambda reader: reader.number(_STEPS),
    "first": _request,
    "second": _request,
}


def _operation(reader: _Reader) -> Operation:
    do = reader.members(needed=("do",))["do"]
    if do.value not in list(OPERATIONS):
        raise do.wrong(f"one of {', '.join(OPERATIONS)}")
    kind = OPERATIONS[do.value]
    needed = tuple(name for name in kind._fields if name not in kind._field_defaults)
    members = reader.members(dict.fromkeys(("do", *kind._fields)), needed)
    return kind(**{name: _FIELDS[name](item) for name, item in members.items() if name != "do"})


def _backing(reader: _Reader) -> Backing:
    members = reader.members(dict.fromkeys(Backing._fields), Backing._fields)
    return Backing(members["kind"].word(BackingKind), members["size"].number(_DATA))


_DISK_FIELDS: dict[str, Callable[[_Reader], Any]] = {
    "revision": lambda reader: reader.word(Revision),
    "size": lambda reader: reader.number(_DISK),
    "backing": _optional(_backing),
    "fill": lambda reader: reader.number(255),
    "cache_size": lambda reader: reader.number(_DATA),
}


def _disk(reader: _Reader) -> Disk:
    members = reader.members(_DISK_FIELDS, ("revision", "size"))
    return Disk(**{name: _DISK_FIELDS[name](item) for name, item in members.items()})


def _power_loss(reader: _Reader) -> PowerLoss:
    members = reader.members(dict.fromkeys(PowerLoss._fields), PowerLoss._fields)
    lengths = {name: item.number(_STEPS) for name, item in members["lengths"].members().items()}
    sectors = {}
    for name, item in members["sectors"].members().items():
        values = item.members()
        if not all(key.isdecimal() and len(key) < 12 for key in values):
            raise item.wrong("numbers of sectors as names")
        sectors[name] = {int(key): value.number(_STEPS) for key, value in values.items()}
    return PowerLoss(members["after"].number(_STEPS), lengths, sectors)


_PROGRAM_FIELDS: dict[str, Callable[[_Reader], Any]] = {
    "disk": _disk,
    "operations": lambda reader: tuple(map(_operation, reader.items())),
    "storage": lambda reader: reader.word(StorageKind),
    "power_loss": _optional(_power_loss),
    "rule": _Reader.text,
    "note": _Reader.text,
}


def load_program(text: str | bytes) -> Program:
    """A program from JSON.

    Raises:
        UsageError: it is no program of version 1, or a value is out of bounds; the message says where.
    """
    if len(text) > LARGEST_FILE:
        raise UsageError(f"program: more than {LARGEST_FILE} bytes")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"program: no JSON: {error}") from error
    reader = _Reader(value, "")
    members = reader.members({_MARK: None, **_PROGRAM_FIELDS}, (_MARK, "disk", "operations"))
    if members[_MARK].value != VERSION:
        raise members[_MARK].wrong(f"version {VERSION}")
    return Program(**{name: _PROGRAM_FIELDS[name](item) for name, item in members.items() if name != _MARK})


def dump_program(program: Program) -> str:
    """The JSON of a program: an operation a line, and nothing that is a default."""
    head: dict[str, Any] = {_MARK: VERSION, **_plain(program)}
    head["disk"] = program.disk._asdict() | {
        "backing": program.disk.backing and program.disk.backing._asdict()
    }
    if program.power_loss:
        head["power_loss"] = program.power_loss._asdict()
    operations = head.pop("operations", [])
    lines = [f"  {json.dumps(name)}: {json.dumps(value)}," for name, value in head.items()]
    body = ",\n".join(f"    {json.dumps(_operation_json(operation))}" for operation in operations)
    lines += ['  "operations": [', body, "  ]"] if body else ['  "operations": []']
    return "{\n" + "\n".join(lines) + "\n}\n"


def _plain(part: Any) -> dict[str, Any]:  # noqa: ANN401 - any NamedTuple of a program
    """The fields that are not at their default."""
    fields = part._asdict()
    return {
        name: value
        for name, value in fields.items()
        if name not in part._field_defaults or value != part._field_defaults[name]
    }


def _operation_json(operation: Operation) -> dict[str, Any]:
    fields = _plain(operation)
    if isinstance(operation, Race):
        fields |= {name: _operation_json(getattr(operation, name)) for name in ("first", "second")}
    return {"do": type(operation).__name__.lower(), **fields}
