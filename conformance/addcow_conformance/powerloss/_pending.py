"""One file: what of it is durable, what is pending, and what it may be after a loss of power."""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b
from math import prod
from typing import TYPE_CHECKING, NamedTuple

from addcow_conformance.oracle import SECTOR
from addcow_ref.testing import SyncEvent, TruncateEvent, WriteEvent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from addcow_ref.storage import Storage
    from addcow_ref.testing import Event

__all__ = ["Choice", "Option", "PendingFile", "describe", "fate"]

_ZEROS = bytes(SECTOR)
# What a file system writes at once; the rest of a file's last block is zeros.
_BLOCK = 4096
# A longer file is put together sector by sector.
_SPARSE = 4 << 20


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
        kept: where the bytes end that the file had in the beginning; zeros follow.
        newest: the newest version of each sector that was written.
        several: the sectors of several versions, oldest first; by number.
        total: the number of choices.
    """

    def __init__(
        self, number: int, since: int, length: int, kept: int, versions: dict[int, list[Version]]
    ) -> None:
        self.number = number
        self.length = length
        self.since = since
        self.is_last = False
        self.several = {at: found for at, found in versions.items() if len(found) > 1}
        self.total = prod(map(len, self.several.values()))
        self.kept = kept
        self.newest = {at: found[-1].data for at, found in versions.items()}
        self._versions = versions
        self._keys: tuple[int, dict[int, list[int]]] | None = None
        self._content: bytes | None = None

    def put(self, behind: dict[int, int], content: bytes, storage: Storage) -> None:
        """Give an empty file the bytes of a choice; what was never written stays a hole.

        Args:
            behind: the choice.
            content: the bytes that the file had in the beginning.
            storage: the file.
        """
        storage.truncate(self.length)
        old = {at: self.several[at][index].data for at, index in behind.items()}
        if self.length > _SPARSE:
            for start, parts in _runs(self.newest | old):
                data = b"".join(parts)
                storage.write(start * SECTOR, data[: max(self.length - start * SECTOR, 0)])
            return
        if self._content is None:
            kept = bytearray(content[: min(self.kept, self.length)])
            end = min(max(len(kept), (max(self.newest, default=-1) + 1) * SECTOR), self.length)
            self._content = bytes(_overlaid(kept.ljust(end, b"\0"), self.newest))
        storage.write(0, _overlaid(bytearray(self._content), old))

    def key(self, behind: dict[int, int]) -> int:
        """A number that is equal for equal files of one name."""
        newest, changes = self._keys = self._keys or self._make_keys()
        for at, index in behind.items():
            newest ^= changes[at][index]
        return newest

    def _make_keys(self) -> tuple[int, dict[int, list[int]]]:
        """The key of the newest versions, and by what the other versions of each sector change it."""
        key = _mark(-1, b"%d %d" % (self.length, min(self.kept, self.length)))
        for at, data in self.newest.items():
            key ^= self._mark(at, data)
        changes = {}
        for at, versions in self.several.items():
            last = self._mark(at, versions[-1].data)
            changes[at] = [self._mark(at, version.data) ^ last for version in versions]
        return key, changes

    def _mark(self, at: int, data: bytes) -> int:
        room = self.length - at * SECTOR
        return _mark(at, data if room >= SECTOR else data[: max(room, 0)])

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
        versions = self._versions[at]
        return versions[behind.get(at, -1)].since >= min(step, versions[-1].since)


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
        self._content = b"" if isinstance(content, int) else content
        self._kept = len(self._content)
        self._length = content if isinstance(content, int) else len(content)
        self._sectors: dict[int, bytes] = {}
        self._pending: list[Event] = []
        self._options: list[Option] | None = None

    def add(self, event: Event) -> None:
        """An event on this file has happened."""
        if isinstance(event, SyncEvent):
            last = self.options()[-1]
            self._length, self._kept, self._sectors = last.length, last.kept, last.newest
            self._pending = []
        else:
            self._pending.append(event)
        self._options = None

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
        choice.option.put(choice.behind, self._content, storage)

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
        kept, now_kept, now_length = self._kept, self._kept, self._length
        versions = {at: [Version(-1, data)] for at, data in self._sectors.items()}
        now = dict(self._sectors)

        def add(at: int, data: bytes) -> None:
            known = versions.setdefault(at, [Version(-1, self._original(at, kept))])
            if data != known[-1].data:
                known.append(Version(step, data))

        for step, event in enumerate(self._pending):
            if not isinstance(event, TruncateEvent):
                start, end = _range(event)
                for at in range(start // SECTOR, -(-end // SECTOR)):
                    now[at] = _written(now.get(at) or self._original(at, now_kept), at, event)
                    add(at, now[at])
                now_length = max(now_length, end)
                continue
            now_kept = min(now_kept, event.length)
            _cut(now, event.length)
            if step <= since:
                # Durable: what was there before it is wiped.
                kept = min(kept, event.length)
                _cut_versions(versions, step, event.length)
            elif event.length < now_length:
                # Zeros fill the last block up to its end, and may be there without the length.
                for at in range(event.length // SECTOR, -(-event.length // _BLOCK) * _BLOCK // SECTOR):
                    add(at, now.get(at) or self._original(at, now_kept))
            now_length = event.length
        return Option(number, since, length, kept, versions)

    def _original(self, at: int, kept: int) -> bytes:
        """A sector as the file had it in the beginning, cut at ``kept``."""
        return self._content[at * SECTOR : min((at + 1) * SECTOR, kept)].ljust(SECTOR, b"\0")


def _runs(sectors: dict[int, bytes]) -> Iterator[tuple[int, list[bytes]]]:
    """Sectors that follow each other, together: the first one's number, and their bytes."""
    parts: list[bytes] = []
    after = -1
    for at in sorted(sectors):
        if parts and at != after:
            yield after - len(parts), parts
            parts = []
        parts.append(sectors[at])
        after = at + 1
    if parts:
        yield after - len(parts), parts


def _overlaid(data: bytearray, sectors: dict[int, bytes]) -> memoryview:
    """The bytes with some sectors put into them; the length stays."""
    length = len(data)
    for at, sector in sectors.items():
        data[at * SECTOR : (at + 1) * SECTOR] = sector
    return memoryview(data)[:length]


def _range(event: Event) -> tuple[int, int]:
    """The bytes that an event writes."""
    assert not isinstance(event, SyncEvent | TruncateEvent)  # noqa: S101 - tells mypy
    length = len(event.data) if isinstance(event, WriteEvent) else event.length
    return event.offset, event.offset + (length if length else 0)


def _written(old: bytes, at: int, event: Event) -> bytes:
    """A sector after an event that touches it."""
    start, end = _range(event)
    low, high = max(start - at * SECTOR, 0), min(end - at * SECTOR, SECTOR)
    if isinstance(event, WriteEvent):
        piece = event.data[at * SECTOR + low - start : at * SECTOR + high - start]
    else:
        piece = bytes(high - low)
    return old[:low] + piece + old[high:]


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
    sectors = range(start // SECTOR, -(-end // SECTOR))
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
