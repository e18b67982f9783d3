"""The commands of qemu-io's language: what each does to the disk, and says of it in qemu-io's words."""

from __future__ import annotations

import errno
import os
import time
from itertools import groupby
from typing import TYPE_CHECKING, TypeVar

from addcow_ref.cli._call import Call, Complaint, Misuse, byte, lengths, number, one_length
from addcow_ref.cli._errors import described
from addcow_ref.cli._signals import SIGNALS
from addcow_ref.cli._sizes import exact
from addcow_ref.cli._terminal import say, tell
from addcow_spec.errors import AddCowError
from addcow_spec.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from addcow_ref import Image

__all__ = [
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

# qemu-io makes one request of a command, and needs that much memory. A disk does not show afterwards how a
# range was cut into requests, so that here it is done in pieces: multiples of the 16 bytes of a dump's line.
_PIECE = 1 << 20
# What is written where no pattern is given.
_FILLER = 0xCD
_SECTOR = 512

_Result = TypeVar("_Result")


# --- reading


def read(call: Call) -> None:
    """Read one range."""
    if len(call.words) != 2 or ("P" not in call.options and {"s", "l"} & call.options.keys()):
        raise Misuse
    _read(call, "read", one_length(call.words[1], ""))


def readv(call: Call) -> None:
    """Read one range in several pieces; also aio_read, which qemu-io calls so where it fails."""
    _read(call, "readv", lengths(call))


aio_read = readv


def _read(call: Call, action: str, length: int) -> None:
    options = call.options
    offset = number(call.words[0])
    pattern = byte(options["P"]) if "P" in options else None
    start = number(options.get("s", "0"))
    count = number(options["l"]) if "l" in options else length - start
    if count < 0 or start + count > length:
        raise Complaint("pattern verification range exceeds end of read data")
    _check_supported(call, action)
    _check_range(call, action, offset, length)
    began = time.monotonic()
    found = _tried(
        call, action, lambda: _count(call.image, offset, length, pattern, range(start, start + count))
    )
    elapsed = time.monotonic() - began
    differs = pattern is not None and found != count
    if differs:
        tell(f"Pattern verification failed at offset {offset + start}, {count} bytes")
    if "v" in options and "q" not in options:
        # Nothing is shown before all could be read, and all of it is not kept: it is read once more.
        _tried(call, action, lambda: _dump(call.image, offset, length))
    _report(call, "read", offset, length, elapsed)
    if differs:
        raise Complaint


def _pieces(image: Image, offset: int, length: int) -> Iterator[tuple[int, bytearray]]:
    """Read a range: where each piece begins in it, and its bytes."""
    for at in range(0, length, _PIECE):
        SIGNALS.obey()
        piece = bytearray(min(_PIECE, length - at))
        image.read_into(offset + at, piece)
        yield at, piece


def _count(image: Image, offset: int, length: int, pattern: int | None, part: range) -> int:
    """Read a range, and count the bytes that are the pattern in a part of it."""
    found = 0
    for at, piece in _pieces(image, offset, length):
        if pattern is not None and part.stop > at:
            found += piece.count(pattern, max(part.start - at, 0), part.stop - at)
    return found


def _dump(image: Image, offset: int, length: int) -> None:
    for at, piece in _pieces(image, offset, length):
        tell("\n".join(_lines(piece, offset + at)))


def _lines(piece: bytearray, offset: int) -> Iterator[str]:
    for at in range(0, len(piece), 16):
        row = piece[at : at + 16]
        text = "".join(chr(byte) if chr(byte).isascii() and chr(byte).isalnum() else "." for byte in row)
        yield f"{offset + at:08x}:  {row.hex(' ')}  {text}"


# --- writing


def write(call: Call) -> None:
    """Write one range."""
    if len(call.words) != 2:
        raise Misuse
    _check_kind(call.options)
    length = one_length(call.words[1], " without -n", limited="n" not in call.options)
    _write(call, "write", length)


def writev(call: Call) -> None:
    """Write one range from several pieces."""
    _write(call, "writev", lengths(call))


def aio_write(call: Call) -> None:
    """As writev, or zeroes."""
    if "z" in call.options and len(call.words) != 2:
        raise Complaint("-z supports only a single length parameter")
    _check_kind(call.options)
    _write(call, "aio_write", lengths(call))


def _check_kind(options: dict[str, str]) -> None:
    if len({"z", "P", "s"} & options.keys()) > 1:
        raise Complaint("Only one of -z, -P, and -s can be specified at the same time")
    for letter in ("u", "n"):
        if letter in options and "z" not in options:
            raise Complaint(f"-{letter} requires -z to be specified")


def _write(call: Call, action: str, length: int) -> None:
    image, options = call.image, call.options
    offset, fua = number(call.words[0]), "f" in options
    _check_supported(call, action)
    if "z" in options:
        began = time.monotonic()
        _tried(call, action, lambda: image.write_zeroes(offset, length, unmap="u" in options, fua=fua))
    else:
        tile = _tile(options, length)
        _check_range(call, action, offset, length)
        began = time.monotonic()
        _tried(call, action, lambda: _fill(image, offset, length, tile, fua=fua))
    _report(call, "wrote", offset, length, time.monotonic() - began)


def _fill(image: Image, offset: int, length: int, tile: memoryview, *, fua: bool) -> None:
    """Write the tile again and again; the last piece makes all of them durable."""
    done = 0
    while True:
        SIGNALS.obey()
        begin = done % len(tile)
        piece = tile[begin : begin + min(_PIECE, length - done)]
        last = done + len(piece) == length
        image.write(offset + done, piece, fua=fua and last)
        done += len(piece)
        if last:
            return


def _tile(options: dict[str, str], length: int) -> memoryview:
    """The bytes to write, repeated until they are worth a request."""
    if "s" in options:
        data = _source(os.fsencode(options["s"]), length)
    else:
        data = bytes([byte(options["P"]) if "P" in options else _FILLER])
    return memoryview(data * max(min(_PIECE, length) // len(data), 1))


def _source(path: bytes, length: int) -> bytes:
    """What a file has, at most ``length`` bytes of it."""
    try:
        with SIGNALS.waiting(), open(path, "rb") as file:
            data = file.read(length)
    except OSError as error:
        say(f"{printable(path)}: {error.strerror}")
        raise Complaint from error
    if not data:
        say(f"{printable(path)}: file is empty")
        raise Complaint
    return data


def discard(call: Call) -> None:
    """Give a range up; it reads as zeros then, as it does in QEMU where a backing file is below."""
    if len(call.words) != 2:
        raise Misuse
    offset, length = number(call.words[0]), one_length(call.words[1], "")
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
    size = number(call.words[0])
    try:
        call.image.resize(size)
    except AddCowError as error:
        say(described(error, call.path))
        raise Complaint from error


# --- looking


def length(call: Call) -> None:
    """Show the size of the disk."""
    tell(exact(call.image.size))


def alloc(call: Call) -> None:
    """Count the bytes of a range that are in the image file."""
    offset, count = number(call.words[0]), number(call.words[1]) if call.words[1:] else _SECTOR
    count = max(min(count, call.image.size - offset), 0)
    found = _tried(call, "map", lambda: sum(part[1] for part in _allocation(call, offset, count) if part[2]))
    tell(f"{found}/{count} bytes allocated at offset {exact(offset)}")


def show_map(call: Call) -> None:
    """Show which ranges of the disk are in the image file."""
    _tried(call, "map", lambda: _show_allocation(call))


def _show_allocation(call: Call) -> None:
    for start, count, allocated in _allocation(call, 0, call.image.size):
        word = "    allocated" if allocated else "not allocated"
        tell(f"{exact(count)} ({count:#x}) bytes {word} at offset {exact(start)} ({start:#x})")


def _allocation(call: Call, start: int, count: int) -> Iterator[tuple[int, int, bool]]:
    """Start and length of ranges, and whether they are in the image file; found as they are asked for."""
    extents = call.image.extents(start, count) if count else iter(())
    for allocated, group in groupby(extents, lambda extent: extent.present and extent.depth == 0):
        length = 0
        for extent in group:
            SIGNALS.obey()
            length += extent.length
        yield start, length, allocated
        start += length


# --- doing it


def _check_range(call: Call, action: str, offset: int, length: int) -> None:
    """A request beyond the end fails as a whole, not from some piece on."""
    if offset + length > call.image.size:
        raise Complaint(f"{action} failed: {os.strerror(errno.EIO)}")


def _check_supported(call: Call, action: str) -> None:
    """An add-cow image has no VM state, and no compressed data."""
    if {"b", "c"} & call.options.keys():
        raise Complaint(f"{action} failed: {os.strerror(errno.ENOTSUP)}")


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
        tell(f"{count},1,{clock},{rate:.3f},{operations:.3f}")
        return
    shown = clock if minutes else f"{int(seconds):02}.{int(seconds * 100 % 100):02} sec"
    tell(f"{action} {count}/{count} bytes at offset {offset}")
    tell(f"{exact(count)}, 1 ops; {shown} ({exact(rate)}/sec and {operations:.4f} ops/sec)")
