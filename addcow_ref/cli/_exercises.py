"""The commands of qemu-io's language: what each does to the disk, and says of it in qemu-io's words."""

from __future__ import annotations

import errno
import os
import re
import time
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import click

from addcow_ref.cli._errors import described
from addcow_ref.cli._sizes import exact, parse_size
from addcow_ref.cli._terminal import say
from addcow_spec.errors import AddCowError
from addcow_spec.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from addcow_ref import Image

__all__ = [
    "Call",
    "Complaint",
    "Misuse",
    "aio_flush",
    "aio_read",
    "aio_write",
    "alloc",
    "discard",
    "flush",
    "length",
    "read",
    "readv",
    "show_map",
    "truncate",
    "write",
    "writev",
]

# QEMU's limit for a request: the largest multiple of 512 below 2 GiB.
_LARGEST_REQUEST = (1 << 31) - 512
# What is written where no pattern is given.
_FILLER = 0xCD
_PATTERN = re.compile(r"0x[0-9a-f]+|[0-9]+", re.IGNORECASE)
_SECTOR = 512

_Result = TypeVar("_Result")


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


# --- reading


def read(call: Call) -> None:
    """Read one range."""
    if len(call.words) != 2 or ("P" not in call.options and {"s", "l"} & call.options.keys()):
        raise Misuse
    _read(call, "read", _one_length(call.words[1], ""))


def readv(call: Call) -> None:
    """Read one range in several pieces; also aio_read, which qemu-io calls so where it fails."""
    _read(call, "readv", _lengths(call))


aio_read = readv


def _read(call: Call, action: str, length: int) -> None:
    options = call.options
    offset = _number(call.words[0])
    pattern = _byte(options["P"]) if "P" in options else None
    start = _number(options.get("s", "0"))
    count = _number(options["l"]) if "l" in options else length - start
    if count < 0 or start + count > length:
        raise Complaint("pattern verification range exceeds end of read data")
    _check_supported(call, action)
    began = time.monotonic()
    data = _tried(call, action, lambda: call.image.read(offset, length))
    elapsed = time.monotonic() - began
    differs = pattern is not None and data.count(pattern, start, start + count) != count
    if differs:
        click.echo(f"Pattern verification failed at offset {offset + start}, {count} bytes")
    if "v" in options and "q" not in options:
        _dump(data, offset)
    _report(call, "read", offset, length, elapsed)
    if differs:
        raise Complaint


def _dump(data: bytes, offset: int) -> None:
    for at in range(0, len(data), 16):
        row = data[at : at + 16]
        text = "".join(chr(byte) if chr(byte).isascii() and chr(byte).isalnum() else "." for byte in row)
        click.echo(f"{offset + at:08x}:  {row.hex(' ')}  {text}")


# --- writing


def write(call: Call) -> None:
    """Write one range."""
    if len(call.words) != 2:
        raise Misuse
    _check_kind(call.options)
    length = _one_length(call.words[1], " without -n", limited="n" not in call.options)
    _write(call, "write", length)


def writev(call: Call) -> None:
    """Write one range from several pieces."""
    _write(call, "writev", _lengths(call))


def aio_write(call: Call) -> None:
    """As writev, or zeroes."""
    if "z" in call.options and len(call.words) != 2:
        raise Complaint("-z supports only a single length parameter")
    _check_kind(call.options)
    _write(call, "aio_write", _lengths(call))


def _check_kind(options: dict[str, str]) -> None:
    if len({"z", "P", "s"} & options.keys()) > 1:
        raise Complaint("Only one of -z, -P, and -s can be specified at the same time")
    for letter in ("u", "n"):
        if letter in options and "z" not in options:
            raise Complaint(f"-{letter} requires -z to be specified")


def _write(call: Call, action: str, length: int) -> None:
    image, options = call.image, call.options
    offset, fua = _number(call.words[0]), "f" in options
    _check_supported(call, action)
    if "z" in options:
        began = time.monotonic()
        _tried(call, action, lambda: image.write_zeroes(offset, length, unmap="u" in options, fua=fua))
    else:
        data = _data(options, length)
        began = time.monotonic()
        _tried(call, action, lambda: image.write(offset, data, fua=fua))
    _report(call, "wrote", offset, length, time.monotonic() - began)


