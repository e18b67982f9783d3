"""Random numbers for mutators: the same from the same seed, and at once.

To seed Python's own generator takes longer than a whole mutation, as it fills 624 words; and to draw one of
several takes longer there than a multiplication, after which some are likelier than others by one in 2**32.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["dice_of"]

# The multiplier and the increment of Knuth's MMIX.
_FACTOR, _STEP, _MASK = 6364136223846793005, 1442695040888963407, (1 << 64) - 1
_WIDTH = 32

_T = TypeVar("_T")


class _Dice(Random):
    """A linear congruential generator of 64 bits, the upper half of which is given."""

    _state = 0

    def seed(self, a: int, version: int = 2) -> None:  # type: ignore[override]  # noqa: ARG002 - numbers alone
        self._state = a * _FACTOR + _STEP & _MASK

    def random(self) -> float:
        return self.getrandbits(_WIDTH) / (1 << _WIDTH)

    def getrandbits(self, k: int) -> int:
        if k > _WIDTH:
            return self.getrandbits(_WIDTH) | self.getrandbits(k - _WIDTH) << _WIDTH
        self._state = state = self._state * _FACTOR + _STEP & _MASK
        return state >> 64 - k

    def choice(self, seq: Sequence[_T]) -> _T:  # type: ignore[override]
        """One of them; there are fewer than 2**32.

        Raises:
            IndexError: there is none.
        """
        self._state = state = self._state * _FACTOR + _STEP & _MASK
        return seq[(state >> _WIDTH) * len(seq) >> _WIDTH]

    def randrange(self, start: int, stop: int | None = None, step: int = 1) -> int:
        """A number from ``start``, or 0, to the one before the last argument; fewer than 2**32.

        Raises:
            ValueError: there is none.
        """
        if stop is None:
            start, stop = 0, start
        if stop <= start or step != 1:
            return super().randrange(start, stop, step)
        self._state = state = self._state * _FACTOR + _STEP & _MASK
        return start + ((state >> _WIDTH) * (stop - start) >> _WIDTH)


_DICE = _Dice(0)


def dice_of(seed: int) -> Random:
    """The generator, seeded; there is one alone, which serves a mutation at a time."""
    _DICE.seed(seed)
    return _DICE
