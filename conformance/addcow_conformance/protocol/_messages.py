"""The messages, as tables: what each request and each result holds, and a check of either.

`schemas/v1.json` says the same in the language of JSON Schema; a test holds the two together.
"""

from __future__ import annotations

import binascii
import json
import re
from collections.abc import Callable
from typing import Any, NoReturn, TypeAlias

from addcow_spec.errors import ProtocolViolation
from addcow_spec.model import Revision

__all__ = [
    "CAPABILITIES",
    "LARGEST_DATA",
    "LARGEST_NUMBER",
    "LONGEST_LINE",
    "LONGEST_TEXT",
    "REQUESTS",
    "RESULTS",
    "VERSION",
    "Message",
    "check_answer",
    "check_request",
    "check_result",
    "decode_line",
    "encode_line",
]

VERSION = 1

# Bytes of a line with its newline, and bytes of data in a message: its base64 fits a line twice over.
LONGEST_LINE = 16 << 20
LARGEST_DATA = 4 << 20
LONGEST_TEXT = 1 << 16
# What every language's JSON has exactly.
LARGEST_NUMBER = (1 << 53) - 1

# What an implementation may say of itself; the contract has what each means.
CAPABILITIES = (
    "create",
    "write",
    "zeroes",
    "extents",
    "resize",
    "stream",
    "info",
    "fua",
    "parallel",
    "directory",
    "kill",
    "backing-qcow2",
    "backing-add-cow",
)

Message: TypeAlias = dict[str, Any]
_Check: TypeAlias = Callable[[Any], bool]

_SEQ = re.compile("[!-~]{1,64}")
_RULE = re.compile("ACW-[A-Z][A-Z0-9]{2}-[0-9]{3}")


def _text(value: Any) -> bool:  # noqa: ANN401 - whatever JSON holds
    if type(value) is not str or len(value) > LONGEST_TEXT:
        return False
    # A half of a character cannot be said in UTF-8.
    return value.isascii() or not any("\ud800" <= character <= "\udfff" for character in value)


def _name(value: Any) -> bool:  # noqa: ANN401
    return _text(value) and bool(value) and "\0" not in value


def _number(value: Any) -> bool:  # noqa: ANN401
    return type(value) is int and 0 <= value <= LARGEST_NUMBER


def _flag(value: Any) -> bool:  # noqa: ANN401
    return type(value) is bool


def _data(value: Any) -> bool:  # noqa: ANN401
    if type(value) is not str or len(value) > (LARGEST_DATA + 2) // 3 * 4:
        return False
    try:
        return len(binascii.a2b_base64(value, strict_mode=True)) <= LARGEST_DATA
    except ValueError:
        return False


def _one_of(*words: object) -> _Check:
    return lambda value: type(value) is str and value in words


def _or_null(check: _Check) -> _Check:
    return lambda value: value is None or check(value)


def _list_of(check: _Check, *, least: int = 0) -> _Check:
    return lambda value: type(value) is list and len(value) >= least and all(map(check, value))


def _set_of(*words: str) -> _Check:
    def check(value: Any) -> bool:  # noqa: ANN401
        return type(value) is list and all(map(_one_of(*words), value)) and len(set(value)) == len(value)

    return check


_EXTENT: dict[str, _Check] = {
    "start": _number,
    "length": lambda value: _number(value) and value > 0,
    "depth": _number,
    "present": _flag,
    "zero": _flag,
}


def _extent(value: Any) -> bool:  # noqa: ANN401
    return (
        type(value) is dict
        and value.keys() == _EXTENT.keys()
        and all(check(value[name]) for name, check in _EXTENT.items())
    )


_revision = _one_of(*map(str, Revision))
_range = {"offset": _number, "length": _number}

REQUESTS: dict[str, dict[str, _Check]] = {
    "start": {"protocol": lambda value: type(value) is int and value == VERSION},
    "create": {
        "path": _name,
        "image_file": _name,
        "backing_file": _or_null(_name),
        "backing_format": _or_null(_one_of("raw")),
        "revision": _revision,
    },
    "open": {"path": _name, "directory": _or_null(_name), "writable": _flag, "revision": _revision},
    "read": {
        "offset": _number,
        "length": lambda value: _number(value) and value <= LARGEST_DATA,
    },
    "write": {"offset": _number, "data": _data, "fua": _flag},
    "zeroes": {**_range, "unmap": _flag, "fua": _flag},
    "flush": {},
    "extents": dict(_range),
    "info": {},
    "resize": {"size": _number},
    "stream": {"length": _or_null(_number)},
    "close": {},
    "kill": {},
}

