"""The states that matter, by name: a predicate each, and how often a campaign has to come to it.

A state that no disk of a revision or of a storage can come to says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from addcow_conformance._units import Units
from addcow_conformance.oracle import Oracle
from addcow_conformance.programs import (
    BackingKind,
    Flush,
    Kill,
    Operation,
    Race,
    Read,
    Reopen,
    Resize,
    StorageKind,
    Stream,
    Via,
    Write,
    Zeroes,
    tell,
)
from addcow_spec.geometry import SECTOR_SIZE, ceil_div
from addcow_spec.model import Revision

if TYPE_CHECKING:
    from collections.abc import Callable

    from addcow_conformance.programs import Session
    from addcow_conformance.reach._moment import Moment

__all__ = ["BEGINNINGS", "STATES", "State"]

_PAGE = 4096 * 8
_SECTORS = frozenset({Revision.V4, Revision.V6})
_CLUSTERS = frozenset({Revision.V10})


class State(NamedTuple):
    """A state.

    Attributes:
        on: operations that can lead to it.
        test: whether a step did.
        floor: how often it has to be reached in 10,000 steps of a campaign, once at least.
        revisions: revisions that have it.
        storages: storages that have it.
    """

    on: tuple[type[Operation], ...]
    test: Callable[[Moment], bool]
    floor: float = 1
    revisions: frozenset[Revision] = frozenset(Revision)
    storages: frozenset[StorageKind] = frozenset(StorageKind)


_WRITES = (Write, Zeroes)


# --- writes


def _crosses_below(moment: Moment) -> bool:
    unit, below = moment.unit, moment.below
    return bool(below % unit) and below < moment.before.size and below // unit in moment.edges


def _both_sides(moment: Moment) -> bool:
    start, end = moment.range
    unit = moment.unit
    inside = start % unit and end % unit and end < moment.before.size
    return bool(inside) and start // unit == end // unit and start // unit in moment.edges


def _short_last(moment: Moment) -> bool:
    size, last = moment.before.size, moment.before.size // moment.unit
    return moment.done and size % moment.unit > 0 and last in moment.touched - moment.before.units


def _mixed(moment: Moment) -> bool:
    touched = moment.touched
    return moment.done and bool(touched & moment.before.units) and bool(touched - moment.before.units)


def _crosses_pages(moment: Moment) -> bool:
    start, end = moment.range
    page = _PAGE * moment.unit
    return moment.done and start < end and start // page != (end - 1) // page


def _new_sectors(moment: Moment) -> int:
    """Whole sectors of a failed write that show its bytes."""
    start, end = moment.range
    first, last = ceil_div(start, SECTOR_SIZE) * SECTOR_SIZE, end // SECTOR_SIZE * SECTOR_SIZE
    written = Oracle(end, None, moment.unit)
    tell(written, moment.operation)
    wanted = written.read(start, end - start)
    found = moment.session.oracle.read(start, end - start)
    return sum(
        found[at : at + SECTOR_SIZE] == wanted[at : at + SECTOR_SIZE]
        for at in range(first - start, last - start, SECTOR_SIZE)
    )


def _write_seen(moment: Moment) -> bool:
    return moment.failed and moment.result.struck and _new_sectors(moment) > 0


def _write_unseen(moment: Moment) -> bool:
    start, end = moment.range
    return moment.failed and moment.result.struck and end - start >= SECTOR_SIZE and not _new_sectors(moment)


_OF_WRITES: dict[str, State] = {
    "write: of no bytes": State(_WRITES, lambda m: m.done and m.range[0] == m.range[1], floor=250),
    "write: of the whole disk": State(
        _WRITES, lambda m: m.done and m.range == (0, m.before.size) != (0, 0), floor=100
    ),
    "write: at the very end": State(
        _WRITES, lambda m: m.done and m.range[1] == m.before.size > m.range[0] > 0, floor=300
    ),
    "write: of set units alone": State(
        _WRITES, lambda m: m.done and m.touched != set() and m.touched <= m.before.units, floor=900
    ),
    "write: of set and clear units": State(_WRITES, _mixed, floor=20),
    "write: durable on return": State(_WRITES, lambda m: m.done and m.operation.fua, floor=150),
    "write: zeros, and no hole": State(
        (Zeroes,), lambda m: m.done and not m.operation.unmap and m.touched != set(), floor=150
    ),
    "write: copies both sides of a unit": State(_WRITES, _both_sides, floor=2),
    "write: copies across the end of the backing": State(_WRITES, _crosses_below, floor=6),
    "write: copies zeros beyond the backing": State(
        _WRITES, lambda m: m.below > 0 and m.copies(begins_below=False), floor=12
    ),
    "write: copies zeros, with no backing": State(
        _WRITES, lambda m: not m.kind and m.session.disk.fill > 0 and m.edges != set(), floor=3
    ),
    "write: copies from a raw file": State(
        _WRITES, lambda m: m.kind == BackingKind.RAW and m.copies(), floor=9
    ),
    "write: copies from qcow2": State(_WRITES, lambda m: m.kind == BackingKind.QCOW2 and m.copies(), floor=7),
    "write: copies from a chain": State(
        _WRITES, lambda m: m.kind == BackingKind.CHAIN and m.copies(), floor=7
    ),
    "write: first of a short last unit": State(_WRITES, _short_last, revisions=_CLUSTERS, floor=30),
    "write: across pages of the bitmap": State(_WRITES, _crosses_pages, floor=0.8),
    "write: a changed page leaves the cache": State((*_WRITES, Read), lambda m: m.evicts, floor=4),
    "write: refused beyond the end": State(
        _WRITES, lambda m: m.refused and m.range[1] > m.before.size, floor=150
    ),
    "write: refused as it is open for reading": State(
        _WRITES, lambda m: m.refused and not m.before.writable, floor=40
    ),
    "write: failed": State(_WRITES, lambda m: m.failed and m.result.struck, floor=13),
    "write: failed, and is seen in part": State((Write,), _write_seen, floor=3),
    "write: failed, and is not seen": State((Write,), _write_unseen, floor=2),
    "write: fails as a sync had failed": State(
        _WRITES, lambda m: m.failed and not m.result.struck, floor=100
    ),
}

# --- reads, flushes, ends

_OF_FLUSHES: dict[str, State] = {
    "read: of no bytes": State((Read,), lambda m: m.done and m.range[0] == m.range[1], floor=40),
    "read: refused beyond the end": State((Read,), lambda m: m.refused, floor=20),
    "read: across the end of the backing": State(
        (Read,), lambda m: m.done and m.range[0] < m.below < m.range[1], floor=11
    ),
    "read: failed": State((Read,), lambda m: m.failed, floor=4),
    "flush: of nothing": State((Flush,), lambda m: m.done and not m.past.unflushed, floor=18),
    "flush: of what was written": State(
        (Flush,), lambda m: m.done and m.past.unflushed and m.before.writable, floor=150
    ),
    "flush: failed": State((Flush,), lambda m: m.failed and m.result.struck, floor=4),
    "flush: after one that failed": State((Flush,), lambda m: m.past.flush_failed, floor=12),
    "kill: with unflushed writes": State((Kill,), lambda m: m.past.unflushed, floor=40),
    "kill: after a durable write": State((Kill,), lambda m: m.past.durable, floor=16),
    "kill: bits are lost": State(
        (Kill,), lambda m: m.done and bool(m.before.units - m.session.oracle.must_be_set), floor=5
    ),
    "kill: bits are kept": State((Kill,), lambda m: m.done and bool(m.session.oracle.must_be_set), floor=40),
    "open: for reading": State((Reopen,), lambda m: m.done and not m.operation.writable, floor=20),
    "open: for writing, after reading": State(
        (Reopen,), lambda m: m.done and m.operation.writable and not m.before.writable, floor=15
    ),
    "open: by a symbolic link": State(
        (Reopen,),
        lambda m: m.done and m.operation.via is Via.SYMLINK,
        storages=frozenset({StorageKind.FILES}),
        floor=30,
    ),
    "open: from another directory": State(
        (Reopen,),
        lambda m: m.done and m.operation.via is Via.DIRECTORY,
        storages=frozenset({StorageKind.FILES}),
        floor=30,
    ),
    "open: after a fault": State(
        (Reopen, Kill), lambda m: m.past.struck and m.session.image is not None, floor=30
    ),
    "open: failed": State((Reopen, Kill), lambda m: m.session.image is None, floor=20),
    "close: flushes what was written": State(
        (Reopen,), lambda m: m.done and m.past.unflushed and m.before.writable, floor=60
    ),
    "close: failed": State(
        (Reopen,), lambda m: m.failed and m.before.opened and m.session.image is not None, floor=6
    ),
}

# --- resizes


def _grows(moment: Moment) -> bool:
    return moment.done and moment.operation.size > moment.before.size


def _shrinks(moment: Moment) -> bool:
    return moment.done and moment.operation.size < moment.before.size


def _short_unit(moment: Moment, *, is_set: bool) -> bool:
    last = moment.before.size // moment.unit
    return _grows(moment) and moment.before.size % moment.unit > 0 and (last in moment.before.units) is is_set


def _bytes_of_bitmap(moment: Moment, size: int) -> int:
    return ceil_div(ceil_div(size, moment.unit), 8)


def _across_a_byte(moment: Moment) -> bool:
    old, new = moment.before.size, moment.operation.size
    return moment.done and _bytes_of_bitmap(moment, old) != _bytes_of_bitmap(moment, new)


def _regrows(moment: Moment) -> bool:
    added = moment.units(0, moment.operation.size) - moment.units(0, moment.before.size)
    return _grows(moment) and bool(added & moment.past.cut)


_OF_RESIZES: dict[str, State] = {
    "resize: across a byte of the bitmap": State((Resize,), _across_a_byte, floor=100),
    "resize: across a page of the bitmap": State(
        (Resize,),
        lambda m: m.done and m.before.size // (_PAGE * m.unit) != m.operation.size // (_PAGE * m.unit),
        floor=0.3,
    ),
    "resize: grows a short unit that is set": State(
        (Resize,), lambda m: _short_unit(m, is_set=True), revisions=_CLUSTERS, floor=20
    ),
    "resize: grows a short unit that is clear": State(
        (Resize,), lambda m: _short_unit(m, is_set=False), revisions=_CLUSTERS, floor=20
    ),
    "resize: grows what was shrunk": State((Resize,), lambda m: _grows(m) and m.past.shrunk, floor=80),
    "resize: grows again over units that were set": State((Resize,), _regrows, floor=50),
    "resize: grows over the backing": State(
        (Resize,), lambda m: _grows(m) and m.before.size < m.below, floor=40
    ),
    "resize: shrinks to less than the backing": State(
        (Resize,), lambda m: _shrinks(m) and m.operation.size < m.below < m.before.size, floor=17
    ),
    "resize: to nothing": State((Resize,), lambda m: _shrinks(m) and m.operation.size == 0, floor=30),
    "resize: from nothing": State((Resize,), lambda m: _grows(m) and m.before.size == 0, floor=20),
    "resize: to the same size": State(
        (Resize,), lambda m: m.done and m.operation.size == m.before.size, floor=90
    ),
    "resize: refused as the size is odd": State(
        (Resize,), lambda m: m.refused and m.operation.size % SECTOR_SIZE > 0, revisions=_SECTORS, floor=40
    ),
    "resize: refused as it is open for reading": State(
        (Resize,), lambda m: m.refused and not m.before.writable, floor=10
    ),
    "resize: failed": State((Resize,), lambda m: m.failed and m.result.struck, floor=10),
    "resize: failed, and is done": State(
        (Resize,), lambda m: m.failed and m.session.oracle.size != m.before.size, floor=0.6
    ),
}

# --- streams


def _went(moment: Moment) -> bool:
    return moment.done and not moment.all_were_set


_OF_STREAMS: dict[str, State] = {
    "stream: to the end": State((Stream,), lambda m: _went(m) and m.all_set, floor=9),
    "stream: around units that were set": State(
        (Stream,), lambda m: _went(m) and m.all_set and m.before.units != frozenset(), floor=5
    ),
    "stream: of nothing": State((Stream,), lambda m: m.done and m.all_were_set, floor=150),
    "stream: stopped at once": State(
        (Stream,), lambda m: _went(m) and m.before.units == m.session.oracle.must_be_set, floor=13
    ),
    "stream: stopped on the way": State(
        (Stream,), lambda m: m.done and not m.all_set and m.before.units != m.session.oracle.must_be_set
    ),
    "stream: completes one that was stopped": State(
        (Stream,), lambda m: m.done and m.all_set and m.past.stopped, floor=8
    ),
    "stream: completes one that failed": State(
        (Stream,), lambda m: m.done and m.all_set and m.past.stream_failed, floor=3
    ),
    "stream: over zeros below": State(
        (Stream,),
        lambda m: m.done and m.all_set and m.below >= 32768 and 24576 // m.unit not in m.before.units,
        floor=9,
    ),
    "stream: beyond the backing": State(
        (Stream,),
        lambda m: (
            _went(m)
            and m.all_set
            and 0 < m.below < m.before.size
            and (m.before.size - 1) // m.unit not in m.before.units
        ),
        floor=2,
    ),
    "stream: failed": State((Stream,), lambda m: m.failed and m.result.struck, floor=3),
    "stream: refused as it is open for reading": State((Stream,), lambda m: m.refused, floor=5),
}

# --- two requests at once


def _common(moment: Moment) -> Units:
    """The clear units that both of two writes touch."""
    race = moment.operation
    if not (moment.done and isinstance(race.first, _WRITES) and isinstance(race.second, _WRITES)):
        return Units()
    one, two = (moment.units(each.offset, each.length) for each in (race.first, race.second))
    return (one & two) - moment.before.units


def _bytes_meet(moment: Moment) -> bool:
    race = moment.operation
    if not (moment.done and isinstance(race.first, _WRITES) and isinstance(race.second, _WRITES)):
        return False
    one, two = (moment.units(each.offset, each.length) for each in (race.first, race.second))
    return not one & two and bool({unit // 8 for unit in one} & {unit // 8 for unit in two})


def _with(kind: type[Operation]) -> Callable[[Moment], bool]:
    return lambda m: m.done and (isinstance(m.operation.first, kind) or isinstance(m.operation.second, kind))


_OF_RACES: dict[str, State] = {
    "race: two writes to one clear unit": State((Race,), lambda m: _common(m) != set(), floor=3),
    "race: two writes to one byte of the bitmap": State((Race,), _bytes_meet, floor=3),
    "race: the second waits": State((Race,), lambda m: m.done and m.session.waited, floor=15),
    "race: with a read": State((Race,), _with(Read), floor=30),
    "race: with a flush": State((Race,), _with(Flush), floor=30),
    "race: with a stream": State((Race,), _with(Stream), floor=80),
    "race: failed": State((Race,), lambda m: m.failed and m.result.struck, floor=4),
}

STATES = _OF_WRITES | _OF_FLUSHES | _OF_RESIZES | _OF_STREAMS | _OF_RACES

# --- where a program begins


class Beginning(NamedTuple):
    """A disk at its beginning; as a `State`."""

    test: Callable[[Session], bool]
    floor: float = 1
    revisions: frozenset[Revision] = frozenset(Revision)
    storages: frozenset[StorageKind] = frozenset(StorageKind)


def _below(session: Session) -> int:
    return len(session.backing.data) if session.disk.backing else -1


BEGINNINGS: dict[str, Beginning] = {
    "disk: of no bytes": Beginning(lambda s: s.oracle.size == 0),
    "disk: with more than a page of bits": Beginning(lambda s: s.oracle.size > _PAGE * s.oracle.unit_size),
    "disk: with a short last unit": Beginning(
        lambda s: s.oracle.size % s.oracle.unit_size > 0, revisions=_CLUSTERS, floor=30
    ),
    "disk: without a backing": Beginning(lambda s: s.disk.backing is None, floor=11),
    "disk: over nothing": Beginning(lambda s: _below(s) == 0, floor=5),
    "disk: over a shorter backing": Beginning(lambda s: 0 < _below(s) < s.oracle.size, floor=14),
    "disk: over a backing as long": Beginning(lambda s: _below(s) == s.oracle.size > 0, floor=4),
    "disk: over a longer backing": Beginning(lambda s: _below(s) > s.oracle.size, floor=7),
    "disk: refused as its size is odd": Beginning(lambda s: s.odd(s.disk.size), revisions=_SECTORS, floor=2),
}
