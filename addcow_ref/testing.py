"""Storages for trying what a good disk does not do: fail, lie, and lose its power.

Both wrap a storage of any kind, and wrap the files that it opens in turn, which share the plan or the log.
"""

from __future__ import annotations

import errno
import os
from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from threading import Lock, RLock
from typing import TYPE_CHECKING, TypeAlias

from addcow_ref._linux import open_refusal
from addcow_spec.errors import StorageError
from addcow_spec.text import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from addcow_ref.storage import Identity, ReadableBuffer, Storage, WritableBuffer

__all__ = [
    "Event",
    "Fault",
    "FaultPlan",
    "FaultyStorage",
    "Operation",
    "RecordingStorage",
    "SyncEvent",
    "TruncateEvent",
    "Wrapper",
    "WriteEvent",
    "ZeroesEvent",
]


class Wrapper:
    """A storage that passes everything on.

    Args:
        storage: what to wrap.
    """

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self.path, self.identity, self.writable = storage.path, storage.identity, storage.writable

    def length(self) -> int:
        """See `Storage.length`."""
        return self.storage.length()

    def read_into(self, offset: int, buffer: WritableBuffer) -> None:
        """See `Storage.read_into`."""
        self.storage.read_into(offset, buffer)

    def next_data(self, offset: int, end: int) -> int:
        """See `Storage.next_data`."""
        return self.storage.next_data(offset, end)

    def next_hole(self, offset: int, end: int) -> int:
        """See `Storage.next_hole`."""
        return self.storage.next_hole(offset, end)

    def lock(self, *, exclusive: bool) -> None:
        """See `Storage.lock`."""
        self.storage.lock(exclusive=exclusive)

    def close(self) -> None:
        """See `Storage.close`."""
        self.storage.close()


# --- faults


class Operation(StrEnum):
    """What can be made to fail; SEEK stands for `next_data` and `next_hole`."""

    OPEN = "open"
    LOCK = "lock"
    LENGTH = "length"
    READ = "read"
    WRITE = "write"
    ZEROES = "zeroes"
    TRUNCATE = "truncate"
    SYNC = "sync"
    SEEK = "seek"


@dataclass(eq=False, slots=True)
class Fault:
    """Calls that fail.

    Attributes:
        operation: calls of this kind, None for all kinds.
        name: of files whose path ends in this component; None for all. For OPEN, of the file to be opened.
        after: how many calls pass first; counted down as they do.
        times: how many fail then, None for all; counted down as well.
        code: errno of the failure.
        partial: how many bytes of a READ, WRITE or ZEROES are done before it fails; see `FaultPlan.grain`.
        hit: kind of the call that failed last, None while none has.
    """

    operation: Operation | None
    name: bytes | None = None
    after: int = 0
    times: int | None = None
    code: int = errno.EIO
    partial: int = 0
    hit: Operation | None = None

    def strikes(self, operation: Operation, name: bytes) -> bool:
        """Whether a call fails, which is counted."""
        if self.operation not in {None, operation} or self.name not in {None, name} or self.times == 0:
            return False
        if self.after:
            self.after -= 1
            return False
        if self.times:
            self.times -= 1
        self.hit = operation
        return True


