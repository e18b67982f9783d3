"""Programs as JSON, version 1. A file is somebody's word: every value is bounded before it is used.

`schemas/program-v1.json` says the same to others, but for the sum of all lengths.
"""

from __future__ import annotations

import json
import re
from importlib import resources
from typing import TYPE_CHECKING, Any

from addcow_conformance.programs._backing import LARGEST_QCOW2
from addcow_conformance.programs._program import (
    OPERATIONS,
    Backing,
    BackingKind,
    Disk,
    Operation,
    PowerLoss,
    Program,
    Race,
    Resize,
    StorageKind,
    Via,
)
from addcow_spec.errors import UsageError
from addcow_spec.model import Revision

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from enum import StrEnum

__all__ = ["LARGEST_FILE", "dump_program", "load_program", "program_schema"]

VERSION = 1
LARGEST_FILE = 16 << 20

_MARK = "add-cow program"
# A disk has one bit for each unit, and the oracle a number: 8 GiB in v10, 64 MiB in v4 and v6.
_DISK = 8 << 30
_UNITS = 1 << 17
_DATA = 64 << 20
_ALL_DATA = 128 << 20
_PAGE = 4096
_STEPS = 100_000
_TEXT = 1 << 16

_RULE = re.compile("(ACW-[A-Z][A-Z0-9]{2}-[0-9]{3})?")
_FILE_NAME = re.compile("[!-~]{1,64}")
_SECTOR = re.compile("0|[1-9][0-9]{0,10}")
_REQUESTS = ("read", "write", "zeroes", "flush", "stream")


class _Reader:
    """A value with its place in the file, for errors."""

    def __init__(self, value: Any, place: str) -> None:  # noqa: ANN401 - whatever JSON holds
        self.value = value
        self.place = place

    def wrong(self, wanted: str) -> UsageError:
        return UsageError(f"program: {self.place or 'the file'}: {wanted} is wanted")

    def number(self, largest: int, least: int = 0) -> int:
        if type(self.value) is not int or not least <= self.value <= largest:
            raise self.wrong(f"a number from {least} to {largest}")
        return self.value

    def flag(self) -> bool:
        if type(self.value) is not bool:
            raise self.wrong("true or false")
        return self.value

    def text(self) -> str:
        if type(self.value) is not str or len(self.value) > _TEXT:
            raise self.wrong(f"text of at most {_TEXT} characters")
        if self.value != _fit_for_text(self.value):
            raise self.wrong("text without halves of characters")
        return self.value

    def rule(self) -> str:
        if not _RULE.fullmatch(self.text()):
            raise self.wrong("the id of a rule")
        return self.text()

    def word(self, words: type[StrEnum]) -> Any:  # noqa: ANN401 - the caller's enumeration
        if self.value not in list(words):
            raise self.wrong(f"one of {', '.join(words)}")
        return words(self.value)

    def items(self) -> list[_Reader]:
        if type(self.value) is not list or len(self.value) > _STEPS:
            raise self.wrong(f"a list of at most {_STEPS}")
        return [_Reader(item, f"{self.place}[{at}]") for at, item in enumerate(self.value)]

    def members(
        self,
        known: Iterable[str] | None = None,
        needed: tuple[str, ...] = (),
        *,
        names: re.Pattern[str] | None = None,
    ) -> dict[str, _Reader]:
        """The members of an object; those that are not known are refused."""
        if type(self.value) is not dict or len(self.value) > _STEPS:
            raise self.wrong("an object")
        for name in needed:
            if name not in self.value:
                raise self.wrong(f'"{name}"')
        for name in self.value:
            if (known is not None and name not in known) or (names and not names.fullmatch(name)):
                raise self.wrong(f"no {name[:40]!a}")
        place = f"{self.place}." if self.place else ""
        return {name: _Reader(item, place + name) for name, item in self.value.items()}


def _request(reader: _Reader) -> Operation:
    if reader.members(needed=("do",))["do"].value not in _REQUESTS:
        raise reader.wrong(f"one of {', '.join(_REQUESTS)}")
    return _operation(reader)


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
    members = reader.members(("do", *kind._fields), needed)
    return kind(**{name: _FIELDS[name](item) for name, item in members.items() if name != "do"})