RESULTS: dict[str, dict[str, _Check]] = {
    "start": {
        "protocol": lambda value: type(value) is int and value == VERSION,
        "name": _name,
        "version": _text,
        "language": _text,
        "homepage": _text,
        "issues": _text,
        "revisions": lambda value: bool(value) and _set_of(*map(str, Revision))(value),
        "capabilities": _set_of(*CAPABILITIES),
    },
    "create": {},
    "open": {"size": _number},
    "read": {"data": _data},
    "write": {},
    "zeroes": {},
    "flush": {},
    "extents": {"extents": _list_of(_extent)},
    "info": {
        "size": _number,
        "revision": _revision,
        "image_file": _name,
        "backing_file": _or_null(_name),
    },
    "resize": {"size": _number},
    "stream": {"complete": _flag},
    "close": {},
    "kill": {},
}

_REFUSED: dict[str, _Check] = {"reason": _text, "rule": lambda value: _text(value) and _is_rule(value)}
_OUTCOMES = ("result", "refused", "error")


def _is_rule(value: str) -> bool:
    return bool(_RULE.fullmatch(value))


def _is_seq(value: Any) -> bool:  # noqa: ANN401
    return type(value) is str and bool(_SEQ.fullmatch(value))


def _wrong(what: str) -> NoReturn:
    raise ProtocolViolation(what)


def _members(value: Any, checks: dict[str, _Check], where: str, *, optional: tuple[str, ...] = ()) -> None:  # noqa: ANN401
    if type(value) is not dict:
        _wrong(f"{where} is no object")
    for name in value:
        if name not in checks:
            _wrong(f"{where} has a member {name[:40]!a}, which is not known")
    for name, check in checks.items():
        if name not in value:
            if name not in optional:
                _wrong(f"{where} has no member {name!a}")
        elif not check(value[name]):
            _wrong(f"{where}: {name} is not what it can be")


def check_request(message: Message) -> str:
    """Check a request; its kind.

    Raises:
        ProtocolViolation: it is none.
    """
    if not _is_seq(message.get("seq")):
        _wrong("a request has no seq of 1 to 64 printable ASCII characters")
    do = message.get("do")
    if type(do) is not str or do not in REQUESTS:
        _wrong(f"there is no request {str(do)[:40]!a}")
    members = {name: value for name, value in message.items() if name not in {"seq", "do"}}
    _members(members, REQUESTS[do], f"the request {do}")
    return do


def check_answer(message: Message) -> tuple[str, str, Any]:
    """Check an answer but for its result: its seq, which of the three it is, and what it says.

    Raises:
        ProtocolViolation: it is none.
    """
    if not _is_seq(message.get("seq")):
        _wrong("an answer has no seq")
    found = [name for name in message if name != "seq"]
    if len(found) != 1 or found[0] not in _OUTCOMES:
        _wrong("an answer has seq, and one of result, refused and error")
    outcome, said = found[0], message[found[0]]
    if outcome == "refused":
        _members(said, _REFUSED, "a refusal", optional=("rule",))
    elif outcome == "error" and not _text(said):
        _wrong("an error is a text")
    return message["seq"], outcome, said


def check_result(do: str, result: Any) -> None:  # noqa: ANN401
    """Check the result of a request of the kind ``do``.

    Raises:
        ProtocolViolation: it is none.
    """
    _members(result, RESULTS[do], f"the result of {do}")


def encode_line(message: Message) -> bytes:
    """A message as a line of UTF-8, its newline included."""
    return json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def decode_line(line: bytes) -> Message:
    """The object of a line.

    Raises:
        ProtocolViolation: it is longer than `LONGEST_LINE`, does not end, is no JSON object in UTF-8, or has
            a name twice in an object.
    """
    if len(line) > LONGEST_LINE:
        _wrong(f"a line has more than {LONGEST_LINE} bytes")
    if not line.endswith(b"\n"):
        _wrong("the last line does not end")
    try:
        value = json.loads(line.decode(), object_pairs_hook=_once, parse_constant=_constant)
    except (ValueError, RecursionError) as error:
        raise ProtocolViolation(f"a line is no JSON: {type(error).__name__}") from error
    if type(value) is not dict:
        _wrong("a line is no JSON object")
    message: Message = value
    return message


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        _wrong("a name comes twice in an object")
    return members


def _constant(name: str) -> NoReturn:
    _wrong(f"{name} is no JSON")
