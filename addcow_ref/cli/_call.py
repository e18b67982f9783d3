"""A line of qemu-io's language, taken apart: options, words, and the numbers that they stand for."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from addcow_ref.cli._sizes import parse_size

if TYPE_CHECKING:
    from addcow_ref import Image

__all__ = ["Call", "Complaint", "Misuse", "byte", "lengths", "number", "one_length"]

# QEMU's limit for a request: the largest multiple of 512 below 2 GiB.
_LARGEST_REQUEST = (1 << 31) - 512
_PATTERN = re.compile(r"0x[0-9a-f]+|[0-9]+", re.IGNORECASE)


class Call(NamedTuple):
    """A command line, taken apart.

    Attributes:
        image: the disk.
        path: its name, for errors.
        options: values of options by letter, empty for those that take none.
        words: the arguments.
    """

    image: Image
    path: bytes
    options: dict[str, str]
    words: list[str]


class Complaint(Exception):
    """The command has failed; the message, if any, is shown in its place of the output."""


class Misuse(Exception):
    """The arguments do not fit; the synopsis is shown."""


def number(word: str) -> int:
    """A number of bytes, in the words of qemu-io where it is none."""
    try:
        return parse_size(word)
    except ValueError:
        reason = "non-numeric argument, or extraneous/unrecognized suffix"
    except OverflowError:
        reason = "argument too large"
    raise Complaint(f"Parsing error: {reason} -- {word}")


def byte(word: str) -> int:
    """A byte as C writes numbers: hexadecimal, octal after a zero, or decimal."""
    if _PATTERN.fullmatch(word) and len(word) < 10:
        try:
            value = int(word, 8 if word[0] == "0" and word.isdigit() else 0)
        except ValueError:
            value = -1
        if 0 <= value <= 0xFF:
            return value
    raise Complaint(f"{word} is not a valid pattern byte")


def one_length(word: str, hint: str, *, limited: bool = True) -> int:
    """The length of a request; ``hint`` is said of one that is too long."""
    length = number(word)
    if limited and length > _LARGEST_REQUEST:
        raise Complaint(f"length cannot exceed {_LARGEST_REQUEST}{hint}, given {word}")
    return length


def lengths(call: Call) -> int:
    """The sum of several lengths; where the pieces lie in memory is nothing that a disk sees."""
    if len(call.words) < 2:
        raise Misuse
    total = 0
    for word in call.words[1:]:
        length = number(word)
        if length > _LARGEST_REQUEST:
            raise Complaint(f"Argument '{word}' exceeds maximum size {_LARGEST_REQUEST}")
        total += length
    if total > _LARGEST_REQUEST:
        raise Complaint(f"The total number of bytes exceed the maximum size {_LARGEST_REQUEST}")
    return total
