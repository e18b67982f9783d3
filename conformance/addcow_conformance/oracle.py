"""The disk that an image must be: bytes in memory, right because it is trivial.

It shares no code with the engine, and knows neither bitmap nor files: only what the guest wrote, what was
below, and what was flushed. Where an operation failed or was cut off it knows not one value, but the set of
those that a sector may show. A *sector* has 512 bytes, the last one of a disk perhaps fewer; it is written
whole or not at all. A *unit* is what one bit stands for.
"""

from __future__ import annotations

from enum import Enum
from functools import partial
from itertools import compress, count
from operator import ne
from typing import TYPE_CHECKING, NamedTuple, Self

from addcow_conformance._sparse import SparseBytes, over, over_each, pieces

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["SECTOR", "Oracle", "Outcome", "Values"]

SECTOR = 512


class Outcome(Enum):
    """What became of a write: it returned, it failed or was cut off, or it is durable (FUA)."""

    DONE, FAILED, DURABLE = range(3)


class Values(NamedTuple):
    """What one sector may be: in a read now, and in a read after a loss of power (ACW-DYN-005)."""

    now: frozenset[bytes]
    after: frozenset[bytes]

    def each(self, change: Callable[[bytes], bytes]) -> Values:
        """With every value changed."""
        return Values(frozenset(map(change, self.now)), frozenset(map(change, self.after)))


