"""A program run beside the oracle, in memory: the first thing that is wrong, and where."""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from random import Random
from typing import TYPE_CHECKING, NamedTuple, cast

from addcow_conformance.powerloss import Effort, Trial
from addcow_conformance.programs import (
    Disk,
    Fault,
    Flush,
    Known,
    Operation,
    Patience,
    Program,
    Resize,
    Session,
    Violation,
)
from addcow_fuzz._reached import counting
from addcow_fuzz.invariants import Finding, strict
from addcow_spec.errors import AddCowError

if TYPE_CHECKING:
    from collections.abc import Hashable

    from addcow_conformance.targets import Target
    from addcow_fuzz._programs import Case

__all__ = ["Wrong", "finding", "kind_of", "run", "shared"]

_LARGE = 1 << 20


class Wrong(NamedTuple):
    """What is wrong.

    Attributes:
        violation: the rule, and how it is broken.
        program: what was done, with the loss of power if there was one.
    """

    violation: Violation
    program: Program


class _Shared(NamedTuple):
    """What programs on a disk of a target share.

    Attributes:
        known: what a session learns.
        trial: where they lose power.
    """

    known: Known
    trial: Trial


@lru_cache(maxsize=256)
def shared(disk: Disk, target: Hashable) -> _Shared:
    """What programs on a disk of a target share; to be cleared where the target becomes another."""
    return _Shared(Known(), Trial(disk, cast("Target", target), Effort(), ()))


def run(case: Case, target: Target, data: bytes = b"") -> Wrong | None:
    """Run a program; what is wrong, None where nothing is.

    To compare after each operation takes as long as doing them. Unless the case asks for it, the disk is
    compared after a flush or a kill and at the end, and a read always. Where that finds something, all is
    done again and compared after each operation, so that the one that is to blame is told.

    Args:
        case: the program.
        target: the implementation.
        data: the input that it was, for what is counted; a program that ends in a loss of power is not.
    """
    with Patience():  # Around all, as the steps' own cost little then.
        if case.cut and _can_lose_power(case.program):
            return _run_to_a_loss(case, target)
        wrong = _run_to_the_end(case.program, target, each=case.each, data=data)
        return (wrong and not case.each and _run_to_the_end(case.program, target, each=True)) or wrong


def _can_lose_power(program: Program) -> bool:
    """Whether the judge of what a loss of power leaves can judge this program.

    What a large disk may be while it is resized, or when that has failed, is told byte by byte, which would
    take gigabytes.
    """
    operations = program.operations
    if not operations or program.disk.size <= _LARGE:
        return bool(operations)
    failing = any(isinstance(a, Fault) and isinstance(b, Resize) for a, b in pairwise(operations))
    return not failing and not isinstance(operations[-1], Resize)


def _run_to_the_end(program: Program, target: Target, *, each: bool, data: bytes = b"") -> Wrong | None:
    done: list[Operation] = []
    try:
        known = shared(program.disk, cast("Hashable", target)).known
        with Session(program.disk, target, comparing=each, known=known) as session:
            step = counting(session, data)
            for operation in (*program.operations, Flush()):
                done.append(operation)
                session.comparing = each or isinstance(operation, Flush)
                step(operation)
    except Violation as violation:
        return Wrong(violation, program._replace(operations=tuple(done), rule=violation.rule))
    return None


def _run_to_a_loss(case: Case, target: Target) -> Wrong | None:
    (disk, operations, *_), cut = case.program, case.cut
    if cut is None:
        raise AssertionError("the case has no loss of power")
    trial = shared(disk, cast("Hashable", target)).trial
    found = trial.sample(operations, cut.moment, Random(cut.seed))  # noqa: S311 - draws a state to try
    return Wrong(Violation(found.rule, found.detail), found.program) if found else None


def kind_of(operation: Operation | None) -> str:
    """The name of an operation's kind; that of None is ``create``."""
    return "create" if operation is None else type(operation).__name__.lower()


def finding(wrong: Wrong, judge: str = "oracle") -> Finding:
    """What is wrong, as a finding. An error that nobody declared is one of `strict`'s, with its site.

    Args:
        wrong: what is wrong.
        judge: who says so; a loss of power has a judge of its own.
    """
    violation, (_, operations, *_) = wrong
    operation = kind_of(operations[-1] if operations else None)
    cause = violation.__cause__
    if isinstance(cause, Exception) and not isinstance(cause, AddCowError):
        try:
            with strict(operation, AddCowError):
                raise cause
        except Finding as found:
            return found
    by = "powerloss" if wrong.program.power_loss else judge
    return Finding(by, violation.detail, rule=violation.rule, operation=operation)
