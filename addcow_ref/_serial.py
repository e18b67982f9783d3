"""Who waits for whom: requests share the image, a resize has it alone, writes to one unit queue up."""

from __future__ import annotations

from contextlib import contextmanager
from threading import Condition, Lock, RLock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

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
        self._changed = Condition()
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
        self._waiting = 0
        self._lock = RLock()  # what a Condition is made for: with a plain Lock it takes three times as long
        self._changed = Condition(self._lock)

    def holding(self, first: int, stop: int) -> AbstractContextManager[None]:
        """Hold the units from ``first`` up to, not including, ``stop``."""
        return _Holding(self, (first, stop))

    def acquire(self, units: tuple[int, int]) -> None:
        """Wait until nobody holds any of the units, and hold them."""
        with self._lock:
            while self._meets(*units):
                self._waiting += 1
                try:
                    self._changed.wait()
                finally:
                    self._waiting -= 1
            self._held.append(units)

    def release(self, units: tuple[int, int]) -> None:
        """Give them back."""
        with self._lock:
            self._held.remove(units)
            if self._waiting:
                self._changed.notify_all()

    def _meets(self, first: int, stop: int) -> bool:
        for held, end in self._held:  # noqa: SIM110 - every first write passes here, and this is the fastest
            if held < stop and first < end:
                return True
        return False


class _Holding:
    """Units that are held while the body runs: a class, as a generator takes three times as long."""

    __slots__ = ("_locks", "_units")

    def __init__(self, locks: UnitLocks, units: tuple[int, int]) -> None:
        self._locks = locks
        self._units = units

    def __enter__(self) -> None:
        self._locks.acquire(self._units)

    def __exit__(self, *_: object) -> None:
        self._locks.release(self._units)
