"""Programs of operations as bytes, version 1: every byte string is a program, and none is refused.

A head tells the disk and how the run ends; a record of fixed length follows for each operation, so that
whole operations can be moved, and a change of few bytes is a small change of the program. A place is told by
an edge and the distance from it, and stays beside its edge when the disk is another one. What a program from
elsewhere is encoded to has plain numbers instead, and is the same program, number by number.
"""

from __future__ import annotations

import struct
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from addcow_conformance.programs import (
    Backing,
    BackingKind,
    Disk,
    Fault,
    Flush,
    Kill,
    Operation,
    Program,
    Race,
    Read,
    Reopen,
    Resize,
    StorageKind,
    Stream,
    Via,
    Write,
    Zeroes,
)
from addcow_spec.errors import UsageError
from addcow_spec.geometry import SECTOR_SIZE, Geometry, round_up
from addcow_spec.model import Revision

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = [
    "EDGES",
    "KINDS",
    "OPERATIONS",
    "REACHES",
    "Case",
    "Cut",
    "Flag",
    "Head",
    "Record",
    "decode",
    "encode",
]

VERSION = 1
OPERATIONS = 64

_MIB = 1 << 20
# Bytes of a request, and of what is below: enough for four units of v10.
_LONGEST = 4 << 16
# On a large disk, which has units of 512 bytes more often than not: what is long takes long.
_LONGEST_OF_LARGE = 1 << 16
# Units whose bits fill a page of the cache: 2 GiB in v10, 16 MiB in v4 and v6. A disk has a few more at most.
_PAGE, _MORE = 4096 * 8, 8
_HALF, _WHOLE = 1 << 31, 1 << 32


class Flag:
    """Bits of the flags; each has a meaning in the head, and one in the records that know it.

    Attributes:
        LOSS: a loss of power ends the program.
        EACH: the disk is compared after each operation, and not now and then.
        AS_IT_IS: numbers are not made to fit: a range may reach beyond the disk, and a size may be odd.
        FUA, UNMAP: as in `Write` and `Zeroes`.
        WRITABLE, WAYS: as in `Reopen`, the way in the bits from there on.
        STOPS: a stream stops after some steps.
    """

    LOSS, EACH, AS_IT_IS = 1, 2, 4
    FUA, UNMAP = 1, 2
    WRITABLE, WAYS = 1, 8
    STOPS = 1


class Head(NamedTuple):
    """The head, field by field; all are numbers without a sign, and any is taken."""

    version: int = VERSION
    flags: int = 0
    revision: int = 0
    size_edge: int = 0
    size: int = 0
    backing: int = 0
    below_edge: int = 0
    below: int = 0
    fill: int = 0
    cache: int = 0
    moment: int = 0
    seed: int = 0


class Record(NamedTuple):
    """An operation, field by field; all are numbers without a sign, and any is taken."""

    kind: int
    flags: int = 0
    small: int = 0
    edge: int = 0
    number: int = 0
    reach: int = 0
    extent: int = 0


HEAD = struct.Struct("<BBBBIBBIBBHH")
RECORD = struct.Struct("<BBHBIBI")


class Cut(NamedTuple):
    """A loss of power during the last operation.

    Attributes:
        moment: so many storage events before its end, counted around; 0 when it has returned.
        seed: draws what is left.
    """

    moment: int
    seed: int


# In the place of a state that a program tells: one when its last operation has returned.
_DRAWN = Cut(0, 1)


class Case(NamedTuple):
    """What bytes mean: a program, whether to compare after each operation, and a loss of power as its end."""

    program: Program
    each: bool = False
    cut: Cut | None = None


@dataclass(slots=True)
class _Ground:
    """The disk as the edges see it, as far as its bytes have been read.

    Attributes:
        size: bytes of the disk, now.
        unit: bytes of a unit.
        below: bytes of the backing file.
        last: where the last write began.
        odd: whether the size may be any number of bytes.
        room: bytes of the largest disk that it may become.
    """

    size: int
    unit: int
    below: int
    last: int
    odd: bool
    room: int


EDGES: tuple[Callable[[_Ground], int], ...] = (
    lambda _: 0,
    lambda on: on.unit,
    lambda on: on.size,
    lambda on: on.below,
    lambda on: on.last,
    lambda on: on.size // on.unit * on.unit,
    lambda on: 2 * on.unit,
    lambda on: 8 * on.unit,
    lambda on: on.size // 2,
    lambda on: on.below // on.unit * on.unit,
    lambda on: _PAGE * on.unit,
)

