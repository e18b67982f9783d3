"""The disk that an image must be: bytes in memory, right because it is trivial.

It shares no code with the engine, and knows neither bitmap nor files: only what the guest wrote, what was
below, and what was flushed. Where an operation failed or was cut off it knows not one value, but the set of
those that a sector may show. A *sector* has 512 bytes, the last one of a disk perhaps fewer; it is written
whole or not at all. A *unit* is what one bit stands for.
"""

from __future__ import annotations

from itertools import compress, count
from operator import ne
from typing import TYPE_CHECKING, Self

from addcow_conformance._sectors import SECTOR, Outcome, Sectors, Values
from addcow_conformance._sparse import SparseBytes
from addcow_conformance._units import Units

if TYPE_CHECKING:
    from collections.abc import Callable, Set

__all__ = ["SECTOR", "Oracle", "Outcome", "Values"]


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
        self.must_be_set = self.may_be_set = self.durable_units = Units()
        # One value of each sector, and whether any may have another now.
        self._disk, self._unsure = SparseBytes(backing or b""), False
        self._sectors = Sectors()

    def copy(self) -> Self:
        """Another oracle that knows the same."""
        return self._twin(_disk=self._disk.copy(), _sectors=self._sectors.copy())

    def _twin(self, **own: object) -> Self:
        twin = object.__new__(type(self))
        twin.__dict__.update(self.__dict__, **own)
        return twin

    # --- what happens to the disk

    def write(self, offset: int, data: bytes, outcome: Outcome = Outcome.DONE) -> None:
        """Bytes or zeros are written to a range of the disk."""
        start = offset // SECTOR * SECTOR
        old = self.read(start, -(-(offset + len(data)) // SECTOR) * SECTOR - start)
        self._sectors.later(Sectors.write, offset, data, outcome, old)
        if outcome is not Outcome.FAILED:
            self._disk.write(offset, data)
        self._unsure |= outcome is Outcome.FAILED
        self._touch(self.units(offset, len(data)), outcome)

    def stream(self, outcome: Outcome = Outcome.DONE) -> None:
        """A stream came to its end, or was cut off anywhere: no byte of the disk changes."""
        self._touch(self.units(0, self.size), outcome)

    def flush(self) -> None:
        """A flush returned: what a read may show now is what a loss of power may leave."""
        self._sectors.flush(unsure=self._unsure)
        self.durable_units = self.must_be_set

    def kill(self) -> None:
        """The process ended without a flush; the system goes on, and with it what was written so far."""
        self._sectors.later(Sectors.kill)
        self._unsure = True
        self.must_be_set = self.durable_units

    def resize(self, size: int) -> None:
        """A resize returned, and is durable: what is cut off is gone, what is added shows what is below."""
        old, self.size = self.size, size
        self._disk.forget(min(old, size))
        self._sectors.later(Sectors.cut, old, size, self._disk.below)
        left = self.units(0, size)
        self.must_be_set, self.may_be_set = self.must_be_set & left, self.may_be_set & left
        self.durable_units &= left
        last, end = old // self.unit_size, min(-(-old // self.unit_size) * self.unit_size, size)
        if last not in self.may_be_set or old >= end:
            return
        # The rest of a unit that was short: if its bit is set it comes from the image file, as zeros.
        start, sure = old // SECTOR * SECTOR, last in self.must_be_set
        shown = self.read(start, end - start)
        self._sectors.later(Sectors.uncover, old, end, shown, sure, last in self.durable_units)
        if sure:
            self._disk.write(old, bytes(end - old))
        self._unsure |= not sure

    def _touch(self, units: Units, outcome: Outcome) -> None:
        self.may_be_set |= units
        if outcome is not Outcome.FAILED:
            self.must_be_set |= units
        if outcome is Outcome.DURABLE:
            self.durable_units |= units

    # --- what is seen, and is certain from then on

    def see(self, offset: int, data: bytes) -> int | None:
        """A read. What it shows of a sector that may be several is what the sector is from now on.

        Returns:
            The first byte of the disk that the read shows and that cannot be, None where all is right.
        """
        shows = self._disk.shows(offset, data)
        if self._unsure and shows:
            self._sectors.later(Sectors.narrow, offset, bytes(data))  # whatever becomes of a buffer
            self._unsure = (offset, len(data)) != (0, self.size)
        elif self._unsure:
            several = self._sectors.values()
            for at, left in self._sectors.narrow(offset, data).items():
                self._disk.write(at * SECTOR, min(left))
            self._unsure = any(len(now) > 1 for now, _ in several.values())
            shows = self._disk.shows(offset, data)
        if offset + len(data) <= self.size and shows:
            return None
        expected = self.read(offset, len(data))
        return offset + next(compress(count(), map(ne, expected, data)), len(expected))

    def see_units(self, found: Set[int]) -> Set[int]:
        """The units whose bits are set. Returns those whose bits are not as they must be."""
        if self.must_be_set <= found <= self.may_be_set:
            self.must_be_set = self.may_be_set = Units.of(found)
            return Units()
        return (self.must_be_set - found) | (found - self.may_be_set)

    def read(self, offset: int, length: int) -> bytes:
        """The bytes of a range; of a sector that may be several, one that it may be now."""
        return self._disk.read(offset, min(length, self.size - offset))

    def units(self, offset: int, length: int) -> Units:
        """The units that a range touches."""
        stop = -(-(offset + length) // self.unit_size) if length else 0
        return Units.between(offset // self.unit_size, stop)

    def values(self) -> dict[int, Values]:
        """What each sector may be whose bytes a loss of power may change; by its number."""
        return {at: values for at, values in self._sectors.values().items() if len(values.after) > 1}

    def values_later(self) -> Callable[[], dict[int, Values]]:
        """The same as it is now, for whoever may never ask: it is told when it is called."""
        return self._twin(_sectors=self._sectors.copy()).values
