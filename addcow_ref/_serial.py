"""Who waits for whom: requests share the image, a resize has it alone, writes to one unit queue up."""

from __future__ import annotations

from contextlib import contextmanager
from threading import Condition, Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Gate", "UnitLocks"]


class Gate:
    """Lets any number of requests in together, or one owner alone.

    It is passed on every request, so the way in is two operations that the interpreter makes atomic: append
    to a list, look at a flag. The owner does them the other way round: sets the flag, looks at the list. One
    of the two sees the other, whatever the order.
    """

    def __init__(self) -> None:
        self._inside: list[None] = []
        self._shut = False
        self._changed = Condition(Lock())
        self._owner = Lock()

    def enter(self) -> None:
        """Go in, after the owner if there is one."""
        self._inside.append(None)
        while self._shut:
            self.leave()
            with self._changed:
                self._changed.wait_for(lambda: not self._shut)
            self._inside.append(None)

    def leave(self) -> None:
        """Go out; once for each `enter`."""
        self._inside.pop()
        if self._shut:
            with self._changed:
                self._changed.notify_all()

    def __enter__(self) -> None:
        self.enter()

    def __exit__(self, *_: object) -> None:
        self.leave()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep new requests out, wait until those inside have left, and have the image alone."""
        with self._owner:
            self._shut = True
            try:
                with self._changed:
                    self._changed.wait_for(lambda: not self._inside)
                yield
            finally:
                self._shut = False
                with self._changed:
                    self._changed.notify_all()


class UnitLocks:
    """Locks ranges of units; ranges that do not meet do not wait for each other."""

    def __init__(self) -> None:
        self._held: list[tuple[int, int]] = []
        self._changed = Condition(Lock())

    @contextmanager
    def holding(self, first: int, stop: int) -> Iterator[None]:
        """Hold the units from ``first`` up to, not including, ``stop``."""
        mine = (first, stop)
        with self._changed:
            self._changed.wait_for(lambda: not any(a < stop and first < b for a, b in self._held))
            self._held.append(mine)
        try:
            yield
        finally:
            with self._changed:
                self._held.remove(mine)
                self._changed.notify_all()