REACHES: tuple[Callable[[_Ground, int], int], ...] = (
    lambda _, __: 0,
    lambda on, _: on.unit,
    lambda on, at: round_up(at + 1, on.unit) - at,
    lambda on, at: on.size - at,
    lambda on, at: on.below - at,
    lambda on, _: 2 * on.unit,
    lambda on, _: on.size,
)

_REVISIONS = (Revision.V10, Revision.V6, Revision.V4)
_BACKINGS = (None, BackingKind.RAW, BackingKind.QCOW2, BackingKind.CHAIN)
_CACHES = (4096, 8192, 65536)
_WAYS = tuple(Via)


def _from_edge(edge: int, number: int, base: int) -> int:
    """A number that is told by an edge: beyond the first edge, which is 0, it may be before it."""
    return min(max(base + (number if edge == 0 or number < _HALF else number - _WHOLE), 0), _WHOLE - 1)


def _place(on: _Ground, edge: int, number: int) -> int:
    edge %= len(EDGES)
    return _from_edge(edge, number, EDGES[edge](on))


def _size(on: _Ground, edge: int, number: int, flags: int) -> int:
    size = min(_place(on, edge, number), on.room)
    return size if on.odd or flags & Flag.AS_IT_IS else size // SECTOR_SIZE * SECTOR_SIZE


def _range(on: _Ground, record: Record) -> tuple[int, int]:
    offset, reach = _place(on, record.edge, record.number), record.reach % len(REACHES)
    longest = _LONGEST if on.size <= _MIB else _LONGEST_OF_LARGE
    length = min(_from_edge(reach, record.extent, REACHES[reach](on, offset)), longest)
    if record.flags & Flag.AS_IT_IS:
        return offset, length
    offset = offset if offset < on.size else max(on.size - length, 0)
    return offset, min(length, on.size - offset)


# --- from bytes


def _steps(record: Record, on: _Ground) -> int | None:
    """Where a stream stops. A large disk is never copied whole, as that takes seconds."""
    if on.size > _MIB:
        return record.small % 8
    return record.small if record.flags & Flag.STOPS else None


