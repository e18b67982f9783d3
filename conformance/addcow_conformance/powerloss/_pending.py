"""One file: what of it is durable, what is pending, and what it may be after a loss of power."""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b
from math import prod
from typing import TYPE_CHECKING, NamedTuple

from addcow_conformance.oracle import SECTOR
from addcow_ref.testing import SyncEvent, TruncateEvent, WriteEvent

if TYPE_CHECKING:
    from addcow_ref.storage import Storage
    from addcow_ref.testing import Event

__all__ = ["Choice", "FileState", "Option", "PendingFile", "describe", "fate"]

_ZEROS = bytes(SECTOR)


class FileState(NamedTuple):
    """A file as a loss of power leaves it.

    Attributes:
        length: its length in bytes.
        kept: where the bytes end that it had in the beginning; zeros follow.
        sectors: those that were written since, by number; each of 512 bytes, whatever the length.
    """

    length: int
    kept: int
    sectors: dict[int, bytes]


class Version(NamedTuple):
    """Bytes of a sector, and the number of the pending event that made them; -1 for the durable ones."""

    since: int
    data: bytes


class Option:
    """One of the lengths that a file may have, and the versions that its sectors may have then.

    Attributes:
        length: bytes of the file.
        number: which of the file's lengths it is; 0 is the durable one.
        since_length: the pending event that made it, -1 for the durable one.
        is_last: whether it is the newest.
        several: the sectors of several versions, oldest first; by number.
        total: the number of choices.
    """

    def __init__(
        self, number: int, since: int, length: int, kept: int, versions: dict[int, list[Version]]
    ) -> None:
        self.number = number
        self.since_length = since
        self.is_last = False
        self.several = {at: found for at, found in versions.items() if len(found) > 1}
        self.total = prod(map(len, self.several.values()))
        self.length = length
        self._kept = kept
        self._single = {at: found[0].data for at, found in versions.items() if len(found) == 1}
        self._versions = versions
        self._key: int | None = None

    def state(self, picked: dict[int, int]) -> FileState:
        """The file with the versions that are picked."""
        chosen = {at: self.several[at][index].data for at, index in picked.items()}
        return FileState(self.length, self._kept, self._single | chosen)

    def key(self, name: bytes, picked: dict[int, int]) -> int:
        """A number that is equal for equal files."""
        if self._key is None:
            self._key = _mark(name, -1, b"%d %d" % (self.length, min(self._kept, self.length)))
            for at, data in self._single.items():
                self._key ^= self._mark(name, at, data)
        key = self._key
        for at, index in picked.items():
            key ^= self._mark(name, at, self.several[at][index].data)
        return key

    def _mark(self, name: bytes, at: int, data: bytes) -> int:
        room = self.length - at * SECTOR
        return _mark(name, at, data if room >= SECTOR else data[: max(room, 0)])

    def since(self, at: int, picked: dict[int, int]) -> int:
        """The pending event that a sector's picked version is from."""
        return self._versions[at][picked.get(at, 0)].since

    def newest(self, at: int) -> int:
        """The pending event that a sector's newest version is from."""
        return self._versions[at][-1].since

    def picked_last(self) -> dict[int, int]:
        """Every sector in its newest version."""
        return {at: len(versions) - 1 for at, versions in self.several.items()}

    def picked_until(self, step: int) -> dict[int, int]:
        """Every sector as it was after the pending event ``step``."""
        return {
            at: max((index for index, version in enumerate(versions) if version.since <= step), default=0)
            for at, versions in self.several.items()
        }


class Choice(NamedTuple):
    """An option, and the version of each sector that has several: its number."""

    option: Option
    picked: dict[int, int]


@lru_cache(maxsize=1 << 16)
def _mark(name: bytes, at: int, data: bytes) -> int:
    return int.from_bytes(blake2b(b"%s %d %s" % (name, at, data), digest_size=12).digest(), "big")


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
            last = self.options()[-1].state(self.options()[-1].picked_last())
            self._length, self._kept, self._sectors = last
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
        option = [option for option in self.options() if option.since_length <= step][-1]
        return Choice(option, option.picked_until(step))

    def put(self, state: FileState, storage: Storage) -> None:
        """Give an empty file the bytes of a state; what is not in a sector that was written stays a hole."""
        storage.truncate(state.length)
        kept = min(state.kept, state.length)
        if kept:
            data = bytearray(self._content[:kept]).ljust(state.length, b"\0")
            for at, sector in state.sectors.items():
                data[at * SECTOR : (at + 1) * SECTOR] = sector
            storage.write(0, memoryview(data)[: state.length])
            return
        for at, sector in state.sectors.items():
            room = state.length - at * SECTOR
            if room > 0:
                storage.write(at * SECTOR, sector[:room])

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
        kept, now_kept = self._kept, self._kept
        versions = {at: [Version(-1, data)] for at, data in self._sectors.items()}
        now = dict(self._sectors)
        for step, event in enumerate(self._pending):
            if isinstance(event, TruncateEvent):
                now_kept = min(now_kept, event.length)
                _cut(now, event.length)
                if step <= since:
                    # Durable: what was there before it is wiped.
                    kept = min(kept, event.length)
                    _cut_versions(versions, step, event.length)
                continue
            start, end = _range(event)
            for at in range(start // SECTOR, -(-end // SECTOR)):
                old = now.get(at)
                old = self._original(at, now_kept) if old is None else old
                now[at] = new = _written(old, at, event)
                known = versions.setdefault(at, [Version(-1, self._original(at, kept))])
                if new != known[-1].data:
                    known.append(Version(step, new))
        return Option(number, since, length, kept, versions)

    def _original(self, at: int, kept: int) -> bytes:
        """A sector as the file had it in the beginning, cut at ``kept``."""
        return self._content[at * SECTOR : min((at + 1) * SECTOR, kept)].ljust(SECTOR, b"\0")


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
    option, picked = choice
    if isinstance(event, TruncateEvent):
        return "there" if step <= option.since_length else "lost"
    start, end = _range(event)
    sectors = range(start // SECTOR, -(-end // SECTOR))
    there = sum(option.since(at, picked) >= min(step, option.newest(at)) for at in sectors)
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
