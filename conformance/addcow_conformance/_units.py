"""Sets of units: a range of them costs as little as one, and those of a disk of any size fit in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Set
from itertools import compress
from typing import Any, Self

__all__ = ["Units"]

# Units that one number tells of: as many as 4 KiB of a bitmap.
_MANY = 4096 * 8
_ALL = (1 << _MANY) - 1
# So many are looked for one by one, and of more each bit is looked at.
_FEW = 256


class Units(Set[int]):
    """A set of units, which does not change: numbers whose bits are the units, one for every 32,768 of them.

    Args:
        units: those that it has.
    """

    __slots__ = ("_bits",)

    def __init__(self, units: Iterable[int] = ()) -> None:
        self._bits: dict[int, int] = {}
        for unit in units:
            at, bit = divmod(unit, _MANY)
            self._bits[at] = self._bits.get(at, 0) | 1 << bit

    @classmethod
    def _of(cls, bits: dict[int, int]) -> Self:
        units = object.__new__(cls)
        units._bits = bits
        return units

    @staticmethod
    def of(units: Iterable[int]) -> Units:
        """The same units; those that are a set of this kind as they are."""
        return units if isinstance(units, Units) else Units(units)

    @classmethod
    def between(cls, first: int, stop: int) -> Self:
        """Those from ``first`` up to, not including, ``stop``."""
        if first >= stop:
            return cls._of({})
        (start, low), (last, high) = divmod(first, _MANY), divmod(stop - 1, _MANY)
        bits = dict.fromkeys(range(start, last + 1), _ALL)
        bits[last] = (2 << high) - 1
        bits[start] &= ~((1 << low) - 1)
        return cls._of(bits)

    @classmethod
    def of_bitmap(cls, data: bytes) -> Self:
        """Those whose bits are set in the bytes of a bitmap: of each byte the lowest bit first."""
        step = _MANY // 8
        parts = (int.from_bytes(data[at : at + step], "little") for at in range(0, len(data), step))
        return cls._of({at: part for at, part in enumerate(parts) if part})

    # --- what every set has

    def __contains__(self, unit: object) -> bool:
        if not isinstance(unit, int):
            return False
        at, bit = divmod(unit, _MANY)
        return bool(self._bits.get(at, 0) >> bit & 1)

    def __iter__(self) -> Iterator[int]:
        for at, part in sorted(self._bits.items()):
            first = at * _MANY
            if part.bit_count() > _FEW:
                yield from compress(range(first, first + part.bit_length()), map(int, f"{part:b}"[::-1]))
                continue
            left = part
            while left:
                lowest = left & -left
                yield first + lowest.bit_length() - 1
                left ^= lowest

    def __len__(self) -> int:
        return sum(map(int.bit_count, self._bits.values()))

    def __hash__(self) -> int:
        return self._hash()

    # --- two of them, without a look at each unit

    def __eq__(self, other: object) -> bool:
        return self._bits == other._bits if isinstance(other, Units) else super().__eq__(other)

    def __le__(self, other: Set[Any]) -> bool:
        if not isinstance(other, Units):
            return super().__le__(other)
        theirs = Units.of(other)._bits
        return all(not part & ~theirs.get(at, 0) for at, part in self._bits.items())

    def __or__(self, other: Iterable[Any]) -> Units:
        ours, theirs = self._bits, Units.of(other)._bits
        bits = ours | theirs
        for at in ours.keys() & theirs:
            bits[at] = ours[at] | theirs[at]
        return self._of(bits)

    def __and__(self, other: Iterable[Any]) -> Units:
        ours, theirs = self._bits, Units.of(other)._bits
        both = ((at, ours[at] & theirs[at]) for at in ours.keys() & theirs)
        return self._of({at: part for at, part in both if part})

    def __sub__(self, other: Iterable[Any]) -> Units:
        theirs = Units.of(other)._bits
        left = ((at, part & ~theirs.get(at, 0)) for at, part in self._bits.items())
        return self._of({at: part for at, part in left if part})