_DECODERS: dict[type[Operation], Callable[[Record, _Ground], Operation]] = {
    Write: lambda r, on: Write(*_range(on, r), r.small, bool(r.flags & Flag.FUA)),
    Read: lambda r, on: Read(*_range(on, r)),
    Zeroes: lambda r, on: Zeroes(*_range(on, r), bool(r.flags & Flag.UNMAP), bool(r.flags & Flag.FUA)),
    Flush: lambda _, __: Flush(),
    Stream: lambda r, on: Stream(_steps(r, on)),
    Reopen: lambda r, _: Reopen(bool(r.flags & Flag.WRITABLE), _WAYS[r.flags // Flag.WAYS % len(_WAYS)]),
    Kill: lambda _, __: Kill(),
    Resize: lambda r, on: Resize(_size(on, r.edge, r.number, r.flags)),
    Fault: lambda r, _: Fault(r.number % 1024, r.small % 134, r.extent % (_LONGEST + 1)),
}
KINDS = (*_DECODERS, Race)
# Those that two of may be under way at once.
_REQUESTS = KINDS[:5]


def decode(data: bytes) -> Case:
    """What bytes mean; see `Case`.

    Args:
        data: any bytes. Those that are missing from the head are zeros; what is no whole record, or beyond
            `OPERATIONS` records, means nothing. Another version is taken for this one.
    """
    head, records = split(data)
    revision = _REVISIONS[head.revision % len(_REVISIONS)]
    unit, odd = Geometry(revision, 0).unit_size, revision is Revision.V10
    on = _Ground(3 * unit, unit, 0, 0, odd, (_PAGE + _MORE) * unit)
    size = _size(on, head.size_edge, head.size, head.flags)
    kind = _BACKINGS[head.backing % len(_BACKINGS)]
    on.size, on.room = size, max(size, _MIB)
    below = min(_place(on, head.below_edge, head.below), _LONGEST) if kind else 0
    on.below = below
    disk = Disk(
        revision,
        size,
        Backing(kind, below) if kind else None,
        head.fill if size <= _MIB else 0,
        _CACHES[head.cache % len(_CACHES)],
    )
    operations = tuple(_operations(records, on))
    cut = Cut(head.moment, head.seed) if head.flags & Flag.LOSS else None
    return Case(Program(disk, operations), bool(head.flags & Flag.EACH), cut)


def split(data: bytes) -> tuple[Head, list[Record]]:
    """The head and the records of any bytes."""
    whole = (len(data) - HEAD.size) // RECORD.size * RECORD.size
    body = data[HEAD.size : HEAD.size + min(max(whole, 0), OPERATIONS * RECORD.size)]
    return Head(*HEAD.unpack(data[: HEAD.size].ljust(HEAD.size, b"\0"))), [
        Record(*fields) for fields in RECORD.iter_unpack(body)
    ]


def join(head: Head, records: list[Record]) -> bytes:
    """The bytes of a head and of records."""
    return HEAD.pack(*head) + b"".join(RECORD.pack(*record) for record in records[:OPERATIONS])


def _operations(records: list[Record], on: _Ground) -> Iterator[Operation]:
    queue = deque(records)
    while queue:
        record = queue.popleft()
        kind = KINDS[record.kind % len(KINDS)]
        if kind is Race:
            yield _race(record, queue, on)
            continue
        operation = _DECODERS[kind](record, on)
        yield operation
        if isinstance(operation, Write | Zeroes):
            on.last = operation.offset
        elif isinstance(operation, Resize) and (on.odd or operation.size % SECTOR_SIZE == 0):
            on.size = operation.size


def _race(record: Record, queue: deque[Record], on: _Ground) -> Operation:
    """Two requests at once, of the two records that follow; a flush where one is missing."""
    if len(queue) < 2:
        queue.clear()
        return Flush()
    first, second = (queue.popleft() for _ in range(2))
    return Race(_request(first, on), _request(second, on), record.small % 8)


def _request(record: Record, on: _Ground) -> Any:  # noqa: ANN401 - no type tells that these decoders give requests
    return _DECODERS[_REQUESTS[record.kind % len(_REQUESTS)]](record, on)


# --- to bytes


def _record(operation: Operation, flags: int = 0, small: int = 0, number: int = 0, extent: int = 0) -> Record:
    return Record(KINDS.index(type(operation)), flags, small, 0, number, 0, extent)


def _ranged(operation: Any, flags: int = 0, small: int = 0) -> Record:  # noqa: ANN401 - whatever has a range
    return _record(operation, flags | Flag.AS_IT_IS, small, operation.offset, operation.length)


_ENCODERS: dict[type[Operation], Callable[[Any], Record]] = {
    Write: lambda o: _ranged(o, o.fua * Flag.FUA, o.seed),
    Read: _ranged,
    Zeroes: lambda o: _ranged(o, o.unmap * Flag.UNMAP | o.fua * Flag.FUA),
    Flush: _record,
    Stream: lambda o: _record(o, (o.steps is not None) * Flag.STOPS, o.steps or 0),
    Reopen: lambda o: _record(o, o.writable * Flag.WRITABLE | _WAYS.index(o.via) * Flag.WAYS),
    Kill: _record,
    Resize: lambda o: _record(o, Flag.AS_IT_IS, number=o.size),
    Fault: lambda o: _record(o, small=o.code, number=o.after, extent=o.partial),
    Race: lambda o: _record(o, small=o.pause),
}


def encode(case: Case) -> bytes:
    """The bytes that mean a case. A loss of power that the program tells itself becomes one that is drawn.

    Raises:
        UsageError: there are more operations, or larger numbers, than the code has room for.
    """
    program, disk = case.program, case.program.disk
    cut = case.cut or (_DRAWN if program.power_loss else None)
    wanted = Case(
        program._replace(storage=StorageKind.MEMORY, power_loss=None, rule="", note=""), case.each, cut
    )
    try:
        head = Head(
            flags=Flag.AS_IT_IS | case.each * Flag.EACH | (cut is not None) * Flag.LOSS,
            revision=_REVISIONS.index(disk.revision),
            size=disk.size,
            backing=_BACKINGS.index(disk.backing.kind if disk.backing else None),
            below=disk.backing.size if disk.backing else 0,
            fill=disk.fill,
            cache=_CACHES.index(disk.cache_size),
            moment=cut.moment if cut else 0,
            seed=cut.seed if cut else 0,
        )
        data = HEAD.pack(*head) + b"".join(RECORD.pack(*record) for record in _records(program.operations))
    except (ValueError, struct.error) as error:
        raise UsageError(f"the program has a number that the code has no room for: {error}") from error
    if decode(data) != wanted:
        raise UsageError("the program is larger than the code has room for")
    return data


def _records(operations: tuple[Operation, ...]) -> Iterator[Record]:
    for operation in operations:
        yield _ENCODERS[type(operation)](operation)
        if isinstance(operation, Race):
            yield from _records((operation.first, operation.second))
