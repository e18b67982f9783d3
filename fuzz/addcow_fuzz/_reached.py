"""What programs reach: the states of the models, counted in one program of eight.

To count all takes a seventh of the time. An input is counted always or never, so that what it covers is the
same each time it is run.
"""

from __future__ import annotations

import json
import os
import time
from functools import lru_cache
from typing import TYPE_CHECKING
from zlib import crc32

from addcow_conformance.programs import StorageKind
from addcow_conformance.reach import Reach, states
from addcow_fuzz._environment import REACHED

if TYPE_CHECKING:
    from collections.abc import Callable

    from addcow_conformance.programs import Operation, Result, Session

__all__ = ["counting"]

_ONE_OF = 8
# Seconds between two times that the counts are written.
_EVERY = 1.0


def counting(session: Session, data: bytes) -> Callable[[Operation], Result]:
    """`Session.step`, which counts the states that it leads to where this input is one that is counted.

    Args:
        session: a disk at its beginning.
        data: the input.
    """
    path = os.environ.get(REACHED)
    return _counts(path).begin(session) if path and not crc32(data) % _ONE_OF else session.step


class _Counts:
    """The counts of this process, which are in a file at most a second later."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._reach = Reach()
        self._names = states(StorageKind.MEMORY)
        self._written = 0.0

    def begin(self, session: Session) -> Callable[[Operation], Result]:
        now = time.monotonic()
        if now - self._written >= _EVERY:
            self._written = now
            self._write()
        self._reach.begin(session)

        def step(operation: Operation) -> Result:
            self._reach.before(session)
            result = session.step(operation)
            self._reach.after(session, operation, result)
            return result

        return step

    def _write(self) -> None:
        with open(f"{self._path}.part", "w", encoding="utf-8") as file:
            json.dump({name: self._reach.counts[name] for name in self._names}, file)
        os.replace(f"{self._path}.part", self._path)


@lru_cache(maxsize=1)
def _counts(path: str) -> _Counts:
    return _Counts(path)
