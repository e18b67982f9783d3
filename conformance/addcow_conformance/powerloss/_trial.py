"""One workload: run on the implementation with its writes recorded, and its last operation cut everywhere.

What a cut in an earlier operation leaves was seen with the shorter workload that ends there: recording the
same operations gives the same log.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from random import Random
from typing import TYPE_CHECKING, NamedTuple

from addcow_conformance.powerloss._allowed import WINDOW, Moment, before_creation, during, settled
from addcow_conformance.powerloss._history import History
from addcow_conformance.powerloss._judge import Checked, Judge
from addcow_conformance.powerloss._smallest import smallest
from addcow_conformance.programs import (
    IMAGE,
    RAW,
    Disk,
    Known,
    Operation,
    PowerLoss,
    Program,
    Session,
    Violation,
    Write,
    Zeroes,
)
from addcow_spec.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from addcow_conformance.targets import Target
    from addcow_ref.testing import Event

__all__ = ["DEFAULT", "Effort", "Found", "Tally", "Trial", "rerun"]


class Effort(NamedTuple):
    """How hard to look at each moment.

    Attributes:
        bound: up to this many choices of versions all are tried.
        samples: how many are tried where there are more.
        seed: of the samples.
    """

    bound: int = 512
    samples: int = 128
    seed: int = 0


DEFAULT = Effort()


class Found(NamedTuple):
    """A violation.

    Attributes:
        rule: the rule that is broken.
        detail: how.
        program: what was done, with the loss of power; it can be run again.
        order: the writes and syncs in order, and what became of each.
    """

    rule: str
    detail: str
    program: Program
    order: tuple[str, ...]


class Tally(NamedTuple):
    """What was looked at.

    Attributes:
        workloads: workloads.
        moments: moments at which the power was cut.
        exhausted: those of them at which every choice was tried.
        states: choices that were tried.
        distinct: those that gave files that no other choice of the same moment had given.
    """

    workloads: int = 0
    moments: int = 0
    exhausted: int = 0
    states: int = 0
    distinct: int = 0

    def plus(self, other: Tally) -> Tally:
        """The sum of two."""
        return Tally(*(ours + theirs for ours, theirs in zip(self, other, strict=True)))


class _Recording:
    """A disk of the target, its log, and the history of what was looked at so far."""

    def __init__(self, disk: Disk, target: Target, known: Known) -> None:
        self.log: list[Event] = []
        self.session = Session(disk, target, log=self.log, comparing=False, known=known)
        self.names = {}
        for name in (IMAGE, RAW):
            file = self.session.files.open(name, writable=False)
            self.names[file.identity] = name
            file.close()
        filled = bytes([disk.fill]) * disk.size if disk.fill else disk.size
        self.history = History({IMAGE: b"", RAW: filled}, self.names)

    def advance(self, events: int) -> None:
        """Take the history to the moment after so many events.

        Raises:
            Violation: a file below is written (ACW-DYN-004).
        """
        for event in self.log[self.history.events : events]:
            if event.file not in self.names:
                raise Violation("ACW-DYN-004", f"a backing file is written: {event}")
            self.history.add(event)


class Trial:
    """The workloads of one disk on one implementation.

    Args:
        disk: the disk.
        target: the implementation.
        effort: how hard to look.
        operations: all operations that there may be; they tell which parts of a large disk matter.

    Attributes:
        tally: what was looked at so far.
        windows: the pieces of a large disk that matter.
    """

    def __init__(self, disk: Disk, target: Target, effort: Effort, operations: Sequence[Operation]) -> None:
        self.tally = Tally()
        self._disk = disk
        self._target = target
        self._effort = effort
        self.windows = _windows(disk, operations)
        self._known = Known()
        self._checked: Checked = {}
        self._judge: Judge | None = None

    def run(self, operations: tuple[Operation, ...]) -> Found | None:
        """Cut the last of the operations everywhere; without operations, the creation of the image.

        Returns:
            The first violation.
        """
        self.tally = self.tally.plus(Tally(workloads=1))
        try:
            recording = _Recording(self._disk, self._target, self._known)
        except Violation as violation:
            return self.found(violation, ())
        with recording.session:
            if not operations:
                moment = before_creation(recording.session.oracle, self.windows)
                return self._cut(recording, 0, moment, ())
            try:
                start, meanwhile, before = self._advance(recording, operations)
                if start == len(recording.log) and before == self._now(recording):
                    return None
                return self._cut(recording, start, meanwhile, operations)
            except Violation as violation:
                return self.found(violation, operations)

    def sample(self, operations: tuple[Operation, ...], moment: int, random: Random) -> Found | None:
        """Cut the last of the operations at one moment, and judge one state.

        Args:
            operations: what is done, at least one.
            moment: the number of events between the cut and the operation's end; as many as there are, and it
                is counted from 0 again.
            random: draws the state.
        """
        done: list[Operation] = []
        try:
            recording = _Recording(self._disk, self._target, self._known)
            with recording.session as session:
                if session.odd(self._disk.size):  # no image was created, and so there is none to be left
                    return None
                for operation in operations[:-1]:
                    done.append(operation)
                    session.step(operation)
                done.append(operations[-1])
                start, before = len(recording.log), session.oracle.copy()
                session.step(operations[-1])
                end = len(recording.log)
                events = end - moment % max(end - start, 1)
                recording.advance(events)
                state = recording.history.draw(random)
                windows = _windows(self._disk, operations)
                returned = events == end
                now = (
                    settled(session.oracle, windows) if returned else during(before, operations[-1], windows)
                )
                wrong = self._new_judge(session.backing.files).judge(recording.history, now, state)
        except Violation as violation:
            return self.found(violation, tuple(done))
        if wrong is None:
            return None
        return self.found(wrong, operations, state.choice, recording.history.tell(state.choice))

    def replay(self, operations: tuple[Operation, ...], power_loss: PowerLoss) -> Found | None:
        """Run the operations, and judge one state of one moment; see `rerun`.

        Raises:
            UsageError: there is no such moment, or no such state.
        """
        try:
            recording = _Recording(self._disk, self._target, self._known)
        except Violation as violation:
            return self.found(violation, ())
        with recording.session:
            moment = before_creation(recording.session.oracle, self.windows)
            for number in range(1, len(operations) + 1):
                if power_loss.after < len(recording.log):
                    break
                try:
                    _, moment, _ = self._advance(recording, operations[number - 1 : number])
                except Violation as violation:
                    return self.found(violation, operations[:number])
            if power_loss.after > len(recording.log):
                raise UsageError(f"power loss: there are {len(recording.log)} events")
            if power_loss.after == len(recording.log):
                moment = self._now(recording)
            recording.advance(power_loss.after)
            history = recording.history
            wrong = self._new_judge(recording.session.backing.files).judge(
                history, moment, history.chosen(power_loss)
            )
            order = history.tell(power_loss)
            return self.found(wrong, operations, power_loss, order) if wrong else None

    def _advance(
        self, recording: _Recording, operations: tuple[Operation, ...]
    ) -> tuple[int, Moment, Moment]:
        """Do the operations: the events before the last, what may be found during it, and right before it.

        Raises:
            Violation: the image is not what it must be, without any loss of power.
        """
        session = recording.session
        for operation in operations[:-1]:
            session.step(operation)
        start, before, now = len(recording.log), session.oracle.copy(), self._now(recording)
        session.step(operations[-1])
        return start, during(before, operations[-1], self.windows), now

    def _new_judge(self, backing: Mapping[bytes, bytes]) -> Judge:
        """A judge of its own for one state: the target may have written to the files of another."""
        return Judge(self._disk, self._target, backing, self._checked)

    def _now(self, recording: _Recording) -> Moment:
        return settled(recording.session.oracle, self.windows)

    def _cut(
        self, recording: _Recording, start: int, meanwhile: Moment, operations: tuple[Operation, ...]
    ) -> Found | None:
        """Cut the power after each event beyond ``start``, and when the operation has returned."""
        random = Random(f"{self._effort.seed} {operations}")  # noqa: S311 - draws states to try
        end = len(recording.log)
        seen: set[tuple[int, ...]] = set()
        for events in range(start + 1, end):
            recording.advance(events)
            found = self._look(recording, meanwhile, operations, seen, random)
            if found:
                return found
        recording.advance(end)
        return self._look(recording, self._now(recording), operations, set(), random)

    def _look(
        self,
        recording: _Recording,
        moment: Moment,
        operations: tuple[Operation, ...],
        seen: set[tuple[int, ...]],
        random: Random,
    ) -> Found | None:
        backing = recording.session.backing.files
        return self.look(recording.history, backing, moment, operations, seen=seen, random=random)

    def look(
        self,
        history: History,
        backing: Mapping[bytes, bytes],
        moment: Moment,
        operations: tuple[Operation, ...],
        *,
        seen: set[tuple[int, ...]],
        random: Random,
    ) -> Found | None:
        """Judge what a loss of power may leave at one moment; the first violation.

        Args:
            history: the files and events until then.
            backing: the files below, by name.
            moment: what may be found.
            operations: what was done.
            seen: keys of the files that were judged for such a moment before; takes those that are.
            random: draws states where there are too many.
        """
        effort = self._effort
        self._judge = self._judge or self._new_judge(backing)
        judge = partial(self._judge.judge, history, moment)
        states = distinct = 0
        found = None
        for state in history.states(bound=effort.bound, samples=effort.samples, random=random):
            states += 1
            keys = tuple(map(state.key, state.files))
            if keys in seen:
                continue
            seen.add(keys)
            distinct += 1
            violation = judge(state)
            if violation:
                least, violation = smallest(history, state, violation, judge)
                found = self.found(violation, operations, least.choice, history.tell(least.choice))
                break
        exhausted = history.total() <= effort.bound
        self.tally = self.tally.plus(Tally(0, 1, int(exhausted), states, distinct))
        return found

    def found(
        self,
        violation: Violation,
        operations: tuple[Operation, ...],
        power_loss: PowerLoss | None = None,
        order: tuple[str, ...] = (),
    ) -> Found:
        """A violation, with what was done and lost."""
        program = Program(
            self._disk, operations, power_loss=power_loss, rule=violation.rule, note=violation.detail
        )
        return Found(violation.rule, violation.detail, program, order)


def rerun(program: Program, target: Target) -> Found | None:
    """Run a program that ends in a loss of power, and judge what that leaves; what is wrong, None if nothing.

    The state that the program tells is judged first. An implementation that writes otherwise than the one
    that it was found with may not have it, so all operations are then cut everywhere, as in an exploration.
    """
    trial = Trial(program.disk, target, DEFAULT, program.operations)
    if program.power_loss:
        with suppress(UsageError):
            found = trial.replay(program.operations, program.power_loss)
            if found:
                return found
    prefixes = (program.operations[:length] for length in range(len(program.operations) + 1))
    return next((found for prefix in prefixes if (found := trial.run(prefix))), None)


def _windows(disk: Disk, operations: Sequence[Operation]) -> frozenset[int]:
    """The pieces of a large disk that operations touch, and its ends."""
    found = {0, disk.size // WINDOW, (disk.backing.size if disk.backing else 0) // WINDOW}
    for operation in operations:
        if isinstance(operation, Write | Zeroes):
            found |= {operation.offset // WINDOW, (operation.offset + operation.length) // WINDOW}
    return frozenset(found)
