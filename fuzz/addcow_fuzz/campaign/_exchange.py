"""How a campaign and its slices give one another what they have: in a folder that all reach, or in a pool."""

from __future__ import annotations

import json
import os
import shutil
from contextlib import suppress
from dataclasses import replace
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Protocol

from addcow_fuzz.campaign._finding import unpacked
from addcow_fuzz.campaign._model import Result, digest
from addcow_fuzz.campaign._objects import INPUT, Objects
from addcow_fuzz.campaign._pooled import fetch_work, run_pooled
from addcow_fuzz.campaign._slice import STATUS, collect, run_slice
from addcow_fuzz.campaign._store import BadFolder

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Executor, Future

    from addcow_fuzz.campaign._model import Put, Slice, Subject
    from addcow_fuzz.campaign._store import Store

__all__ = ["Exchange", "Folder", "Pooled"]


class Exchange(Protocol):
    """What a campaign asks of it. All methods may raise `BadFolder` and `OSError`."""

    over: bool
    """Whether slices have been told to end."""
    strange: set[str]
    """Paths that were passed over, as they cannot have been written by a slice."""

    def begin(self, subjects: Sequence[Subject]) -> None:
        """Be ready for slices of these targets."""

    def places(self, target: str, name: str) -> dict[str, Any]:
        """The fields ``corpus``, ``work`` and ``stop`` of a slice of this name."""

    def left(self) -> list[str]:
        """Names of slices that have left something, in order."""

    def collected(self, order: Slice) -> Result:
        """What such a slice has left."""

    def submit(self, executor: Executor, order: Slice) -> Future[Any]:
        """Run a slice."""

    def result(self, order: Slice, answer: Any) -> Result:  # noqa: ANN401 - what `submit` gives
        """What it gave."""

    def taken(self, order: Slice, result: Result) -> None:
        """It is all in the campaign's folder now."""

    def status(self, order: Slice) -> dict[str, float] | None:
        """How a slice goes on; None where it does not say."""

    def end(self) -> None:
        """Tell all slices to end."""


class Folder:
    """In the campaign's folder, which workers reach by the same path.

    Args:
        store: the folder.
        seeds: a directory with a directory of inputs for each target; empty for none.
    """

    def __init__(self, store: Store, seeds: str) -> None:
        self.over = False
        self.strange: set[str] = set()
        self._store = store
        self._seeds = seeds
        self._stop = store.at("stop")

    def begin(self, subjects: Sequence[Subject]) -> None:  # noqa: ARG002 - slices read the folder itself
        """See `Exchange`."""
        with suppress(FileNotFoundError):
            os.unlink(self._stop)

    def places(self, target: str, name: str) -> dict[str, Any]:
        """See `Exchange`."""
        corpus = [self._store.corpus(target)]
        if self._seeds and os.path.isdir(seeds := os.path.join(self._seeds, target)):
            corpus.append(os.path.abspath(seeds))
        return {"corpus": tuple(corpus), "work": self._store.at("work", name), "stop": self._stop}

    def left(self) -> list[str]:
        """See `Exchange`."""
        return sorted(os.listdir(self._store.at("work")))

    def collected(self, order: Slice) -> Result:
        """See `Exchange`."""
        return collect(order)

    def submit(self, executor: Executor, order: Slice) -> Future[Result]:
        """See `Exchange`."""
        return executor.submit(run_slice, order)

    def result(self, order: Slice, answer: Result) -> Result:  # noqa: ARG002
        """See `Exchange`."""
        return answer

    def taken(self, order: Slice, result: Result) -> None:  # noqa: ARG002
        """See `Exchange`."""
        shutil.rmtree(order.work, ignore_errors=True)

    def status(self, order: Slice) -> dict[str, float] | None:
        """See `Exchange`."""
        try:
            with open(os.path.join(order.work, STATUS), "rb") as file:
                told: dict[str, float] = json.load(file)
        except (FileNotFoundError, ValueError):
            return None
        return told

    def end(self) -> None:
        """See `Exchange`."""
        self.over = True
        self._store.write(self._stop, b"")