class Oracle:
    """One disk. Its memory is that of what was written, not that of its size.

    Args:
        size: bytes of the disk.
        backing: the bytes below it, of any length; None without a backing file.
        unit_size: bytes that a bit stands for.

    Attributes:
        size: bytes of the disk.
        must_be_set: units that were written or streamed, so that their bits are set.
        may_be_set: these, and those that a failed operation may have reached; every other bit is clear.
        durable_units: units whose bits survive a loss of power.
    """

    def __init__(self, size: int, backing: bytes | None, unit_size: int) -> None:
        self.size, self.unit_size = size, unit_size
        self.must_be_set, self.may_be_set, self.durable_units = set[int](), set[int](), set[int]()
        # One value of each sector; and all of those that have several, but for the writes of the history.
        self._disk, self._unsure = SparseBytes(backing or b""), False
        self._several: dict[int, Values] = {}
        # Offset, data and outcome of each write, and the sectors that it touches as they were.
        self._history: list[tuple[int, bytes, Outcome, bytes]] = []

    def copy(self) -> Self:
        """Another oracle that knows the same."""
        twin = object.__new__(type(self))
        for name, value in self.__dict__.items():
            setattr(twin, name, value.copy() if hasattr(value, "copy") else value)
        return twin

    # --- what happens to the disk

    def write(self, offset: int, data: bytes, outcome: Outcome = Outcome.DONE) -> None:
        """Bytes or zeros are written to a range of the disk."""
        start = offset // SECTOR * SECTOR
        old = self.read(start, -(-(offset + len(data)) // SECTOR) * SECTOR - start)
        self._history.append((offset, data, outcome, old))
        if outcome is not Outcome.FAILED:
            self._disk.write(offset, data)
        self._unsure |= outcome is Outcome.FAILED
        self._touch(self.units(offset, len(data)), outcome)

    def stream(self, outcome: Outcome = Outcome.DONE) -> None:
        """A stream came to its end, or was cut off anywhere: no byte of the disk changes."""
        self._touch(self.units(0, self.size), outcome)

    def flush(self) -> None:
        """A flush returned: what a read may show now is what a loss of power may leave."""
        several = self._settled() if self._unsure else {}
        self._several = {at: Values(now, now) for at, (now, _) in several.items() if len(now) > 1}
        self._history = []
        self.durable_units = set(self.must_be_set)

    def kill(self) -> None:
        """The process ended without a flush; the system goes on, and with it what was written so far."""
        self._several = {at: Values(may, may) for at, (_, may) in self._settled().items() if len(may) > 1}
        self._unsure = True
        self.must_be_set = set(self.durable_units)

    def resize(self, size: int) -> None:
        """A resize returned, and is durable: what is cut off is gone, what is added shows what is below."""
        several, old, self.size = self._settled(), self.size, size
        self._disk.forget(min(old, size))
        self._several = {at: values for at, values in several.items() if at * SECTOR < size}
        edge = min(old, size) // SECTOR
        if edge in self._several:
            self._several[edge] = self._several[edge].each(partial(self._fitted, edge))
        for units in (self.must_be_set, self.may_be_set, self.durable_units):
            units.intersection_update(self.units(0, size))
        last, end = old // self.unit_size, min(-(-old // self.unit_size) * self.unit_size, size)
        if last in self.may_be_set and old < end:
            self._uncover(old, end, last)

    def _fitted(self, at: int, value: bytes) -> bytes:
        """A sector's value, now that the disk has another size."""
        start, end = at * SECTOR, min((at + 1) * SECTOR, self.size)
        return value[: end - start] + self._disk.below(start + len(value), end)

    def _uncover(self, old: int, end: int, unit: int) -> None:
        """The rest of a unit that was short: if its bit is set it comes from the image file, as zeros."""
        sure, durable = unit in self.must_be_set, unit in self.durable_units
        for at, low, high in pieces(old, end - old, SECTOR):
            only = frozenset((self.read(at * SECTOR, SECTOR),))
            now, after = values = self._several.get(at) or Values(only, only)
            zeros = values.each(partial(over, low=low, piece=bytes(high - low)))
            now = zeros.now if sure else zeros.now | now
            self._several[at] = Values(now, zeros.after if durable else zeros.after | after)
        if sure:
            self._disk.write(old, bytes(end - old))
        self._unsure |= not sure

    def _touch(self, units: set[int], outcome: Outcome) -> None:
        self.may_be_set |= units
        self.must_be_set |= units if outcome is not Outcome.FAILED else set()
        self.durable_units |= units if outcome is Outcome.DURABLE else set()

    # --- what is seen, and is certain from then on

    def see(self, offset: int, data: bytes) -> int | None:
        """A read. What it shows of a sector that may be several is what the sector is from now on.

        Returns:
            The first byte of the disk that the read shows and that cannot be, None where all is right.
        """
        several, shows = self._settled().items() if self._unsure else (), self._disk.shows(offset, data)
        for at, (now, after) in [each for each in several if len(each[1].now) > 1]:
            start = at * SECTOR - offset
            seen, low = data[max(start, 0) : max(start + SECTOR, 0)], max(-start, 0)
            left = {seen} & now or frozenset(value for value in now if value.startswith(seen, low))
            if left and left != now:
                self._several[at] = Values(frozenset(left), after)
                self._disk.write(at * SECTOR, b"" if shows else min(left))
        self._unsure = self._unsure and any(len(now) > 1 for now, _ in self._several.values())
        if offset + len(data) <= self.size and (shows or self._disk.shows(offset, data)):
            return None
        expected = self.read(offset, len(data))
        return offset + next(compress(count(), map(ne, expected, data)), len(expected))

    def see_units(self, found: set[int]) -> set[int]:
        """The units whose bits are set. Returns those whose bits are not as they must be."""
        if self.must_be_set <= found <= self.may_be_set:
            self.must_be_set, self.may_be_set = set(found), set(found)
            return set()
        return (self.must_be_set - found) | (found - self.may_be_set)

    def read(self, offset: int, length: int) -> bytes:
        """The bytes of a range; of a sector that may be several, one that it may be now."""
        return self._disk.read(offset, min(length, self.size - offset))

    def units(self, offset: int, length: int) -> set[int]:
        """The units that a range touches."""
        return set(range(offset // self.unit_size, -(-(offset + length) // self.unit_size)) if length else ())

    def values(self) -> dict[int, Values]:
        """What each sector may be whose bytes a loss of power may change; by its number."""
        return {at: values for at, values in self._settled().items() if len(values.after) > 1}

    def _settled(self) -> dict[int, Values]:
        """The sectors that may have several values; the history is told to them, and empty from then on."""
        history, self._history = self._history, []
        for offset, data, outcome, old in history:
            start, done = offset // SECTOR * SECTOR, outcome is Outcome.DONE
            for at, low, high in pieces(offset, len(data), SECTOR):
                before = old[at * SECTOR - start : (at + 1) * SECTOR - start]
                piece = data[at * SECTOR + low - offset : at * SECTOR + high - offset]
                if done and high - low == SECTOR:  # the most, and told at once
                    after = self._several[at].after if at in self._several else (before,)
                    self._several[at] = Values(frozenset((piece,)), frozenset((piece, *after)))
                    continue
                now, after = self._several.get(at) or (only := frozenset((before,)), only)
                written = over_each(now, low, piece)
                now = written | now if outcome is Outcome.FAILED else written
                later = over_each(after, low, piece) if outcome is Outcome.DURABLE else after
                self._several[at] = Values(now, now | later)
        return self._several
