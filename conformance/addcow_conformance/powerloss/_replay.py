"""What a traced program has done to the files of an image, replayed, and whether that is all of it."""

from __future__ import annotations

import os
from contextlib import closing
from random import Random
from typing import TYPE_CHECKING, NamedTuple

from addcow_conformance.powerloss._history import History
from addcow_conformance.powerloss._strace import CannotTrace
from addcow_conformance.programs import Operation, Violation
from addcow_ref import FileStorage
from addcow_ref.memory import MemoryFiles
from addcow_ref.testing import SyncEvent

if TYPE_CHECKING:
    from collections.abc import Mapping

    from addcow_conformance.powerloss._allowed import Moment
    from addcow_conformance.powerloss._timeline import Step
    from addcow_ref.storage import Identity, Storage
    from addcow_ref.testing import Event

__all__ = ["Phase", "Recorded", "Replay", "verify"]

# Bytes that are compared at once.
_PIECE = 64 << 10


class Phase(NamedTuple):
    """An operation, or the creation of the image.

    Attributes:
        end: how many lines the log had when it had returned.
        operations: all operations so far.
        meanwhile: what may be found while it is under way.
        settled: what may be found when it has returned.
    """

    end: int
    operations: tuple[Operation, ...]
    meanwhile: Moment
    settled: Moment


class Recorded(NamedTuple):
    """What a program has done to the files of an image.

    Attributes:
        beginning: the image's files before, by name; see `History`.
        names: what events call them.
        backing: the files below, by name.
        steps: the log, as it grew.
        phases: what was asked of the program; none where the image must not be, and is not.
    """

    beginning: Mapping[bytes, bytes | int]
    names: Mapping[Identity, bytes]
    backing: Mapping[bytes, bytes]
    steps: tuple[Step, ...]
    phases: tuple[Phase, ...]


class Replay:
    """The history of what was recorded, step by step.

    Args:
        recorded: what was recorded.

    Attributes:
        recorded: the same.
        history: the files as they are after the last step that was taken.
        log: the events until then.
    """

    def __init__(self, recorded: Recorded) -> None:
        self.log: list[Event] = []
        self.recorded = recorded
        self.history = self._begin()

    def _begin(self) -> History:
        return History(self.recorded.beginning, self.recorded.names)

    def advance(self, step: Step) -> None:
        """Take a step. Where it changes the log, the history is told anew.

        Raises:
            Violation: a file below is written (ACW-DYN-004).
        """
        for event in step.added:
            if event.file not in self.recorded.names:
                raise Violation("ACW-DYN-004", f"a backing file is written: {event}")
        if step.kept < len(self.log):
            self.history = self._begin()
        self.log[step.kept :] = step.added
        for event in self.log[self.history.events :]:
            self.history.add(event)


def verify(recorded: Recorded, directory: bytes) -> None:
    """Check that what was traced makes the files that are there.

    Raises:
        CannotTrace: it does not: somebody else has written to them, or nobody saw how.
        Violation: a file below is written (ACW-DYN-004).
    """
    replay, memory = Replay(recorded), MemoryFiles()
    for step in recorded.steps:
        replay.advance(step)
    history = replay.history
    for identity in recorded.names:
        history.add(SyncEvent(identity))
    (state,) = history.states(bound=1, samples=0, random=Random(0))  # noqa: S311 - there is one only
    for name in recorded.beginning:
        traced = memory.create(name)
        history.put(name, state, traced)
        there = FileStorage.open_path(os.path.join(directory, name))
        with closing(there):
            if not _equal(traced, there):
                raise CannotTrace(f"{name.decode()} is not what the calls that were traced have made of it")


def _equal(traced: Storage, there: Storage) -> bool:
    end, at = there.length(), 0
    if traced.length() != end:
        return False
    while (at := min(traced.next_data(at, end), there.next_data(at, end))) < end:
        size = min(_PIECE, end - at)
        if _piece(traced, at, size) != _piece(there, at, size):
            return False
        at += size
    return True


def _piece(storage: Storage, offset: int, size: int) -> bytearray:
    data = bytearray(size)
    storage.read_into(offset, data)
    return data