def _backing(reader: _Reader) -> Backing:
    members = reader.members(Backing._fields, Backing._fields)
    kind = members["kind"].word(BackingKind)
    return Backing(kind, members["size"].number(LARGEST_QCOW2 if kind is BackingKind.QCOW2 else _DATA))


_DISK_FIELDS: dict[str, Callable[[_Reader], Any]] = {
    "revision": lambda reader: reader.word(Revision),
    "size": lambda reader: reader.number(_DISK),
    "backing": _optional(_backing),
    "fill": lambda reader: reader.number(255),
    "cache_size": lambda reader: reader.number(_DATA, _PAGE),
}


def _disk(reader: _Reader) -> Disk:
    members = reader.members(_DISK_FIELDS, ("revision", "size"))
    return Disk(**{name: _DISK_FIELDS[name](item) for name, item in members.items()})


def _power_loss(reader: _Reader) -> PowerLoss:
    members = reader.members(PowerLoss._fields, PowerLoss._fields)
    lengths = {
        name: item.number(_STEPS) for name, item in members["lengths"].members(names=_FILE_NAME).items()
    }
    sectors = {
        name: {int(number): value.number(_STEPS) for number, value in item.members(names=_SECTOR).items()}
        for name, item in members["sectors"].members(names=_FILE_NAME).items()
    }
    return PowerLoss(members["after"].number(_STEPS), lengths, sectors)


_PROGRAM_FIELDS: dict[str, Callable[[_Reader], Any]] = {
    "disk": _disk,
    "operations": lambda reader: tuple(map(_operation, reader.items())),
    "storage": lambda reader: reader.word(StorageKind),
    "power_loss": _optional(_power_loss),
    "rule": _Reader.rule,
    "note": _Reader.text,
}


def load_program(text: str | bytes) -> Program:
    """A program from JSON.

    Raises:
        UsageError: it is no program of version 1, or a value is out of bounds; the message says where.
    """
    try:
        data = text.encode() if isinstance(text, str) else text
        if len(data) > LARGEST_FILE:
            raise UsageError(f"program: more than {LARGEST_FILE} bytes")
        value = json.loads(data.decode(), object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"program: no JSON: {error}") from error
    reader = _Reader(value, "")
    members = reader.members((_MARK, *_PROGRAM_FIELDS), (_MARK, "disk", "operations"))
    if members[_MARK].number(_STEPS) != VERSION:
        raise members[_MARK].wrong(f"version {VERSION}")
    program = Program(
        **{name: _PROGRAM_FIELDS[name](item) for name, item in members.items() if name != _MARK}
    )
    _check_memory(program)
    return program


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object of these members. Where a name comes twice, one would hide the other."""
    members = dict(pairs)
    if len(members) != len(pairs):
        raise UsageError("program: a name comes twice in an object")
    return members


def _check_memory(program: Program) -> None:
    """Refuse what would take gigabytes to run."""
    largest = _UNITS * program.disk.unit_size
    if program.disk.size > largest:
        raise UsageError(f"program: disk.size: {program.disk.revision} has at most {largest} bytes here")
    total = 0
    for at, operation in enumerate(program.operations):
        if isinstance(operation, Resize) and operation.size > largest:
            raise UsageError(f"program: operations[{at}].size: at most {largest} is wanted")
        for part in (operation.first, operation.second) if isinstance(operation, Race) else (operation,):
            total += getattr(part, "length", 0)
    if total > _ALL_DATA:
        raise UsageError(f"program: all lengths together are {total}, and more than {_ALL_DATA}")


def program_schema() -> dict[str, Any]:
    """The JSON Schema of a program."""
    text = resources.files(__package__).joinpath("schemas/program-v1.json").read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema


def _fit_for_text(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


def dump_program(program: Program) -> str:
    """The JSON of a program: an operation a line, and nothing that is a default. A long note is cut."""
    program = program._replace(note=_fit_for_text(program.note)[:_TEXT])
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
