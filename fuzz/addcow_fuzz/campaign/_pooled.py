"""A slice on a worker that shares no directory with the campaign, but a pool of objects.

The worker has the corpus in a directory of its own, and keeps what it has had from the pool before. While the
slice runs, what it writes is carried to the pool every few seconds, so that another worker can go on from
there if this one dies.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from dataclasses import replace
from functools import cache
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from addcow_fuzz.campaign._finding import packed
from addcow_fuzz.campaign._model import Put, digest
from addcow_fuzz.campaign._objects import INPUT, WORK, Objects
from addcow_fuzz.campaign._slice import run_slice
from addcow_fuzz.campaign._store import BadFolder

if TYPE_CHECKING:
    from types import TracebackType

    from addcow_fuzz.campaign._model import Slice

__all__ = ["fetch_work", "run_pooled"]

# Seconds between two looks at what there is to carry; a worker that dies loses no more.
_CARRYING = 2.0
# Paths that a slice tells of; there may be any number of them.
_TOLD = 20
_PREFIX = "addcow-fuzz-"
_LOCK = threading.Lock()


def run_pooled(url: str, order: Slice) -> Put:
    """Fuzz a target, and put what comes of it into a pool.

    Args:
        url: of the pool.
        order: what to do. Its directories are folders of the pool, and it ends early once the object
            that is named by ``stop`` is gone.

    Raises:
        BadFolder: the pool cannot be reached, or is not the campaign's.
        SliceFailed: the target cannot be fuzzed.
        OSError: a file cannot be read or written.
    """
    pool = Objects(url)
    if not pool.has(order.stop):
        raise BadFolder(f"{pool}: not the pool that the campaign writes to, or that is over")
    with TemporaryDirectory(prefix=_PREFIX) as home:
        corpus, work, stop = (os.path.join(home, name) for name in ("corpus", "work", "stop"))
        strange = [name for folder in order.corpus for name in _snapshot(pool, folder, corpus)]
        strange += fetch_work(pool, order.work, work)
        with _Carrier(pool, order, work, stop):
            result = run_slice(replace(order, corpus=(corpus,), work=work, stop=stop))
        found = {digest(data): data for data in map(packed, result.found)}
        pool.put(f"{order.work}/found", found)
    return Put(tuple(map(digest, result.inputs)), tuple(found), result.counters, tuple(strange[:_TOLD]))


def _snapshot(pool: Objects, folder: str, directory: str) -> list[str]:
    """Put the inputs of a folder into a directory; what was passed over."""
    listing = pool.below(folder, INPUT)
    kept = _kept()
    os.makedirs(directory, exist_ok=True)
    missing = [name for name in listing.sizes if not os.path.exists(os.path.join(kept, name))]
    for name, data in pool.get(folder, missing):
        partial = os.path.join(directory, "partial")
        with open(partial, "wb") as file:
            file.write(data)
        os.replace(partial, os.path.join(kept, name))
    for name in listing.sizes:
        with suppress(FileNotFoundError):  # it was not whole, or is gone by now
            os.link(os.path.join(kept, name), os.path.join(directory, name))
    return listing.strange


def _kept() -> str:
    """The directory of all inputs that this process has had from a pool."""
    with _LOCK:
        return _kept_directory().name


@cache
def _kept_directory() -> TemporaryDirectory[str]:
    return TemporaryDirectory(prefix=_PREFIX)


def fetch_work(pool: Objects, folder: str, directory: str) -> list[str]:
    """Put what slices have left in a folder into a directory; what was passed over."""
    listing = pool.below(folder, WORK)
    for name in ("new", "artifacts", "found"):
        os.makedirs(os.path.join(directory, name), exist_ok=True)
    for name, data in pool.get(folder, listing.sizes):
        with open(os.path.join(directory, name), "wb") as file:
            file.write(data)
    return listing.strange


class _Carrier:
    """Carries what a slice writes to the pool, and the end of the campaign to the slice."""

    def __init__(self, pool: Objects, order: Slice, work: str, stop: str) -> None:
        self._pool = pool
        self._order = order
        self._work = work
        self._stop = stop
        self._carried = {(folder, name) for folder in ("new", "artifacts") for name in self._names(folder)}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._go_on, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        self._carry()

    def _go_on(self) -> None:
        while not self._over.wait(_CARRYING):
            with suppress(BadFolder):  # it may be back for the next time; the last one counts
                self._carry()
                if not self._pool.has(self._order.stop):
                    with open(self._stop, "wb"):
                        return

    def _carry(self) -> None:
        for folder in ("new", "artifacts"):
            new = {}
            for name in self._names(folder):
                if (folder, name) in self._carried:
                    continue
                with suppress(FileNotFoundError), open(os.path.join(self._work, folder, name), "rb") as file:
                    data = file.read()
                    if name.endswith(digest(data)):  # whole
                        new[name] = data
            self._pool.put(f"{self._order.work}/{folder}", new)
            self._carried |= {(folder, name) for name in new}

    def _names(self, folder: str) -> list[str]:
        return os.listdir(os.path.join(self._work, folder))
