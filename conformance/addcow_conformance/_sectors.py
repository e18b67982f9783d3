"""What the sectors of a disk may be, where it is more than one thing.

What happens is kept, and told to them when they are asked for: mostly a flush comes before.
"""

from __future__ import annotations

from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from addcow_conformance._sparse import over, over_each, pieces

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["SECTOR", "Outcome", "Sectors", "Values"]

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


class Sectors:
    """The sectors of one disk that may have several values."""

    def __init__(self) -> None:
        self._several: dict[int, Values] = {}
        self._history: list[tuple[Callable[..., Any], tuple[Any, ...]]] = []

    def copy(self) -> Self:
        """Others that may be the same."""
        twin = type(self)()
        twin._several, twin._history = self._several.copy(), self._history.copy()  # noqa: SLF001 - of its own class
        return twin

    def later(self, happens: Callable[..., Any], *facts: Any) -> None:  # noqa: ANN401 - what the method takes
        """Something happens: one of the methods below, and what it is to be told."""
        self._history.append((happens, facts))

    def values(self) -> dict[int, Values]:
        """What each may be that may have several values, by its number."""
        history, self._history = self._history, []
        for happens, facts in history:
            happens(self, *facts)
        return self._several

    def flush(self, *, unsure: bool) -> None:
        """What they may be now is what a loss of power may leave.

        Args:
            unsure: whether any may have more than one value now.
        """
        history, self._history = self._history, []
        if not unsure:
            self._several = {}
            return
        kills = (number for number, (happens, _) in enumerate(history, 1) if happens is Sectors.kill)
        killed = max(kills, default=0)
        for happens, facts in history[:killed]:
            happens(self, *facts)
        # From here on it does not matter what might have been lost.
        self._several = {at: Values(now, now) for at, (now, _) in self._several.items() if len(now) > 1}
        for happens, facts in history[killed:]:
            (Sectors._settle if happens is Sectors.write else happens)(self, *facts)
        self._several = {at: Values(now, now) for at, (now, _) in self._several.items() if len(now) > 1}

    # --- what happens

    def write(self, offset: int, data: bytes, outcome: Outcome, old: bytes) -> None:
        """A write; ``old`` are the sectors that it touches as they were."""
        start, several = offset // SECTOR * SECTOR, self._several
        for at, low, high in pieces(offset, len(data), SECTOR):
            begin = at * SECTOR
            piece = data[begin + low - offset : begin + high - offset]
            known = several.get(at)
            if known is None:
                was = old[begin - start : begin - start + SECTOR]
                if was.startswith(piece, low):
                    continue  # the same bytes again
                now = after = frozenset((was,))
            else:
                now, after = known
            whole = frozenset((piece,)) if high - low == SECTOR else None
            written = whole or over_each(now, low, piece)
            now = written | now if outcome is Outcome.FAILED else written
            if outcome is Outcome.DURABLE:
                after = whole or over_each(after, low, piece)
            several[at] = Values(now, now | after)

    def _settle(self, offset: int, data: bytes, outcome: Outcome, old: bytes) -> None:
        """A write that is flushed now: what it left is known, where it did not fail."""
        if outcome is Outcome.FAILED:
            self.write(offset, data, outcome, old)
            return
        for at in self._touched(offset, len(data)):
            low, high = max(offset - at * SECTOR, 0), min(offset + len(data) - at * SECTOR, SECTOR)
            now = over_each(self._several[at].now, low, data[at * SECTOR + low - offset :][: high - low])
            self._several[at] = Values(now, now)

    def _touched(self, offset: int, length: int) -> list[int]:
        """Those of a range that may have several values."""
        touched = range(offset // SECTOR, -(-(offset + length) // SECTOR)) if length else range(0)
        if len(touched) < len(self._several):
            return [at for at in touched if at in self._several]
        return [at for at in self._several if at in touched]

    def kill(self) -> None:
        """The process ends: what a loss of power may leave may be there from now on."""
        self._several = {at: Values(may, may) for at, (_, may) in self._several.items() if len(may) > 1}

    def cut(self, old: int, size: int, below: Callable[[int, int], bytes]) -> None:
        """A resize: the sector of the smaller size is cut, and what comes after it is what is below."""
        self._several = {at: values for at, values in self._several.items() if at * SECTOR < size}
        edge = min(old, size) // SECTOR
        if edge in self._several:
            start, end = edge * SECTOR, min((edge + 1) * SECTOR, size)

            def fitted(value: bytes) -> bytes:
                return value[: end - start] + below(start + len(value), end)

            self._several[edge] = self._several[edge].each(fitted)

    def uncover(self, old: int, end: int, shown: bytes, sure: bool, durable: bool) -> None:  # noqa: FBT001 - facts
        """The rest of a short unit, ``shown`` as it is below; whether its bit is set and durable."""
        start = old // SECTOR * SECTOR
        for at, low, high in pieces(old, end - old, SECTOR):
            only = frozenset((shown[at * SECTOR - start : (at + 1) * SECTOR - start],))
            now, after = values = self._several.get(at) or Values(only, only)
            zeros = values.each(partial(over, low=low, piece=bytes(high - low)))
            now = zeros.now if sure else zeros.now | now
            self._several[at] = Values(now, zeros.after if durable else zeros.after | after)

    def narrow(self, offset: int, data: bytes) -> dict[int, frozenset[bytes]]:
        """A read of sectors that may have been several, and what each may be from then on."""
        found = {}
        for at in self._touched(offset, len(data)):
            now, after = self._several[at]
            if len(now) < 2:
                continue
            begin = at * SECTOR - offset
            seen, low = data[max(begin, 0) : max(begin + SECTOR, 0)], max(-begin, 0)
            left = {seen} & now or frozenset(value for value in now if value.startswith(seen, low))
            if left and left != now:
                found[at] = frozenset(left)
                self._several[at] = Values(found[at], after)
        return found