class Pooled:
    """In a pool of objects. Slices write below ``work/`` alone; the corpus is the campaign's to write.

    Args:
        store: the campaign's folder, which no worker reaches.
        url: of the pool.
        seeds: a directory with a directory of inputs for each target; empty for none.
    """

    def __init__(self, store: Store, url: str, seeds: str) -> None:
        self.over = False
        self.strange: set[str] = set()
        self._store = store
        self._seeds = seeds
        self._pool = Objects(url)
        identity = store.identity()
        self._home, self._running = f"work/{identity}", f"running/{identity}"

    def begin(self, subjects: Sequence[Subject]) -> None:
        """See `Exchange`. Folder and pool get from one another what they have not."""
        self._pool.put("", {self._running: b""})
        for subject in subjects:
            folder = f"corpus/{subject.name}"
            there = self._pool.below(folder, INPUT)
            self.strange.update(there.strange)
            here = _inputs(self._store.corpus(subject.name))
            more = self._pool.get(folder, there.sizes.keys() - here.keys())
            self._store.add_inputs(subject.name, (data for _, data in more))
            if self._seeds:
                here |= _inputs(os.path.join(self._seeds, subject.name))
            wanting = (name for name, data in here.items() if there.sizes.get(name) != len(data))
            self._pool.put(folder, {name: here[name] for name in wanting})

    def places(self, target: str, name: str) -> dict[str, Any]:
        """See `Exchange`."""
        return {"corpus": (f"corpus/{target}",), "work": f"{self._home}/{name}", "stop": self._running}

    def left(self) -> list[str]:
        """See `Exchange`."""
        return self._pool.folders(self._home)

    def collected(self, order: Slice) -> Result:
        """See `Exchange`."""
        with TemporaryDirectory() as work:
            self.strange.update(fetch_work(self._pool, order.work, work))
            return collect(replace(order, corpus=(), work=work, stop=""))

    def submit(self, executor: Executor, order: Slice) -> Future[Put]:
        """See `Exchange`."""
        return executor.submit(run_pooled, self._pool.url, order)

    def result(self, order: Slice, answer: Put) -> Result:
        """See `Exchange`."""
        self.strange.update(answer.strange)
        here = os.listdir(self._store.corpus(order.subject.name))
        inputs = dict(self._pool.get(f"{order.work}/new", set(answer.inputs).difference(here)))
        found = dict(self._pool.get(f"{order.work}/found", set(answer.found)))
        missing = set(answer.inputs).difference(here, inputs) | set(answer.found).difference(found)
        if missing:
            raise BadFolder(
                f"{self._pool}: {order.work}: {len(missing)} objects that were put there are gone"
            )
        return Result(tuple(inputs.values()), tuple(map(unpacked, found.values())), answer.counters)

    def taken(self, order: Slice, result: Result) -> None:
        """See `Exchange`."""
        folder = f"corpus/{order.subject.name}"
        bad = {digest(found.original) for found in result.found}
        inputs = {digest(data): data for data in result.inputs}
        self._pool.put(folder, {name: data for name, data in inputs.items() if name not in bad})
        self._pool.drop(*(f"{folder}/{name}" for name in bad))
        with suppress(BadFolder):  # as long as somebody writes there; it is taken in once more next time
            self._pool.drop(order.work)

    def status(self, order: Slice) -> None:
        """See `Exchange`. To ask the pool twice a second for each slice would be the most of its work."""

    def end(self) -> None:
        """See `Exchange`."""
        self.over = True
        self._pool.drop(self._running)


def _inputs(directory: str) -> dict[str, bytes]:
    """The files of a directory, and of those below it, by what they are named as objects."""
    found = {}
    for home, _, names in os.walk(directory):
        for path in (os.path.join(home, name) for name in names):
            if os.path.isfile(path):  # and no pipe
                with open(path, "rb") as file:
                    data = file.read()
                found[digest(data)] = data
    return found
