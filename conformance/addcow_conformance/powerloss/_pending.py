"""One file: what of it is durable, what is pending, and what it may be after a loss of power."""

from __future__ import annotations

from functools import cached_property, lru_cache, reduce
from hashlib import blake2b
from itertools import pairwise
from math import prod
from operator import xor
from typing import TYPE_CHECKING, NamedTuple

from addcow_conformance._sparse import over, pieces
from addcow_conformance._units import Units
from addcow_conformance.oracle import SECTOR
from addcow_conformance.powerloss._content import SECTORS, Content
from addcow_ref.testing import SyncEvent, TruncateEvent, WriteEvent, ZeroesEvent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from addcow_ref.storage import Storage
    from addcow_ref.testing import Event

__all__ = ["Choice", "Option", "PendingFile", "describe", "fate"]

_ZEROS = bytes(SECTOR)
# What a file system writes at once; the rest of a file's last block is zeros.
_BLOCK = 4096


class Version(NamedTuple):
    """Bytes of a sector, and the number of the pending event that made them; -1 for the durable ones."""

    since: int
    data: bytes


class Option:
    """One of the lengths that a file may have, and the versions that its sectors may have then.

    A choice of versions is told by the sectors that are *behind*: number of the sector, and of its version,
    0 for the oldest. All others are in their newest version.

    Attributes:
        number: which of the file's lengths it is; 0 is the durable one.
        length: bytes of the file.
        since: the pending event that made the length, -1 for the durable one.
        is_last: whether it is the newest length.
        durable: what is durable then.
        newest: the newest version of each sector that is pending.
        several: the sectors of several versions, oldest first; by number.
        deep: those of more than two.
        total: the number of choices.
    """

    def __init__(
        self, number: int, since: int, length: int, durable: _Durable, versions: dict[int, list[Version]]
    ) -> None:
        self.number = number
        self.length = length
        self.since = since
        self.is_last = False
        self.several = {at: found for at, found in versions.items() if len(found) > 1}
        self.deep = [at for at, found in self.several.items() if len(found) > 2]
        self.total = prod(map(len, self.several.values()))
        self.durable = durable
        self.newest = {at: found[-1].data for at, found in versions.items()}
        self._versions = versions

    def put(self, behind: dict[int, int], storage: Storage) -> None:
        """Give an empty file the bytes of a choice; what was never written stays a hole.

        Args:
            behind: the choice.
            storage: the file.
        """
        storage.truncate(self.length)
        newest, places, runs = self._pieces
        chosen, shown = newest.copy(), self._shown
        for at, index in behind.items():
            chosen[places[at]] = shown[at][index]
        for start, first, stop in runs:
            storage.write(start * SECTOR, *chosen[first:stop])

    @cached_property
    def _pieces(self) -> tuple[list[bytes], dict[int, int], list[tuple[int, int, int]]]:
        """What is no hole, cut at the sectors of several versions, and which piece a sector begins.

        And of those that follow each other in the file, too: the sector, and where they start and stop.
        """
        found: list[bytes] = []
        places, runs = {}, []
        several: dict[int, list[int]] = {}
        for at in self.several:
            several.setdefault(at // SECTORS, []).append(at % SECTORS)
        # By blocks: what was put together is still in the processor's cache when it is written.
        for block, data in self.durable.content.with_sectors(self.newest):
            start, first, own = block * SECTORS, len(found), several.get(block, [])
            for low, high in pairwise(sorted({0, SECTORS, *own, *(at + 1 for at in own)})):
                places[start + low] = len(found)
                found.append(self._cut(start + low, data[low * SECTOR : high * SECTOR]))
            runs.append((start, first, len(found)))
        return found, places, runs

    def key(self, behind: dict[int, int]) -> int:
        """A number that is equal for equal files of one name."""
        key, changes = self._keys
        for at, index in behind.items():
            key ^= changes[at][index]
        return key

    @cached_property
    def _keys(self) -> tuple[int, dict[int, list[int]]]:
        """The key of the newest versions, and by what the other versions of each sector change it."""
        _, kept, written = self.durable
        sectors = {at: self.durable.content.sector(at) for at in written} | self.newest
        newest = {at: _mark(at, self._cut(at, data)) for at, data in sectors.items()}
        changes = {at: [_mark(at, data) ^ newest[at] for data in shown] for at, shown in self._shown.items()}
        return reduce(xor, newest.values(), _mark(-1, b"%d %d" % (self.length, kept))), changes

    @cached_property
    def _shown(self) -> dict[int, list[bytes]]:
        """The bytes of each version of a sector that are in the file."""
        return {at: [self._cut(at, version.data) for version in found] for at, found in self.several.items()}

    def _cut(self, at: int, data: bytes) -> bytes:
        """Bytes from a sector on, up to the file's end."""
        return data[: max(self.length - at * SECTOR, 0)]

    def behind(self, step: int) -> dict[int, int]:
        """What is behind when all is there up to the pending event ``step``, and nothing after it."""
        found = {}
        for at, versions in self.several.items():
            index = max((n for n, version in enumerate(versions) if version.since <= step), default=0)
            if index < len(versions) - 1:
                found[at] = index
        return found

    def is_there(self, at: int, step: int, behind: dict[int, int]) -> bool:
        """Whether a sector is as it was after the pending event ``step``, or newer."""
        versions = self._versions.get(at)
        if versions is None:  # zeros in a hole, or no bytes at all
            return True
        return versions[behind.get(at, -1)].since >= min(step, versions[-1].since)


class _Durable(NamedTuple):
    """What is durable of a file.

    Attributes:
        content: its bytes.
        kept: how many there still are of those that it had in the beginning.
        sectors: those that were written.
    """

    content: Content
    kept: int
    sectors: Units

    def written(self, event: Event) -> _Durable:
        """With what an event wrote. Of zeros that are punched into a hole nothing is kept."""
        start, end = _range(event)
        data = _data(event)
        if data is not None:
            touched = _sectors(start, end)
            sectors = self.sectors | Units.between(touched.start, touched.stop)
            return _Durable(self.content.written(start, data), self.kept, sectors)
        sectors = self.sectors
        for block, low, high in self.content.held(start, end - start):
            touched = _sectors(block * SECTORS * SECTOR + low, block * SECTORS * SECTOR + high)
            sectors |= Units.between(touched.start, touched.stop)
        return _Durable(self.content.zeroed(start, end - start), self.kept, sectors)

    def cut(self, length: int) -> _Durable:
        """With zeros from there on."""
        return self._replace(content=self.content.cut(length), kept=min(self.kept, length))


class Choice(NamedTuple):
    """An option, and the sectors that are behind; see `Option`."""

    option: Option
    behind: dict[int, int]


@lru_cache(maxsize=1 << 16)
def _mark(at: int, data: bytes) -> int:
    return int.from_bytes(blake2b(b"%d %s" % (at, data), digest_size=12).digest(), "big")


class PendingFile:
    """A file, and the events on it since it was last synced.

    Args:
        content: its bytes in the beginning, which are durable; the length alone where it is one hole.
    """

    def __init__(self, content: bytes | int) -> None:
        data = b"" if isinstance(content, int) else content
        self._durable = _Durable(Content.of(data), len(data), Units())
        self._length = content if isinstance(content, int) else len(content)
        self._pending: list[Event] = []
        self._options: list[Option] | None = None

    def add(self, event: Event) -> None:
        """An event on this file has happened."""
        if isinstance(event, SyncEvent):
            self._settle()
        else:
            self._pending.append(event)
        self._options = None

    def _settle(self) -> None:
        """All that is pending is durable now: the newest option, without what else there may have been."""
        for event in self._pending:
            if isinstance(event, TruncateEvent):
                self._durable = self._durable.cut(event.length)
                self._length = event.length
            else:
                self._durable = self._durable.written(event)
                self._length = max(self._length, _range(event)[1])
        self._pending = []

    @property
    def pending(self) -> int:
        """Number of events since the last sync."""
        return len(self._pending)

    def prefix(self, step: int) -> Choice:
        """The file as it was right after the pending event ``step``; -1 for what is durable."""
        option = [option for option in self.options() if option.since <= step][-1]
        return Choice(option, option.behind(step))

    def put(self, choice: Choice, storage: Storage) -> None:
        """Give an empty file the bytes of a choice."""
        choice.option.put(choice.behind, storage)

    def options(self) -> list[Option]:
        """What the file may be now, by length: the durable one first, the newest last."""
        if self._options is None:
            changes = self._length_changes()
            self._options = [
                self._option(number, since, length) for number, (since, length) in enumerate(changes)
            ]
            self._options[-1].is_last = True
        return self._options

    def _length_changes(self) -> list[tuple[int, int]]:
        """The pending event and the new length of each change, after the durable length."""
        found = [(-1, self._length)]
        for number, event in enumerate(self._pending):
            length = found[-1][1]
            new = event.length if isinstance(event, TruncateEvent) else max(length, _range(event)[1])
            if new != length:
                found.append((number, new))
        return found

    def _option(self, number: int, since: int, length: int) -> Option:
        durable, now_durable, now_length = self._durable, self._durable, self._length
        versions: dict[int, list[Version]] = {}
        now: dict[int, bytes] = {}
        cuts: list[tuple[int, int]] = []  # those that are durable: the step, and the length

        def add(at: int, data: bytes) -> None:
            known = versions.get(at)
            if known is None:
                wiped = max((cut for cut, length in cuts if at * SECTOR >= length), default=-1)
                known = versions[at] = [Version(wiped, durable.content.sector(at))]
            if data != known[-1].data:
                known.append(Version(step, data))

        for step, event in enumerate(self._pending):
            if not isinstance(event, TruncateEvent):
                for at, low, piece in _written(event, durable.content, now):
                    now[at] = _over(now.get(at) or now_durable.content.sector(at), low, piece)
                    add(at, now[at])
                now_length = max(now_length, _range(event)[1])
                continue
            now_durable = now_durable.cut(event.length)
            _cut(now, event.length)
            if step <= since:
                # Durable: what was there before it is wiped.
                durable = durable.cut(event.length)
                cuts.append((step, event.length))
                _cut_versions(versions, step, event.length)
            elif event.length < now_length:
                # Zeros fill the last block up to its end, and may be there without the length.
                for at in range(event.length // SECTOR, -(-event.length // _BLOCK) * _BLOCK // SECTOR):
                    add(at, now.get(at) or now_durable.content.sector(at))
            now_length = event.length
        return Option(number, since, length, durable, versions)


def _sectors(start: int, end: int) -> range:
    """The sectors that a range touches."""
    return range(start // SECTOR, -(-end // SECTOR))


def _range(event: Event) -> tuple[int, int]:
    """The bytes that an event writes."""
    assert not isinstance(event, SyncEvent | TruncateEvent)  # noqa: S101 - tells mypy
    length = len(event.data) if isinstance(event, WriteEvent) else event.length
    return event.offset, event.offset + (length if length else 0)


def _data(event: Event) -> bytes | None:
    """The bytes that an event writes; None where it punches a hole."""
    if isinstance(event, WriteEvent):
        return event.data
    start, end = _range(event)
    return None if isinstance(event, ZeroesEvent) and event.unmap else bytes(end - start)


def _written(event: Event, content: Content, now: dict[int, bytes]) -> Iterator[tuple[int, int, bytes]]:
    """The sectors that an event writes: number, and from where on in it which bytes.

    Zeros that are punched into a hole are left out, where no sector of ``now`` is.
    """
    start, end = _range(event)
    data = _data(event)
    if data is not None:
        for at, low, high in pieces(start, end - start, SECTOR):
            first = at * SECTOR + low - start
            yield at, low, data[first : first + high - low]
        return
    for block, first, stop in content.held(start, end - start, {at // SECTORS for at in now}):
        for at, low, high in pieces(block * SECTORS * SECTOR + first, stop - first, SECTOR):
            yield at, low, _ZEROS[: high - low]


def _over(old: bytes, low: int, piece: bytes) -> bytes:
    return piece if len(piece) == SECTOR else over(old, low, piece)


def _cut(sectors: dict[int, bytes], length: int) -> None:
    for at, data in sectors.items():
        sectors[at] = data[: max(length - at * SECTOR, 0)].ljust(SECTOR, b"\0")


def _cut_versions(versions: dict[int, list[Version]], step: int, length: int) -> None:
    for at, known in versions.items():
        if at * SECTOR >= length:
            versions[at] = [Version(step, _ZEROS)]
        elif (at + 1) * SECTOR > length:
            head = length - at * SECTOR
            versions[at] = [Version(v.since, v.data[:head].ljust(SECTOR, b"\0")) for v in known]


def fate(event: Event, step: int, choice: Choice) -> str:
    """What became of a pending event, in a word or two.

    Args:
        event: the event.
        step: its number among the pending events of its file.
        choice: what was chosen for the file.
    """
    option, behind = choice
    if isinstance(event, TruncateEvent):
        return "there" if step <= option.since or event.length == option.length else "lost"
    start, end = _range(event)
    sectors = _sectors(start, end)
    there = sum(option.is_there(at, step, behind) for at in sectors)
    if there in {0, len(sectors)}:
        return "there" if there else "lost"
    return f"torn: {there} of {len(sectors)} sectors are there"


def describe(event: Event, name: str) -> str:
    """An event in a line."""
    if isinstance(event, SyncEvent):
        return f"sync {name}"
    if isinstance(event, TruncateEvent):
        return f"truncate {name} to {event.length}"
    start, end = _range(event)
    return f"{'write' if isinstance(event, WriteEvent) else 'zero'} {name} {start}..{end}"