class FaultPlan:
    """What fails, for all files that share the plan. It begins with nothing armed.

    Args:
        counting: whether calls are counted while all of them pass, which takes time.

    Attributes:
        space: bytes that can still be written, over all files and whether or not they lay in a hole before;
            then a write does what fits and fails by ENOSPC. None for no limit.
        lying_sync: whether `sync` returns without having done anything.
        grain: a call that fails on the way has done its bytes up to a multiple of this in the file; 512 for
            sectors that are written whole or not at all.
        calls: number of calls so far, by operation and last component of the path; those that failed and
            the syncs that lied included.
    """

    def __init__(self, *, counting: bool = True) -> None:
        self._counting = counting
        self.space: int | None = None
        self.lying_sync = False
        self.grain = 1
        self.calls: Counter[tuple[Operation, bytes]] = Counter()
        self._faults: list[Fault] = []
        self._lock = Lock()

    @property
    def idle(self) -> bool:
        """Whether every call passes, and none is counted."""
        return not (self._counting or self._faults or self.lying_sync or self.space is not None)

    def arm(
        self,
        operation: Operation | None,
        *,
        name: bytes | None = None,
        after: int = 0,
        times: int | None = None,
        code: int = errno.EIO,
        partial: int = 0,
    ) -> Fault:
        """Make calls fail from now on; see `Fault`. The first armed that strikes decides how."""
        fault = Fault(operation, name, after, times, code, partial)
        with self._lock:
            self._faults.append(fault)
        return fault

    def disarm(self, fault: Fault | None = None) -> None:
        """Let calls pass again: those of one fault, or all. The limit of space is another matter."""
        with self._lock:
            self._faults = [other for other in self._faults if fault not in {None, other}]

    def judge(
        self, operation: Operation, path: bytes, length: int = 0, *, offset: int = 0
    ) -> tuple[int, OSError | None]:
        """Count a call, and tell how many of its bytes are done and what fails it then."""
        name = os.path.basename(path)
        with self._lock:
            self.calls[operation, name] += 1
            for fault in self._faults:
                if fault.strikes(operation, name):
                    part = self._whole(offset, min(fault.partial, length))
                    return self._spend(operation, offset, part), _os_error(fault.code)
            done = self._spend(operation, offset, length)
            return done, None if done == length else _os_error(errno.ENOSPC)

    def _whole(self, offset: int, length: int) -> int:
        return max((offset + length) // self.grain * self.grain - offset, 0)

    def _spend(self, operation: Operation, offset: int, length: int) -> int:
        if self.space is None or operation is not Operation.WRITE:
            return length
        done = length if length <= self.space else self._whole(offset, self.space)
        self.space -= done
        return done


def _os_error(code: int) -> OSError:
    return OSError(code, os.strerror(code))


class FaultyStorage(Wrapper):
    """A storage that fails as planned, by the errors that a `FileStorage` would raise.

    Args:
        storage: what to wrap; it is closed with the wrapper.
        plan: what fails.
    """

    def __init__(self, storage: Storage, plan: FaultPlan) -> None:
        super().__init__(storage)
        self.plan = plan

    def open(self, name: bytes, *, writable: bool = False) -> FaultyStorage:
        """See `Storage.open`; the file has the same plan."""
        if not self.plan.idle:
            path = os.path.join(os.path.dirname(self.path), name)
            _, error = self.plan.judge(Operation.OPEN, path)
            if error:
                raise open_refusal(path, error) from error
        return FaultyStorage(self.storage.open(name, writable=writable), self.plan)

    def lock(self, *, exclusive: bool) -> None:
        """See `Storage.lock`."""
        self._pass(Operation.LOCK)
        self.storage.lock(exclusive=exclusive)

    def length(self) -> int:
        """See `Storage.length`."""
        self._pass(Operation.LENGTH)
        return self.storage.length()

    def read_into(self, offset: int, buffer: WritableBuffer) -> None:
        """See `Storage.read_into`."""
        if self.plan.idle:
            self.storage.read_into(offset, buffer)
            return
        view = memoryview(buffer).cast("B")
        done, error = self.plan.judge(Operation.READ, self.path, len(view), offset=offset)
        if done or not error:
            self.storage.read_into(offset, view[:done])
        self._raise(Operation.READ, error)

    def next_data(self, offset: int, end: int) -> int:
        """See `Storage.next_data`."""
        self._pass(Operation.SEEK)
        return self.storage.next_data(offset, end)

    def next_hole(self, offset: int, end: int) -> int:
        """See `Storage.next_hole`."""
        self._pass(Operation.SEEK)
        return self.storage.next_hole(offset, end)

    def write(self, offset: int, *buffers: ReadableBuffer) -> None:
        """See `Storage.write`."""
        if self.plan.idle:
            self.storage.write(offset, *buffers)
            return
        length = sum(map(len, buffers))
        done, error = self.plan.judge(Operation.WRITE, self.path, length, offset=offset)
        self.storage.write(offset, *(buffers if done == length else _head(buffers, done)))
        self._raise(Operation.WRITE, error)

    def write_zeroes(self, offset: int, length: int, *, unmap: bool = True) -> None:
        """See `Storage.write_zeroes`."""
        if self.plan.idle:
            self.storage.write_zeroes(offset, length, unmap=unmap)
            return
        done, error = self.plan.judge(Operation.ZEROES, self.path, length, offset=offset)
        self.storage.write_zeroes(offset, done, unmap=unmap)
        self._raise(Operation.ZEROES, error)

    def truncate(self, length: int) -> None:
        """See `Storage.truncate`."""
        self._pass(Operation.TRUNCATE)
        self.storage.truncate(length)

    def sync(self) -> None:
        """See `Storage.sync`; nothing is done where the plan's syncs lie."""
        self._pass(Operation.SYNC)
        if not self.plan.lying_sync:
            self.storage.sync()

    def _pass(self, operation: Operation) -> None:
        if not self.plan.idle:
            self._raise(operation, self.plan.judge(operation, self.path)[1])

    def _raise(self, operation: Operation, error: OSError | None) -> None:
        if error:
            raise StorageError(f"{printable(self.path)}: {operation} failed: {error.strerror}") from error


def _head(buffers: Sequence[ReadableBuffer], length: int) -> tuple[ReadableBuffer, ...]:
    """The first bytes of the buffers."""
    return (memoryview(b"".join(buffers))[:length],)


# --- a log of what was written


@dataclass(frozen=True, slots=True)
class WriteEvent:
    """Bytes written; one event for all buffers of a call."""

    file: Identity
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class ZeroesEvent:
    """A range made to read as zeros."""

    file: Identity
    offset: int
    length: int
    unmap: bool


@dataclass(frozen=True, slots=True)
class TruncateEvent:
    """A length that was set."""

    file: Identity
    length: int


@dataclass(frozen=True, slots=True)
class SyncEvent:
    """A sync that returned: every event of this file before it is durable."""

    file: Identity


Event: TypeAlias = WriteEvent | ZeroesEvent | TruncateEvent | SyncEvent


class RecordingStorage(Wrapper):
    """A storage that logs whatever changes a file, and its syncs.

    The log's order is the order in which things were done, over all files of one `RecordingStorage` and those
    opened through it. A change that failed is logged, as part of it may be done; a sync that failed is not.
    Around a `FaultyStorage`, a sync that lied is logged as if it were done; inside one, it is not seen.

    Args:
        storage: what to wrap; it is closed with the wrapper.
        log: where events are appended.
    """

    def __init__(self, storage: Storage, log: list[Event]) -> None:
        super().__init__(storage)
        self.log = log
        self._order = RLock()

    def open(self, name: bytes, *, writable: bool = False) -> RecordingStorage:
        """See `Storage.open`; the file has the same log."""
        sibling = RecordingStorage(self.storage.open(name, writable=writable), self.log)
        sibling._order = self._order
        return sibling

    def write(self, offset: int, *buffers: ReadableBuffer) -> None:
        """See `Storage.write`."""
        with self._order:
            self.log.append(WriteEvent(self.identity, offset, b"".join(buffers)))
            self.storage.write(offset, *buffers)

    def write_zeroes(self, offset: int, length: int, *, unmap: bool = True) -> None:
        """See `Storage.write_zeroes`."""
        with self._order:
            self.log.append(ZeroesEvent(self.identity, offset, length, unmap))
            self.storage.write_zeroes(offset, length, unmap=unmap)

    def truncate(self, length: int) -> None:
        """See `Storage.truncate`."""
        with self._order:
            self.log.append(TruncateEvent(self.identity, length))
            self.storage.truncate(length)

    def sync(self) -> None:
        """See `Storage.sync`."""
        with self._order:
            self.storage.sync()
            self.log.append(SyncEvent(self.identity))
