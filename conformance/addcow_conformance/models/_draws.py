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
    from collections.abc import Callable

__all__ = [
    "BACKINGS",
    "FAULTS",
    "LENGTHS",
    "MODES",
    "PLACES",
    "RACES",
    "REOPENS",
    "SHAPES",
    "SIZES",
    "STEPS",
    "Ground",
    "a_disk",
    "a_fault",
    "a_race",
    "a_read",
    "a_reopen",
    "a_resize",
    "a_stream",
    "a_write",
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

# The last size is that of a disk with more than a page of bits: 2 GiB in v10, 16 MiB in v4 and v6.
SIZES = 2 * len(_V10) + 1


def _size(revision: Revision, number: int) -> int:
    sizes = _V10 if revision is Revision.V10 else _V4
    if number == SIZES - 1:
        return _PAGE * Geometry(revision, 0).unit_size + sizes[3]
    return sizes[number % len(sizes)]


_KINDS = (BackingKind.RAW, BackingKind.QCOW2, BackingKind.CHAIN)
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
BACKINGS = (1 + len(_KINDS) * len(_BELOW)) * len(_FILLS)


def a_disk(revision: Revision, size: int, backing: int) -> Disk:
    """A disk; ``size`` counts from 0 to SIZES - 1, ``backing`` to BACKINGS - 1."""
    bytes_ = _size(revision, size)
    backing, fill = divmod(backing, len(_FILLS))
    below = None
    if backing:
        length, kind = divmod(backing - 1, len(_KINDS))
        # A qcow2 file of ours has one table, for 2 MiB.
        below = Backing(_KINDS[kind], min(_BELOW[length](bytes_), 2 * MIB))
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

PLACES = len(_EDGES) * len(_NEAR)


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

LENGTHS = len(_LENGTHS)

# Three times of four a range that reaches too far is cut at the end of the disk; v10 writes at most so much.
_MOST = 10 * _C


def _range(on: Ground, place: int, length: int, *, wild: bool = False) -> tuple[int, int]:
    offset = _offset(on, place)
    if not wild:
        offset = min(offset, on.size)
    size = min(max(_LENGTHS[length](on, offset), 0), _MOST)
    if not wild:
        size = min(size, on.size - offset)
    return offset, size


# --- requests

# The rest of a request in one number: 0 is the plainest.
MODES = 32
_BELOW_SEED = 7


def a_read(on: Ground, place: int, length: int, mode: int) -> Read:
    """A read."""
    return Read(*_range(on, place, length, wild=mode % 4 == 3))


def a_write(on: Ground, place: int, length: int, mode: int, number: int) -> Write:
    """A write; each number has bytes of its own, and now and then those of the backing file are written."""
    offset, size = _range(on, place, length, wild=mode % 4 == 3)
    seed = _BELOW_SEED if mode // 8 == 3 else 20 + number % 200
    return Write(offset, size, seed, mode % 8 == 4)


def some_zeroes(on: Ground, place: int, length: int, mode: int) -> Zeroes:
    """A range of zeros."""
    offset, size = _range(on, place, length, wild=mode % 4 == 3)
    return Zeroes(offset, size, mode // 8 % 2 == 0, mode % 8 == 4)


STEPS = (None, 0, 1, 2)


def a_stream(steps: int) -> Stream:
    """A stream, to the end or a part of the way."""
    return Stream(STEPS[steps])


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
    lambda on: on.unit,
    lambda on: 8 * on.unit,
    lambda on: on.size,
    lambda on: 9 * on.unit + 512,
)


def a_resize(on: Ground, to: int, first: int) -> Resize:
    """Another size; no larger than what can be read again after each step, whatever the disk began with.

    Args:
        on: the disk.
        to: which edge.
        first: the size that the disk began with.
    """
    size = _OTHER_EDGES[to](on)
    limit = max(first, 96 << 10) + 9 * on.unit
    size = min(max(size, 0), limit)
    if not on.odd and abs(size - on.size) != 1:
        size = size // SECTOR_SIZE * SECTOR_SIZE
    return Resize(size)


REOPENS = 5 * len(Via)


def a_reopen(number: int, storage: StorageKind) -> Reopen:
    """Another opening, by each way that the storage has; three of four for writing."""
    ways = tuple(Via) if storage is StorageKind.FILES else (Via.PATH,)
    return Reopen(number % 5 != 4, ways[number // 5 % len(ways)])


_CODES = ((5, 0), (28, 0), (28, 512), (5, 5000))
_AFTER = (0, 1, 2, 3, 1, 2, 4, 5, 6, 8, 10, 0)
FAULTS = len(_CODES) * len(_AFTER)


def a_fault(number: int) -> Fault:
    """A fault of the next operation, in one of its first storage calls."""
    after, code = divmod(number, len(_CODES))
    return Fault(_AFTER[after], *_CODES[code])


# --- two requests at once

_FIRST = ("write", "zeroes", "stream")
_SECOND = ("write", "read", "flush", "zeroes", "stream")
_PAUSES = 4
RACES = len(_FIRST) * len(_SECOND) * _PAUSES
_EXTENTS = (1, 3, 0, 9)
_APART: tuple[Callable[[Ground], int], ...] = (
    lambda _: 512,
    lambda _: 0,
    lambda _: 1,
    lambda on: on.unit // 2,
    lambda on: on.unit,
    lambda on: -on.unit // 2,
)
SHAPES = len(_EXTENTS) * len(_EXTENTS) * len(_APART)


def a_race(on: Ground, place: int, kinds: int, shape: int, number: int) -> Race:
    """Two requests at places that are near one another."""
    pause, kinds = kinds % _PAUSES, kinds // _PAUSES
    second, first = divmod(kinds, len(_FIRST))
    shape, apart = divmod(shape, len(_APART))
    one, two = divmod(shape, len(_EXTENTS))
    offset, size = _range(on, place, _EXTENTS[one])
    other = min(max(offset + _APART[apart](on), 0), on.size)
    length = min(_LENGTHS[_EXTENTS[two]](on, other), on.size - other)
    return Race(
        _request(_FIRST[first], offset, size, 20 + number % 200),
        _request(_SECOND[second], other, length, 220 + number % 200),
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
