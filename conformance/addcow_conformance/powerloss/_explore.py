"""All workloads of some families, in slices that any executor can work on."""

from __future__ import annotations

import time
from collections import Counter
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import TYPE_CHECKING, NamedTuple

from addcow_conformance.powerloss._trial import DEFAULT, Effort, Found, Tally, Trial
from addcow_conformance.powerloss._workloads import FAMILIES, Family
from addcow_conformance.targets import REFERENCE, load_target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from concurrent.futures import Executor

__all__ = ["Part", "Summary", "explore"]

# Workloads of a slice: long enough to be worth sending, short enough for a progress bar.
_SLICE = 32
# Slices that are given to the executor, for each that it can work on at a time.
_AHEAD = 4
# Violations that are kept of each rule in a slice and in a family, and in a summary: the smallest.
_KEPT_OF_RULE = 3
_KEPT = 10


class Slice(NamedTuple):
    """Some workloads of a family, all of one length; can be sent to another process or machine.

    Attributes:
        target: name of the implementation; see `load_target`.
        family: the family.
        length: operations of each workload.
        first: number of the first workload.
        workloads: how many there are.
        effort: how hard to look.
    """

    target: str
    family: Family
    length: int
    first: int
    workloads: int
    effort: Effort


class Part(NamedTuple):
    """What came of a slice, or of a family.

    Attributes:
        family: name of the family.
        tally: what was looked at.
        seconds: time that it took, added up over all processes.
        rules: how many workloads break each rule.
        found: the smallest of the violations of each rule.
    """

    family: str
    tally: Tally = Tally()
    seconds: float = 0.0
    rules: Counter[str] = Counter()  # noqa: RUF012 - never changed
    found: tuple[Found, ...] = ()

    def plus(self, other: Part) -> Part:
        """The sum of two of one family."""
        return Part(
            self.family,
            self.tally.plus(other.tally),
            self.seconds + other.seconds,
            self.rules + other.rules,
            _smallest(self.found + other.found),
        )


def _size(found: Found) -> tuple[int, str]:
    """What makes a violation small; equal ones in one order, whatever process found them first."""
    return len(found.program.operations), repr(found.program.operations)


def _smallest(found: Sequence[Found]) -> tuple[Found, ...]:
    """The smallest violations of each rule: one that is broken often must not hide another."""
    kept: list[Found] = []
    rules = Counter[str]()
    for each in sorted(found, key=_size):
        rules[each.rule] += 1
        if rules[each.rule] <= _KEPT_OF_RULE:
            kept.append(each)
    return tuple(kept)


class Summary(NamedTuple):
    """What an exploration came to.

    Attributes:
        target: the implementation.
        operations: the longest workloads.
        effort: how hard was looked.
        parts: what came of each family.
        seconds: time from start to end.
        complete: whether all workloads were run.
    """

    target: str
    operations: int
    effort: Effort
    parts: tuple[Part, ...]
    seconds: float
    complete: bool

    @property
    def tally(self) -> Tally:
        """What was looked at, in all families."""
        total = Tally()
        for part in self.parts:
            total = total.plus(part.tally)
        return total

    @property
    def found(self) -> tuple[Found, ...]:
        """The smallest violations, over all families."""
        return tuple(sorted((found for part in self.parts for found in part.found), key=_size)[:_KEPT])


def explore(
    *,
    target: str = REFERENCE,
    families: Sequence[Family] = FAMILIES,
    operations: int = 3,
    effort: Effort = DEFAULT,
    executor: Executor | None = None,
    width: int = 16,
    first_only: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Summary:
    """Run every workload of up to so many operations, and cut the power at every event.

    Args:
        target: name of the implementation; see `load_target`.
        families: what to run.
        operations: the longest workloads, 0 or more.
        effort: how hard to look at each moment.
        executor: runs the slices; None for this process. A cluster's executor will do.
        width: how many slices it can run at a time, 1 or more.
        first_only: whether to stop when a violation was found.
        progress: told how many workloads are done, and how many there are.

    Raises:
        UsageError: there is no such target.
        Exception: whatever the executor raises where a worker has died.
    """
    load_target(target)
    start = time.monotonic()
    slices = list(_slices(target, families, operations, effort))
    total = sum(part.workloads for part in slices)
    parts = {each.name: Part(each.name) for each in families}
    complete = True
    for part in _results(slices, executor, width):
        parts[part.family] = parts[part.family].plus(part)
        if progress:
            progress(sum(each.tally.workloads for each in parts.values()), total)
        if first_only and part.found:
            complete = False
            break
    return Summary(target, operations, effort, tuple(parts.values()), time.monotonic() - start, complete)


def _slices(target: str, families: Sequence[Family], operations: int, effort: Effort) -> Iterator[Slice]:
    """The shortest workloads first, so that the first violation is a small one."""
    for length in range(operations + 1):
        for each in families:
            for first in range(0, each.count(length), _SLICE):
                count = min(_SLICE, each.count(length) - first)
                yield Slice(target, each, length, first, count, effort)


def _results(slices: Sequence[Slice], executor: Executor | None, width: int) -> Iterator[Part]:
    """The results as they come."""
    if executor is None:
        yield from map(run_slice, slices)
        return
    waiting: set[Future[Part]] = set()
    left = iter(slices)
    try:
        for part in left:
            waiting.add(executor.submit(run_slice, part))
            if len(waiting) >= _AHEAD * width:
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
        while waiting:
            done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            yield from (future.result() for future in done)
    finally:
        for future in waiting:
            future.cancel()


def run_slice(part: Slice) -> Part:
    """Run the workloads of a slice."""
    start = time.process_time()
    each = part.family
    trial = Trial(each.disk, load_target(part.target), part.effort, each.alphabet)
    workloads = (each.workload(part.length, part.first + number) for number in range(part.workloads))
    found = [found for workload in workloads if (found := trial.run(workload))]
    rules = Counter(each.rule for each in found)
    kept = tuple(sorted(found, key=_size)[:_KEPT])
    return Part(each.name, trial.tally, time.process_time() - start, rules, kept)
