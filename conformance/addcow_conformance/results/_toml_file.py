"""TOML that somebody wrote: read with every value bounded before it is used, or refused in a line."""

from __future__ import annotations

import os
import tomllib
from stat import S_ISREG
from typing import Any

from addcow_conformance.report._common import one_line
from addcow_spec.errors import AddCowError

__all__ = ["BadExpectations", "only", "parsed", "read_bounded", "text_of"]

_LARGEST_FILE = 1 << 20
# The parser takes time by the square of a dotted key's length.
_LONGEST_LINE = 2048
# At most four bytes a character: what is written is short enough to be read again.
_LONGEST_TEXT = 400


class BadExpectations(AddCowError):
    """A file, as one of expectations, cannot be read, or says what makes no sense; the text is one line."""


def read_bounded(path: str | bytes) -> bytes:
    """The bytes of a regular file; nothing is waited for, whatever else the path names."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    with open(descriptor, "rb") as file:
        if not S_ISREG(os.fstat(descriptor).st_mode):
            raise BadExpectations("not a regular file: name a file in TOML")
        data = file.read(_LARGEST_FILE + 1)
    if len(data) > _LARGEST_FILE:
        raise BadExpectations(f"larger than {_LARGEST_FILE:,} bytes: shorten it")
    return data


def parsed(data: bytes) -> dict[str, Any]:
    """The document, whose lines are short."""
    for number, line in enumerate(data.split(b"\n"), 1):
        if len(line) > _LONGEST_LINE:
            raise BadExpectations(f'line {number} is longer than {_LONGEST_LINE:,} bytes: break it, in """')
    try:
        return tomllib.loads(data.decode())
    except UnicodeDecodeError as error:
        raise BadExpectations(f"not UTF-8 at byte {error.start}: save it as UTF-8") from error
    except (ValueError, RecursionError) as error:
        raise BadExpectations(f"not TOML: {one_line(str(error))}") from error


def only(table: dict[str, Any], known: tuple[str, ...], place: str) -> None:
    """Refuse a table with other keys than those that are known."""
    for name in table:
        if name not in known:
            raise BadExpectations(f"{place}: unknown key {name[:40]!a}: use {', '.join(known)}")


def text_of(value: object, place: str) -> str:
    """A printable text, its white space single spaces."""
    text = " ".join(value.split()) if isinstance(value, str) else ""
    if not text or len(text) > _LONGEST_TEXT or not text.isprintable():
        raise BadExpectations(f"{place} is no printable text of 1 to {_LONGEST_TEXT} characters: change it")
    return text
