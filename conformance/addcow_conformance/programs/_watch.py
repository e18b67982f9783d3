"""A storage that is watched: what was written and opened, and a hook before each call."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from addcow_ref.testing import Operation, Wrapper

if TYPE_CHECKING:
    from collections.abc import Callable

    from addcow_ref.storage import ReadableBuffer, Storage, WritableBuffer

__all__ = ["Call", "Watch", "WatchedStorage"]


class Call(NamedTuple):
    """A storage call that changes a file, or a sync; ``offset`` of a truncation is the new length."""

    operation: Operation
    name: bytes
    offset: int = 0
    length: int = 0


class Watch:
    """What was seen, on all files that share the watch.

    Attributes:
        changes: calls that change a file, and syncs, in order; the owner clears it.
        hook: called before every call, in the thread that makes it; None for nothing.
    """

    def __init__(self) -> None:
        self.changes: list[Call] = []
        self.hook: Callable[[], None] | None = None
        self._opened: dict[int, Storage] = {}

    @property
    def opened(self) -> int:
        """Number of files that are open."""
        return len(self._opened)

    def add(self, storage: Storage) -> None:
        """Watch a file until it is closed."""
        self._opened[id(storage)] = storage

    def remove(self, storage: Storage) -> None:
        """A file is closed."""
        self._opened.pop(id(storage), None)

    def look(self) -> None:
        """A call is about to be made that changes nothing and makes nothing durable."""
        if self.hook:
            self.hook()

    def see(self, operation: Operation, name: bytes, offset: int = 0, length: int = 0) -> None:
        """Another call is about to be made."""
        self.look()
        self.changes.append(Call(operation, name, offset, length))

    def close_all(self) -> None:
        """Close every file as the end of a process does: without a flush."""
        for storage in self._opened.values():
            storage.close()
        self._opened = {}


class WatchedStorage(Wrapper):
    """A storage whose calls a `Watch` sees.

    Args:
        storage: what to wrap; it is closed with the wrapper.
        watch: who sees the calls.
        name: the name that calls have, whatever way the file was opened by.
    """

    def __init__(self, storage: Storage, watch: Watch, name: bytes) -> None:
        super().__init__(storage)
        self._watch = watch
        self._name = name
        watch.add(storage)

    def open(self, name: bytes, *, writable: bool = False) -> WatchedStorage:
        """See `Storage.open`; the file has the same watch."""
        return WatchedStorage(self.storage.open(name, writable=writable), self._watch, os.path.basename(name))

    def close(self) -> None:
        """See `Storage.close`."""
        self._watch.remove(self.storage)
        self.storage.close()

    def read_into(self, offset: int, buffer: WritableBuffer) -> None:
        """See `Storage.read_into`."""
        self._watch.look()
        self.storage.read_into(offset, buffer)

    def next_data(self, offset: int, end: int) -> int:
        """See `Storage.next_data`."""
        self._watch.look()
        return self.storage.next_data(offset, end)

    def next_hole(self, offset: int, end: int) -> int:
        """See `Storage.next_hole`."""
        self._watch.look()
        return self.storage.next_hole(offset, end)

    def write(self, offset: int, *buffers: ReadableBuffer) -> None:
        """See `Storage.write`."""
        self._watch.see(Operation.WRITE, self._name, offset, sum(map(len, buffers)))
        self.storage.write(offset, *buffers)

    def write_zeroes(self, offset: int, length: int, *, unmap: bool = True) -> None:
        """See `Storage.write_zeroes`."""
        self._watch.see(Operation.ZEROES, self._name, offset, length)
        self.storage.write_zeroes(offset, length, unmap=unmap)

    def truncate(self, length: int) -> None:
        """See `Storage.truncate`."""
        self._watch.see(Operation.TRUNCATE, self._name, length)
        self.storage.truncate(length)

    def sync(self) -> None:
        """See `Storage.sync`."""
        self._watch.see(Operation.SYNC, self._name)
        self.storage.sync()
