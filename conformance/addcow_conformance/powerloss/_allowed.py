"""What a loss of power may leave of a disk at one moment, from what an oracle knows."""

from __future__ import annotations

from functools import cached_property, lru_cache
from itertools import compress, count
from operator import ne
from struct import Struct
from typing import TYPE_CHECKING, NamedTuple

from addcow_conformance.oracle import SECTOR, Oracle
from addcow_conformance.programs import Operation, Race, Resize, Stream, Write, Zeroes, end_of, tell

if TYPE_CHECKING:
    from collections.abc import Sequence

    from addcow_conformance._units import Units
    from addcow_conformance.programs._disks import Disks

__all__ = ["WHOLE", "WINDOW", "Allowed", "Moment", "before_creation", "during", "settled"]

# A disk of this size or less is compared whole; of a larger one the windows that are named.
WHOLE = 1 << 20
WINDOW = 64 << 10
# Compared at once, as most of a disk is as it was; else sector by sector.
_BLOCK = 64 << 10


# How a file without a header, or with a torn one, is refused. What has a header is complete (ACW-DYN-010).
_NO_HEADER = frozenset({"ACW-HDR-001", "ACW-HDR-003", "ACW-NAM-006", "ACW-SIZ-006"})


class Allowed:
    """The disks that a loss of power may leave, from one oracle.

    Args:
        oracle: what is known.
        windows: the parts of a large disk that are compared: numbers of pieces of 64 KiB.

    Attributes:
        size: bytes of the disk.
        windows: offset and length of each part of the disk that is compared.
    """

    def __init__(self, oracle: Oracle, windows: frozenset[int]) -> None:
        self.size = oracle.size
        self.unit_size = oracle.unit_size
        self.durable_units = oracle.durable_units
        self.may_be_set = oracle.may_be_set
        self.windows = self._parts(windows)
        self._disk = [_blocks(oracle.read(start, length)) for start, length in self.windows]
        self._ask = oracle.values_later()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Allowed) and self._told() == other._told()

    __hash__ = None  # type: ignore[assignment]

    def _told(self) -> tuple[object, ...]:
        units = self.unit_size, self.durable_units, self.may_be_set
        return self.size, *units, self.windows, self._disk, self._values

    @cached_property
    def _values(self) -> dict[int, tuple[bytes, ...]]:
        """What each sector may be; few each, and compared faster than hashed. Most disks are as they were."""
        return {at: tuple(sorted(values.after)) for at, values in self._ask().items()}

    def _parts(self, windows: frozenset[int]) -> list[tuple[int, int]]:
        if self.size <= WHOLE:
            return [(0, self.size)]
        starts = sorted(window * WINDOW for window in windows if window * WINDOW < self.size)
        return [(start, min(WINDOW, self.size - start)) for start in starts]

    def fault(self, parts: Sequence[bytes], units: Units) -> tuple[str, str] | None:
        """The rule that a disk breaks, and how; None where it may be so.

        Args:
            parts: what its windows read as.
            units: the units whose bits are set.
        """
        lost, extra = self.durable_units - units, units - self.may_be_set
        if lost:
            return "ACW-DYN-005", f"the bit of unit {min(lost)} was durable, and is clear"
        if extra:
            return "ACW-DYN-002", f"the bit of unit {min(extra)} is set, and nothing was written there"
        for (start, _), found, expected in zip(self.windows, parts, self._disk, strict=True):
            wrong = self._wrong(start, found, expected)
            if wrong is not None:
                return "ACW-DYN-005", f"sector {wrong} reads as nothing that was ever written there"
        return None

    def _wrong(self, start: int, found: bytes, blocks: Sequence[bytes]) -> int | None:
        """The first sector of a window that it cannot be."""
        low = 0
        for block in blocks:
            if not found.startswith(block, low):
                sectors, first = _sectors(found[low : low + len(block)]), (start + low) // SECTOR
                for at in compress(count(), map(ne, sectors, _sectors(block))):
                    if sectors[at] not in self._values.get(first + at, ()):
                        return first + at
            low += len(block)
        return None if len(found) == low else (start + low) // SECTOR


def _blocks(data: bytes) -> list[bytes]:
    return [data[at : at + _BLOCK] for at in range(0, len(data), _BLOCK)]


def _sectors(data: bytes) -> tuple[bytes, ...]:
    """Bytes cut into sectors, in one go; what is left of the last, be it nothing, comes as one more."""
    whole, rest = divmod(len(data), SECTOR)
    return _cutter(whole, rest).unpack(data)


@lru_cache
def _cutter(whole: int, rest: int) -> Struct:
    return Struct(f"{SECTOR}s" * whole + f"{rest}s")


class Moment(NamedTuple):
    """What may be found at one moment.

    Attributes:
        disks: what the disk may be; any of them will do.
        refusals: rules by which the image may be refused instead.
    """

    disks: tuple[Allowed, ...]
    refusals: frozenset[str] = frozenset()


def settled(oracle: Disks, windows: frozenset[int]) -> Moment:
    """Between two operations. After a resize that failed the size is not certain until a flush."""
    disks = tuple(Allowed(each, windows) for each in (oracle, *oracle.others))
    return Moment(disks, _refusals(oracle) if oracle.others else frozenset())


def _refusals(oracle: Disks) -> frozenset[str]:
    """While a size is not certain: in v4 and v6 it is told in two files (ACW-SIZ-006)."""
    return frozenset({"ACW-SIZ-006"} if oracle.told_twice else ())


def before_creation(oracle: Oracle, windows: frozenset[int]) -> Moment:
    """Until the image's creation has returned: no image, or the right one (ACW-DYN-010)."""
    return Moment((Allowed(oracle, windows),), _NO_HEADER)


def during(before: Disks, operation: Operation, windows: frozenset[int]) -> Moment:
    """While an operation is under way; ``before`` is what was known when it began, and is used up."""
    if isinstance(operation, Resize):
        disks = (*before.while_resized(operation.size), *before.others)
        return Moment(tuple(Allowed(each, windows) for each in disks), _refusals(before))
    # Of two requests either may be the first; whether one has returned already is not known here.
    first, second = (operation.first, operation.second) if isinstance(operation, Race) else (operation, None)
    for request in (first, second, first) if second else (first,):
        if isinstance(request, Write | Zeroes | Stream) and end_of(request) <= before.size:
            tell(before, request, failed=True)
    return settled(before, windows)
