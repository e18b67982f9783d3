"""From calls that overlap to a log of events, in which a sync makes all before it in its own file durable.

A write may be on disk from the moment it is entered, so that is its place in the log. A sync promises nothing
until it has returned, and then only for writes that had returned before it was entered: whatever else of its
file is pending is put after it. So the log is rewritten where calls overlap; between files there is no order.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

from addcow_ref.testing import SyncEvent, TruncateEvent, WriteEvent, ZeroesEvent

if TYPE_CHECKING:
    from addcow_ref.storage import Identity
    from addcow_ref.testing import Event

__all__ = ["Entry", "Step", "Timeline", "TracedFile"]


@dataclass(eq=False)
class TracedFile:
    """A file that calls are about.

    Attributes:
        length: bytes that it has now.
        identity: what events call it; None while it has no name that matters.
        made: the events of a file that was made under another name; None for one that was there before.
    """

    length: int = 0
    identity: Identity | None = None
    made: list[Entry] | None = None


class Entry(NamedTuple):
    """An event, and when its call had returned: number of a line, None for never."""

    event: Event
    returned: int | None

    def before(self, line: int) -> bool:
        """Whether the call had returned before a line."""
        return self.returned is not None and self.returned < line


class Step(NamedTuple):
    """What a line has changed in the log.

    Attributes:
        line: number of the line.
        kept: how many events of the log before it are still there: its first ones.
        added: the events after them.
    """

    line: int
    kept: int
    added: tuple[Event, ...]


_NOBODY: Identity = (-1, -1)


@dataclass
class Timeline:
    """The log as it grows.

    Attributes:
        entries: its events.
        kept: how many of them are as they were when they were taken last.
    """

    entries: list[Entry] = field(default_factory=list)
    kept: int = 0

    def take(self, line: int) -> Step | None:
        """What has changed in the log since this was asked last; None where nothing has."""
        if self.kept == len(self.entries):
            return None
        step = Step(line, self.kept, tuple(entry.event for entry in self.entries[self.kept :]))
        self.kept = len(self.entries)
        return step

    def write(self, file: TracedFile, offset: int, data: bytes, returned: int | None) -> None:
        """Bytes are written."""
        self._add(file, Entry(WriteEvent(_name(file), offset, data), returned))
        file.length = max(file.length, offset + len(data))

    def zero(self, file: TracedFile, offset: int, length: int, returned: int | None, *, unmap: bool) -> None:
        """A range is made zeros."""
        self._add(file, Entry(ZeroesEvent(_name(file), offset, length, unmap), returned))
        file.length = max(file.length, offset + length)

    def truncate(self, file: TracedFile, length: int, returned: int | None) -> None:
        """A length is set."""
        self._add(file, Entry(TruncateEvent(_name(file), length), returned))
        file.length = length

    def _add(self, file: TracedFile, entry: Entry) -> None:
        self._log(file).append(entry)

    def _log(self, file: TracedFile) -> list[Entry]:
        """The log that a file is in; of a file that nobody asks for one that is forgotten."""
        if file.identity is not None:
            return self.entries
        return [] if file.made is None else file.made

    def sync(self, file: TracedFile, entered: int, returned: int | None) -> None:
        """A sync of a file has returned: what had returned before it was entered is durable."""
        log, pending = self._pending(file)
        late = [at for at in pending if not log[at].before(entered)]
        self._settle(file, late, [log[at] for at in late], returned)

    def sync_write(self, file: TracedFile, returned: int | None) -> None:
        """A write that syncs itself has returned: it is durable, and no other write need be.

        The length that it was done in is durable with it, and so are all changes of the length before.
        """
        log, pending = self._pending(file)
        own = next((at for at in pending if log[at].returned == returned), None)
        if own is None:
            return
        cuts = [at for at in pending if at < own and isinstance(log[at].event, TruncateEvent)]
        late = [at for at in pending if at != own and not (cuts and at <= cuts[-1])]
        self._settle(
            file, late, [part for at in late for part in _outside(log[at], log[own].event)], returned
        )

    def _pending(self, file: TracedFile) -> tuple[list[Entry], list[int]]:
        """The log that a file is in, and where its events are that no sync has made durable."""
        log, pending = self._log(file), list[int]()
        for at in reversed(range(len(log))):
            if log[at].event.file == _name(file):
                if isinstance(log[at].event, SyncEvent):
                    break
                pending.append(at)
        return log, pending[::-1]

    def _settle(self, file: TracedFile, late: list[int], left: list[Entry], returned: int | None) -> None:
        """Put a sync at the end, and after it what is left of the events that are late."""
        log = self._log(file)
        if late and log is self.entries:
            self.kept = min(self.kept, late[0])
        for at in reversed(late):
            del log[at]
        log += [Entry(SyncEvent(_name(file)), returned), *left]

    def publish(self, file: TracedFile, identity: Identity) -> None:
        """A file that was made under another name gets the name that events are told by."""
        file.identity = identity
        self.entries += [entry._replace(event=_renamed(entry.event, identity)) for entry in file.made or ()]
        file.made = None


def _name(file: TracedFile) -> Identity:
    return file.identity or _NOBODY


def _renamed(event: Event, identity: Identity) -> Event:
    return replace(event, file=identity)


def _outside(entry: Entry, hole: Event) -> list[Entry]:
    """What of a write lies outside of the range of another."""
    event = entry.event
    if isinstance(event, SyncEvent | TruncateEvent) or not isinstance(hole, WriteEvent):
        return [entry]
    start, stop = hole.offset, hole.offset + len(hole.data)
    end = event.offset + (len(event.data) if isinstance(event, WriteEvent) else event.length)
    ranges = [(event.offset, min(end, start)), (max(event.offset, stop), end)]
    return [entry._replace(event=_part(event, low, high)) for low, high in ranges if low < high]


def _part(event: WriteEvent | ZeroesEvent, low: int, high: int) -> Event:
    if isinstance(event, WriteEvent):
        data = event.data[low - event.offset : high - event.offset]
        return WriteEvent(event.file, low, data)
    return ZeroesEvent(event.file, low, high - low, event.unmap)
