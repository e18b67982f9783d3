"""The disk that an image must be: bytes in memory, right because it is trivial.

It shares no code with the engine, and knows neither bitmap nor files: only what the guest wrote, what was
below, and what was flushed. Where an operation failed or was cut off it knows not one value, but the set of
those that a sector may show. A *sector* has 512 bytes, the last one of a disk perhaps fewer; it is written
whole or not at all. A *unit* is what one bit stands for.
"""

from __future__ import annotations

from enum import Enum
from itertools import compress, count
from operator import ne
from typing import NamedTuple, Self

__all__ = ["SECTOR", "Oracle", "Outcome", "Values"]

SECTOR = 512


class Outcome(Enum):
    """What became of a write: it returned, it failed or was cut off, or it is durable (FUA)."""

    DONE, FAILED, DURABLE = range(3)


class Values(NamedTuple):
    """What one sector may be: in a read now, and in a read after a loss of power (ACW-DYN-005)."""

    now: frozenset[bytes]
    after: frozenset[bytes]


class _Write(NamedTuple):
    offset: int
    data: bytes
    outcome: Outcome


class Oracle:
    """One disk.

    Args:
        size: bytes of the disk.
        backing: the bytes below it, of any length; None without a backing file.
        unit_size: bytes that a bit stands for.

    Attributes:
        must_be_set: units that were written or streamed, so that their bits are set.
        may_be_set: these, and those that a failed operation may have reached; every other bit is clear.
        durable_units: units whose bits survive a loss of power.
    """

    def __init__(self, size: int, backing: bytes | None, unit_size: int) -> None:
        self.unit_size = unit_size
        self.must_be_set, self.may_be_set, self.durable_units = set[int](), set[int](), set[int]()
        self._backing = backing or b""
        self._disk = bytearray(size)
        self._disk[: len(self._backing)] = self._backing[:size]
        # As it was before the writes of the history; with the values of the sectors that had several.
        self._base = self._disk.copy()
        self._several: dict[int, Values] = {}
        self._history: list[_Write] = []

    @property
    def size(self) -> int:
        """Bytes of the disk."""
        return len(self._disk)

    def copy(self) -> Self:
        """Another oracle that knows the same."""
        twin = object.__new__(type(self))
        twin.__dict__ |= {
            name: value.copy() if isinstance(value, set | dict | list | bytearray) else value
            for name, value in self.__dict__.items()
        }
        return twin

    # --- what happens to the disk

    def write(self, offset: int, data: bytes, outcome: Outcome = Outcome.DONE) -> None:
        """Bytes or zeros are written to a range of the disk."""
        self._put(offset, data, outcome)
        self._touch(self.units(offset, len(data)), outcome)

    def stream(self, outcome: Outcome = Outcome.DONE) -> None:
        """A stream came to its end, or was cut off anywhere: no byte of the disk changes."""
        self._touch(self.units(0, self.size), outcome)

    def flush(self) -> None:
        """A flush returned: what a read may show now is what a loss of power may leave."""
        self._several = {at: Values(v.now, v.now) for at, v in self.values().items() if len(v.now) > 1}
        self._forget()
        self.durable_units = set(self.must_be_set)

    def kill(self) -> None:
        """The process ended without a flush; the system goes on, and with it what was written so far."""
        self._several = {at: Values(v.after, v.after) for at, v in self.values().items() if len(v.after) > 1}
        self._forget()
        self.must_be_set = set(self.durable_units)

    def resize(self, size: int) -> None:
        """A resize returned, and is durable: what is cut off is gone, what is added shows what is below."""
        self._several = self.values()
        self._forget()
        old = self.size
        below = self._backing[old:size]
        for disk in (self._disk, self._base):
            del disk[size:]
            disk.extend(below)
            disk.extend(bytes(size - len(disk)))
        self._several = {
            at: Values(*(frozenset(self._cut_or_fill(at, value) for value in both) for both in sets))
            for at, sets in self._several.items()
            if at * SECTOR < size
        }
        for units in (self.must_be_set, self.may_be_set, self.durable_units):
            units.intersection_update(self.units(0, size))
        last = old // self.unit_size
        hidden = min((last + 1) * self.unit_size, old + len(below)) - old
        if old % self.unit_size and last in self.may_be_set and hidden > 0:
            # The rest of a unit whose bit is set comes from the image file, as zeros.
            sure = Outcome.DONE if last in self.must_be_set else Outcome.FAILED
            self._put(old, bytes(hidden), Outcome.DURABLE if last in self.durable_units else sure)

    def _cut_or_fill(self, at: int, value: bytes) -> bytes:
        """A sector's value, now that the disk has another size."""
        value = value[: self.size - at * SECTOR]
        return value + self._disk[at * SECTOR + len(value) : (at + 1) * SECTOR]

    def _put(self, offset: int, data: bytes, outcome: Outcome) -> None:
        self._history.append(_Write(offset, data, outcome))
        if outcome is not Outcome.FAILED:
            self._disk[offset : offset + len(data)] = data

    def _touch(self, units: set[int], outcome: Outcome) -> None:
        self.may_be_set |= units
        if outcome is not Outcome.FAILED:
            self.must_be_set |= units
        if outcome is Outcome.DURABLE:
            self.durable_units |= units

    def _forget(self) -> None:
        """Let the history be the past; the caller has kept the sectors of several values."""
        while self._history:
            offset, data, outcome = self._history.pop(0)
            if outcome is not Outcome.FAILED:
                self._base[offset : offset + len(data)] = data

    # --- what is seen, and is certain from then on

    def see(self, offset: int, data: bytes) -> int | None:
        """A read. What it shows of a sector that may be several is what the sector is from now on.

        Returns:
            The first byte of the disk that the read shows and that cannot be, None where all is right.
        """
        end = offset + len(data)
        doubtful = any(len(values.now) > 1 for values in self._several.values())
        if doubtful or any(step.outcome is Outcome.FAILED for step in self._history):
            self._several = self.values()
            self._forget()
            for at, values in self._several.items():
                start, stop = max(at * SECTOR, offset), min((at + 1) * SECTOR, end)
                seen, first = data[start - offset : stop - offset], start - at * SECTOR
                now = {value for value in values.now if value.startswith(seen, first)}
                if start < stop and len(values.now) > 1:
                    if not now:
                        return start
                    self._several[at] = Values(frozenset(now), values.after)
                    for disk in (self._disk, self._base):
                        disk[at * SECTOR : (at + 1) * SECTOR] = min(now)
        if self._disk[offset:end] == data:
            return None
        return offset + next(compress(count(), map(ne, self._disk[offset:end], data)))

    def see_units(self, found: set[int]) -> set[int]:
        """The units whose bits are set. Returns those whose bits are not as they must be."""
        wrong = (self.must_be_set - found) | (found - self.may_be_set)
        if not wrong:
            self.must_be_set, self.may_be_set = set(found), set(found)
        return wrong

    # --- what it knows

    def read(self, offset: int, length: int) -> bytes:
        """The bytes of a range; of a sector that may be several, one that it may be now."""
        return bytes(self._disk[offset : offset + length])

    def units(self, offset: int, length: int) -> set[int]:
        """The units that a range touches."""
        return set(range(offset // self.unit_size, -(-(offset + length) // self.unit_size)) if length else ())

    def values(self) -> dict[int, Values]:
        """What each sector may be whose bytes a loss of power may change; by its number."""
        found = {at: (set(v.now), set(v.after)) for at, v in self._several.items()}
        for offset, data, outcome in self._history:
            for at in range(offset // SECTOR, -(-(offset + len(data)) // SECTOR) if data else 0):
                start = at * SECTOR
                old = {bytes(self._base[start : start + SECTOR])}
                now, after = found.get(at) or (old, old)
                low, high = max(offset - start, 0), min(offset + len(data) - start, SECTOR)
                piece = data[start + low - offset : start + high - offset]
                new = {value[:low] + piece + value[high:] for value in now}
                kept = {v[:low] + piece + v[high:] for v in after} if outcome is Outcome.DURABLE else after
                now = now | new if outcome is Outcome.FAILED else new
                found[at] = now, kept | now
        return {at: Values(*map(frozenset, sets)) for at, sets in found.items() if len(sets[1]) > 1}
