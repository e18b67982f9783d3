"""The cache of a bitmap shows and stores what a plain array of bits does, whatever fails in between.

It never holds more pages than it may. A bit reaches the file only if the barrier has made its data durable
before (ACW-DYN-005), and a page that could not be written is written later.

An input is four bytes: pages of the bitmap, bits that its last page lacks, pages that may be cached, and what
the file begins with. Operations of six bytes follow: kind, page, bit, and number of bits.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from addcow_fuzz._main import fuzz
from addcow_fuzz.invariants import Finding, strict
from addcow_ref._bitmap import PAGE_BITS, PAGE_SIZE, Bitmap
from addcow_ref.memory import MemoryFiles
from addcow_ref.testing import FaultPlan, FaultyStorage, Operation
from addcow_spec.errors import StorageError
from addcow_spec.geometry import CLUSTER_SIZE, Geometry
from addcow_spec.model import Revision

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from addcow_ref.storage import ReadableBuffer, Storage

__all__ = ["check_one"]

_HEAD = struct.Struct("<BBBB")
_OPERATION = struct.Struct("<BBHH")
_MOST_PAGES, _MOST_CACHED, _MOST_OPERATIONS = 6, 3, 64
# Few: a run may be a bit long, and each is judged.
_FILLED = 8
_FAILING = (Operation.READ, Operation.WRITE, None)


def check_one(data: bytes) -> None:
    """Do the operations to the cache and to a plain array of bits.

    Raises:
        Finding: they differ.
    """
    pages, missing, cached, fill = _HEAD.unpack(data[: _HEAD.size].ljust(_HEAD.size, b"\0"))
    units = (pages % _MOST_PAGES + 1) * PAGE_BITS - missing
    trial = _Trial(units, cached % _MOST_CACHED + 1, fill)
    end = min(len(data), _HEAD.size + _OPERATION.size * _MOST_OPERATIONS)
    for at in range(_HEAD.size, end - _OPERATION.size + 1, _OPERATION.size):
        kind, page, bit, length = _OPERATION.unpack_from(data, at)
        first = min(page % _MOST_PAGES * PAGE_BITS + bit % PAGE_BITS, units)
        trial.step(kind, first, min(first + length, units))
    trial.finish()


class _File(FaultyStorage):
    """The add-cow file. It holds the cache to write no bit that is not vouched for."""

    def __init__(self, storage: Storage, plan: FaultPlan, start: int) -> None:
        super().__init__(storage, plan)
        self._start = start
        self.durable = 0

    def write(self, offset: int, *buffers: ReadableBuffer) -> None:
        """Write part of the bitmap."""
        bits = int.from_bytes(b"".join(buffers), "little") << 8 * (offset - self._start)
        if bits & ~self.durable:
            raise Finding("oracle", "a bit is written before its data is durable", rule="ACW-DYN-005")
        super().write(offset, *buffers)


class _Trial:
    """A cache, and beside it the bits as one number: bit n of it is that of unit n."""

    def __init__(self, units: int, cached: int, fill: int) -> None:
        self._geometry = Geometry(Revision.V10, units * CLUSTER_SIZE)
        self._plan = FaultPlan()
        self._cached = cached
        self._memory = MemoryFiles()
        start, size = self._geometry.bitmap_offset, self._geometry.bitmap_size
        file = self._memory.create(b"x")
        file.truncate(start + size)
        if fill:
            file.write(start, bytes([fill]) * _FILLED)
        self._bits = int.from_bytes(bytes([fill]) * _FILLED, "little")
        self._units = units
        self._file = _File(file, self._plan, start)
        self._file.durable = self._bits
        self._barrier_fails = False
        self._bitmap = Bitmap(
            self._file, self._geometry, cache_size=cached * PAGE_SIZE, barrier=self._barrier
        )
        self._steps: tuple[Callable[[int, int], None], ...] = (
            *(self._set, self._set, self._compare_runs),
            *(self._compare_one, self._count, self._write_back, self._fail),
        )

    def step(self, kind: int, first: int, stop: int) -> None:
        """Do one operation to the units from ``first`` up to ``stop``."""
        self._steps[kind % len(self._steps)](first, stop)
        if len(self._bitmap.pages) > self._cached:
            raise Finding("oracle", f"{len(self._bitmap.pages)} pages", rule="ACW-DYN-008")

    def finish(self) -> None:
        """Write all back, and compare the file."""
        self._heal()
        with strict("write-back"):
            self._bitmap.write_back()
        stored = self._memory.contents(b"x")[self._geometry.bitmap_offset :]
        if int.from_bytes(stored, "little") != self._bits:
            raise Finding("oracle", "the file has other bits than were set", operation="write-back")

    # --- operations

    def _set(self, first: int, stop: int) -> None:
        before, bits = self._bits, _mask(first, stop)
        self._bits |= bits
        try:
            with strict("set", StorageError):
                self._bitmap.set(first, stop)
        except StorageError:
            self._heal()
            self._bits = self._shown()
            if before & ~self._bits or self._bits & ~(before | bits):
                raise Finding("oracle", "a set that failed has changed others", operation="set") from None

    def _compare_runs(self, first: int, stop: int) -> None:
        try:
            with strict("runs", StorageError):
                self._judge("runs", first, stop, self._bitmap.runs(first, stop))
        except StorageError:
            self._heal()

    def _compare_one(self, first: int, stop: int) -> None:
        bits = _mask(first, stop)
        try:
            with strict("is-set", StorageError):
                found = self._bitmap.is_set(first, stop)
        except StorageError:
            self._heal()
            return
        if found != (self._bits & bits == bits):
            raise Finding("oracle", f"units {first} to {stop} are {found}", operation="is-set")

    def _count(self, first: int, stop: int) -> None:  # noqa: ARG002 - all operations have a range
        try:
            with strict("count", StorageError):
                found = self._bitmap.count()
                self._judge("scan", 0, self._units, self._bitmap.scan())
        except StorageError:
            self._heal()
            return
        if found != self._bits.bit_count():
            raise Finding("oracle", f"{found} bits, not {self._bits.bit_count()}", operation="count")

    def _write_back(self, first: int, stop: int) -> None:  # noqa: ARG002 - all operations have a range
        try:
            with strict("write-back", StorageError):
                self._bitmap.write_back()
        except StorageError:
            self._heal()

    def _fail(self, first: int, stop: int) -> None:
        """Make a later call fail, until an operation has."""
        operation = _FAILING[first % len(_FAILING)]
        self._barrier_fails = operation is None
        self._plan.disarm()
        if operation:
            self._plan.arm(operation, after=stop % 3, partial=stop % PAGE_SIZE)

    # --- the plain array

    def _barrier(self) -> None:
        if self._barrier_fails:
            raise StorageError("the barrier fails")
        self._file.durable = self._bits

    def _heal(self) -> None:
        self._barrier_fails = False
        self._plan.disarm()

    def _shown(self) -> int:
        """All bits that the cache shows."""
        shown = 0
        for first, stop, value in self._bitmap.runs(0, self._units):
            shown |= _mask(first, stop) if value else 0
        return shown

    def _judge(self, operation: str, first: int, stop: int, runs: Iterable[tuple[int, int, bool]]) -> None:
        at = first
        for start, after, value in runs:
            bits = _mask(start, after)
            if start != at or after <= at or self._bits & bits != (bits if value else 0):
                raise Finding("oracle", f"units {start} to {after} are {value}", operation=operation)
            at = after
        if at != max(first, stop):
            raise Finding("oracle", f"runs of units {first} to {stop} end at {at}", operation=operation)


def _mask(first: int, stop: int) -> int:
    return (1 << stop) - (1 << first) if stop > first else 0


if __name__ == "__main__":
    fuzz("cache")