def _data(options: dict[str, str], length: int) -> bytes:
    if "s" not in options:
        return bytes([_byte(options["P"]) if "P" in options else _FILLER]) * length
    path = os.fsencode(options["s"])
    try:
        with open(path, "rb") as file:
            data = file.read(length)
    except OSError as error:
        say(f"{printable(path)}: {error.strerror}")
        raise Complaint from error
    if not data:
        say(f"{printable(path)}: file is empty")
        raise Complaint
    return (data * -(-length // len(data)))[:length]


def discard(call: Call) -> None:
    """Give a range up; it reads as zeros then, as it does in QEMU where a backing file is below."""
    if len(call.words) != 2:
        raise Misuse
    offset, length = _number(call.words[0]), _one_length(call.words[1], "")
    began = time.monotonic()
    _tried(call, "discard", lambda: call.image.write_zeroes(offset, length))
    _report(call, "discard", offset, length, time.monotonic() - began)


def aio_flush(call: Call) -> None:
    """Nothing is left to wait for."""


def flush(call: Call) -> None:
    """Make all that was written durable."""
    _tried(call, "flush", call.image.flush)


def truncate(call: Call) -> None:
    """Change the size of the disk."""
    if len(call.words) != 1 or call.options.get("m", "off") != "off":
        raise Misuse
    size = _number(call.words[0])
    try:
        call.image.resize(size)
    except AddCowError as error:
        say(described(error, call.path))
        raise Complaint from error


# --- looking


def length(call: Call) -> None:
    """Show the size of the disk."""
    click.echo(exact(call.image.size))


def alloc(call: Call) -> None:
    """Count the bytes of a range that are in the image file."""
    offset, count = _number(call.words[0]), _number(call.words[1]) if call.words[1:] else _SECTOR
    count = max(min(count, call.image.size - offset), 0)
    found = sum(extent[1] for extent in _allocation(call, offset, count) if extent[2]) if count else 0
    click.echo(f"{found}/{count} bytes allocated at offset {exact(offset)}")


def show_map(call: Call) -> None:
    """Show which ranges of the disk are in the image file."""
    for start, count, allocated in _allocation(call, 0, call.image.size):
        word = "    allocated" if allocated else "not allocated"
        click.echo(f"{exact(count)} ({count:#x}) bytes {word} at offset {exact(start)} ({start:#x})")


def _allocation(call: Call, offset: int, count: int) -> Iterable[tuple[int, int, bool]]:
    """Start and length of ranges, and whether they are in the image file."""
    extents = _tried(call, "map", lambda: list(call.image.extents(offset, count)))
    for allocated, group in groupby(extents, lambda extent: extent.present and extent.depth == 0):
        parts = list(group)
        yield parts[0].start, sum(part.length for part in parts), allocated


# --- arguments


def _number(word: str) -> int:
    try:
        return parse_size(word)
    except ValueError:
        reason = "non-numeric argument, or extraneous/unrecognized suffix"
    except OverflowError:
        reason = "argument too large"
    raise Complaint(f"Parsing error: {reason} -- {word}")


def _byte(word: str) -> int:
    """A byte as C writes numbers: hexadecimal, octal after a zero, or decimal."""
    if _PATTERN.fullmatch(word) and len(word) < 10:
        try:
            value = int(word, 8 if word[0] == "0" and word.isdigit() else 0)
        except ValueError:
            value = -1
        if 0 <= value <= 0xFF:
            return value
    raise Complaint(f"{word} is not a valid pattern byte")


def _one_length(word: str, hint: str, *, limited: bool = True) -> int:
    length = _number(word)
    if limited and length > _LARGEST_REQUEST:
        raise Complaint(f"length cannot exceed {_LARGEST_REQUEST}{hint}, given {word}")
    return length


def _lengths(call: Call) -> int:
    """The sum of several lengths; where the pieces lie in memory is nothing that a disk sees."""
    if len(call.words) < 2:
        raise Misuse
    total = 0
    for word in call.words[1:]:
        length = _number(word)
        if length > _LARGEST_REQUEST:
            raise Complaint(f"Argument '{word}' exceeds maximum size {_LARGEST_REQUEST}")
        total += length
    if total > _LARGEST_REQUEST:
        raise Complaint(f"The total number of bytes exceed the maximum size {_LARGEST_REQUEST}")
    return total


def _check_supported(call: Call, action: str) -> None:
    """An add-cow image has no VM state, and no compressed data."""
    if {"b", "c"} & call.options.keys():
        raise Complaint(f"{action} failed: {os.strerror(errno.ENOTSUP)}")


# --- doing it


def _tried(call: Call, action: str, function: Callable[[], _Result]) -> _Result:
    """Do it; what fails is told in qemu-io's words, and in those of the engine where these say more.

    Raises:
        Complaint: it failed.
    """
    try:
        return function()
    except AddCowError as error:
        cause = error.__cause__
        number = (cause.errno if isinstance(cause, OSError) else None) or errno.EIO
        if getattr(error, "rule", "") != "ACW-DYN-007":
            say(described(error, call.path))
    except MemoryError:
        number = errno.ENOMEM
    raise Complaint(f"{action} failed: {os.strerror(number)}")


def _report(call: Call, action: str, offset: int, count: int, elapsed: float) -> None:
    if "q" in call.options:
        return
    elapsed = max(elapsed, 1e-9)
    rate, operations = count / elapsed, 1 / elapsed
    minutes, seconds = divmod(elapsed, 60)
    clock = f"{minutes // 60:.0f}:{minutes % 60:02.0f}:{int(seconds):02}.{int(seconds * 100 % 100):02}"
    if "C" in call.options:
        click.echo(f"{count},1,{clock},{rate:.3f},{operations:.3f}")
        return
    shown = clock if minutes else f"{int(seconds):02}.{int(seconds * 100 % 100):02} sec"
    click.echo(f"{action} {count}/{count} bytes at offset {offset}")
    click.echo(f"{exact(count)}, 1 ops; {shown} ({exact(rate)}/sec and {operations:.4f} ops/sec)")
