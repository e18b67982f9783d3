"""From small numbers to operations on the disk at hand, near the places where something can go wrong.

Hypothesis draws the numbers and makes them smaller when it shrinks: 0 is the plainest choice in every table.
The same numbers mean the same operation on a disk in the same state, and nothing else goes into it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from addcow_conformance.programs import (
    Backing,
    BackingKind,
    Disk,
    Fault,
    Flush,
    Kill,
    Race,
    Read,
    Reopen,
    Request,
    Resize,
    StorageKind,
    Stream,
    Via,
    Write,
    Zeroes,
)
from addcow_spec.geometry import SECTOR_SIZE, Geometry, round_up
from addcow_spec.model import Revision

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = [
    "BACKINGS",
    "ENDS",
    "FAULTS",
    "RACES",
    "REQUESTS",
    "RESIZES",
    "SIZES",
    "STREAMS",
    "Ground",
    "a_disk",
    "a_fault",
    "a_race",
    "a_read",
    "a_resize",
    "a_stream",
    "a_write",
    "an_end",
    "an_odd_disk",
    "some_zeroes",
]

MIB = 1 << 20
# Units whose bits fill a page of 4,096 bytes, as the reference engine's cache holds them.
_PAGE = 4096 * 8


class Ground(NamedTuple):
    """What the tables look at.

    Attributes:
        size: bytes of the disk, now.
        unit: bytes of a unit.
        below: bytes of the backing file.
        last: where the last write began.
        odd: whether the size may be any number of bytes.
    """

    size: int
    unit: int
    below: int
    last: int
    odd: bool

    @property
    def page(self) -> int:
        """Bytes of the disk whose bits fill a page."""
        return _PAGE * self.unit


# --- disks

_C = 65536
_V10 = (_C, 3 * _C, 1, 2 * _C + 700, 512, 511, _C - 1, _C + 1, 0, 5 * _C + 700, 7 * _C + 512, 8 * _C)
_V4 = (4096, 512, 4096 + 512, 1024, 0, _C, _C + 512, 3 * _C + 1536, 8192, 7 * 512, 2048, 20 * 1024)
_ODD = (1, 511, _C - 1, _C + 1)

# The last size is that of a disk with more than a page of bits: 2 GiB in v10, 16 MiB in v4 and v6. There are
# few of these, and hardly one is streamed, as tens of thousands of bits take a while to compare.
SIZES = 2 * len(_V10) + 1


def _size(revision: Revision, number: int) -> int:
    sizes = _V10 if revision is Revision.V10 else _V4
    if number == SIZES - 1:
        return _PAGE * Geometry(revision, 0).unit_size + sizes[3]
    return sizes[number % len(sizes)]


_KINDS = len(BackingKind)
_BELOW: tuple[Callable[[int], int], ...] = (
    lambda size: size,
    lambda size: size // 2 + 300,
    lambda size: size + _C + 700,
    lambda _: 700,
    lambda size: max(size - 1, 0),
    lambda _: 0,
)
_FILLS = (0xDD, 0)

# Whether there is a backing file, its kind and its length, and what the image file is filled with.
_NONE = 4
BACKINGS = (_NONE + _KINDS * len(_BELOW)) * len(_FILLS)


def a_disk(revision: Revision, size: int, backing: int, kinds: Sequence[BackingKind]) -> Disk:
    """A disk on such a backing file; ``size`` counts from 0 to SIZES - 1, ``backing`` to BACKINGS - 1."""
    bytes_ = _size(revision, size)
    backing, fill = divmod(backing, len(_FILLS))
    below = None
    if backing >= _NONE:
        length, number = divmod(backing - _NONE, _KINDS)
        kind = kinds[number % len(kinds)]
        # Of a large disk the beginning alone is looked at after each step; a longer file would be no other.
        below = Backing(kind, min(_BELOW[length](bytes_), MIB if bytes_ <= MIB else 3 * _C))
    return Disk(revision, bytes_, below, 0 if bytes_ > MIB else _FILLS[fill])


def an_odd_disk(revision: Revision, size: int) -> Disk | None:
    """A disk that cannot be, as its size is no multiple of 512; for v4 and v6."""
    return None if revision is Revision.V10 else Disk(revision, _ODD[size % len(_ODD)])


# --- where

_EDGES: tuple[Callable[[Ground], int], ...] = (
    lambda _: 0,
    lambda on: on.page if on.size > on.page else on.unit,
    lambda on: on.size,
    lambda on: on.below,
    lambda on: on.last,
    lambda on: on.size // on.unit * on.unit,
    lambda on: 2 * on.unit,
    lambda on: 8 * on.unit,
    lambda on: on.size // 2,
    lambda on: on.below // on.unit * on.unit,
)
_NEAR: tuple[Callable[[Ground], int], ...] = (
    lambda _: 0,
    lambda _: -512,
    lambda _: 512,
    lambda _: -1,
    lambda _: 1,
    lambda on: on.unit // 2 + 100,
    lambda on: -on.unit,
    lambda _: -700,
)

_PLACES = len(_EDGES) * len(_NEAR)


def _offset(on: Ground, place: int) -> int:
    edge, near = divmod(place, len(_NEAR))
    return max(_EDGES[edge](on) + _NEAR[near](on), 0)


# --- how much

_LENGTHS: tuple[Callable[[Ground, int], int], ...] = (
    lambda on, _: on.unit,
    lambda _, __: 512,
    lambda _, __: 1,
    lambda on, at: round_up(at + 1, on.unit) - at,
    lambda on, at: on.size - at,
    lambda on, _: 2 * on.unit,
    lambda on, _: on.unit + 1,
    lambda on, _: on.unit - 1,
    lambda _, __: 513,
    lambda _, __: 700,
    lambda on, at: on.below - at,
    lambda _, __: 0,
    lambda on, _: on.size,
    lambda _, __: 4096,
    lambda on, _: 3 * on.unit + 512,
    lambda on, _: 9 * on.unit,
)

_LENGTH_COUNT = len(_LENGTHS)

# Three times of four a range that reaches too far is cut at the end of the disk, or moved to end there.
_MOST = 10 * _C


def _cut(on: Ground, offset: int, length: int) -> tuple[int, int]:
    """A range that is on the disk."""
    if offset >= on.size:
        offset = max(on.size - length, 0)
    return offset, min(length, on.size - offset)


def _length(on: Ground, offset: int, number: int) -> int:
    most = _MOST if on.size <= on.page else 3 * on.unit
    return min(max(_LENGTHS[number](on, offset), 0), most)


# --- requests

_MODES = 32
_BELOW_SEED = 7

# Place, length and the rest of a request in one number, as each number that is drawn takes its time.
REQUESTS = _PLACES * _LENGTH_COUNT * _MODES


def _request_at(on: Ground, number: int) -> tuple[int, int, int]:
    """Offset, length and mode of a request."""
    number, mode = divmod(number, _MODES)
    place, length = divmod(number, _LENGTH_COUNT)
    offset = _offset(on, place)
    size = _length(on, offset, length)
    return (offset, size, mode) if mode % 4 == 3 else (*_cut(on, offset, size), mode)


def a_read(on: Ground, number: int) -> Read:
    """A read."""
    offset, length, _ = _request_at(on, number)
    return Read(offset, length)


def a_write(on: Ground, number: int, count: int) -> Write:
    """A write; each has bytes of its own, and now and then those of the backing file are written."""
    offset, length, mode = _request_at(on, number)
    seed = _BELOW_SEED if mode // 8 == 3 else 20 + count % 200
    return Write(offset, length, seed, mode % 8 == 4)


def some_zeroes(on: Ground, number: int) -> Zeroes:
    """A range of zeros."""
    offset, length, mode = _request_at(on, number)
    return Zeroes(offset, length, mode // 8 % 2 == 0, mode % 8 == 4)


# Half of the streams stop at once, as there is little left to try on a disk whose bits are all set.
_STEPS = (None, 0, 1, 2, 0, 0, 0)
STREAMS = len(_STEPS)


def a_stream(on: Ground, steps: int) -> Stream | Flush:
    """A stream, to the end or a part of the way."""
    if on.size > on.page and not _STEPS[steps]:
        return Flush()
    return Stream(_STEPS[steps])


_OTHER_EDGES: tuple[Callable[[Ground], int], ...] = (
    lambda on: on.size + on.unit,
    lambda on: on.size - on.unit,
    lambda on: on.size - 512,
    lambda on: on.size + 512,
    lambda on: on.size - 1,
    lambda on: on.size + 1,
    lambda on: on.size // on.unit * on.unit,
    lambda on: round_up(on.size, on.unit),
    lambda _: 0,
    lambda on: on.size + 8 * on.unit,
    lambda on: on.size - 8 * on.unit,
    lambda on: on.below,
    lambda on: on.page if on.size > on.page - MIB else on.unit,
    lambda on: 8 * on.unit,
    lambda on: on.size,
    lambda on: 9 * on.unit + 512,
)


RESIZES = len(_OTHER_EDGES)


def a_resize(on: Ground, to: int, first: int) -> Resize:
    """Another size; no larger than what can be read again after each step, whatever the disk began with.

    Args:
        on: the disk.
        to: which edge.
        first: the size that the disk began with.
    """
    size = _OTHER_EDGES[to](on)
    limit = max(first, 96 << 10, 9 * on.unit + 512)
    size = min(max(size, 0), limit)
    if not on.odd and abs(size - on.size) != 1:
        size = size // SECTOR_SIZE * SECTOR_SIZE
    return Resize(size)


ENDS = 8 * len(Via)


def an_end(number: int, storage: StorageKind) -> Reopen | Kill:
    """The end of a process, with or without closing; then another opening, by each way that there is."""
    ways = tuple(Via) if storage is StorageKind.FILES else (Via.PATH,)
    number, via = divmod(number, len(Via))
    if number >= 5:
        return Kill()
    return Reopen(number != 4, ways[via % len(ways)])


_CODES = ((5, 0), (28, 512), (5, 5000), (28, 70000))
# As many as there are numbers below which each count of calls is met equally often.
FAULTS = len(_CODES) * 132


def a_fault(number: int, calls: range) -> Fault:
    """A fault of the next operation, at one of these storage calls."""
    after, code = divmod(number, len(_CODES))
    return Fault(calls[after % len(calls)], *_CODES[code])


# --- two requests at once

_FIRST = ("write", "zeroes", "stream")
_SECOND = ("write", "read", "flush", "zeroes", "stream")
_PAUSES = 4
_EXTENTS = (1, 3, 0, 9)
_APART: tuple[Callable[[Ground], int], ...] = (
    lambda _: 512,
    lambda _: 0,
    lambda _: 1,
    lambda on: on.unit // 2,
    lambda on: on.unit,
    lambda on: -on.unit // 2,
)
_KINDS_OF_RACES = len(_FIRST) * len(_SECOND) * _PAUSES
_SHAPES = len(_EXTENTS) * len(_EXTENTS) * len(_APART)
RACES = _PLACES * _KINDS_OF_RACES * _SHAPES


def a_race(on: Ground, number: int, count: int) -> Race:
    """Two requests at places that are near one another."""
    number, shape = divmod(number, _SHAPES)
    place, kinds = divmod(number, _KINDS_OF_RACES)
    kinds, pause = divmod(kinds, _PAUSES)
    second, first = divmod(kinds, len(_FIRST))
    shape, apart = divmod(shape, len(_APART))
    one, two = divmod(shape, len(_EXTENTS))
    offset = _offset(on, place)
    offset, length = _cut(on, offset, _length(on, offset, _EXTENTS[one]))
    other = min(max(offset + _APART[apart](on), 0), on.size)
    size = min(_length(on, other, _EXTENTS[two]), on.size - other)
    kind = "zeroes" if on.size > on.page and _FIRST[first] == "stream" else _FIRST[first]
    return Race(
        _request(kind, offset, length, 20 + count % 200),
        _request(_SECOND[second], other, size, 220 + count % 200),
        pause,
    )


def _request(kind: str, offset: int, length: int, seed: int) -> Request:
    if kind == "write":
        return Write(offset, length, seed)
    if kind == "read":
        return Read(offset, length)
    if kind == "zeroes":
        return Zeroes(offset, length)
    return Flush() if kind == "flush" else Stream()
