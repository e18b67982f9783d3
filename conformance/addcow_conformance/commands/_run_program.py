"""Running one program: in memory, in a directory that is removed, or to its loss of power."""

from __future__ import annotations

from enum import StrEnum
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple

from addcow_conformance._signals import Interrupted
from addcow_conformance.commands._output import error_line, one_line
from addcow_conformance.programs import Operation, Program, Session, StorageKind, Violation
from addcow_spec.errors import UsageError

if TYPE_CHECKING:
    from addcow_conformance.targets import Target

__all__ = ["Broken", "Outcome", "Run", "run_program"]


class Outcome(StrEnum):
    """What became of a program."""

    OK = "ok"
    VIOLATED = "violated"
    NO_PROGRAM = "no-program"
    UNREADABLE = "unreadable"
    ERROR = "error"


class Broken(NamedTuple):
    """A rule that is broken.

    Attributes:
        rule: its id.
        detail: how.
        step: number of the operation, from 1 up; 0 for the creation, None for what a loss of power left.
        operations: what had been begun.
        order: what the loss of power left of each write.
        as_told: whether the loss of power is the one that the program tells.
    """

    rule: str
    detail: str
    step: int | None
    operations: tuple[Operation, ...]
    order: tuple[str, ...] = ()
    as_told: bool = True


class Run(NamedTuple):
    """A file, and what became of the program in it.

    Attributes:
        file: its path.
        outcome: what became of it.
        problem: in a line, why it could not be run; else empty.
        program: the program, None where there is none.
        broken: the rule that is broken, None where none is.
    """

    file: bytes
    outcome: Outcome
    problem: str = ""
    program: Program | None = None
    broken: Broken | None = None


def run_program(file: bytes, program: Program, target: Target) -> Run:
    """Run a program.

    Args:
        file: where it comes from.
        program: the program.
        target: the implementation.
    """
    try:
        broken = _broken(program, target)
    except Interrupted:
        raise
    except UsageError as error:
        return Run(file, Outcome.NO_PROGRAM, one_line(str(error)), program)
    except BaseException as error:  # noqa: BLE001 - a bug, ours or the target's; SystemExit is one, too
        return Run(file, Outcome.ERROR, f"the run could not go on: {error_line(error)}", program)
    return Run(file, Outcome.VIOLATED if broken else Outcome.OK, "", program, broken)


def _broken(program: Program, target: Target) -> Broken | None:
    if program.power_loss is not None:
        return _after_power_loss(program, target)
    if program.storage is StorageKind.MEMORY:
        return _steps(program, target, None)
    with TemporaryDirectory(prefix="addcow-replay-") as directory:
        return _steps(program, target, directory)


def _steps(program: Program, target: Target, directory: str | None) -> Broken | None:
    number = 0
    try:
        with Session(program.disk, target, directory=directory) as session:
            for number, operation in enumerate(program.operations, 1):  # noqa: B007 - the last one is told
                session.step(operation)
    except Violation as violation:
        return Broken(violation.rule, violation.detail, number, program.operations[:number])
    return None


def _after_power_loss(program: Program, target: Target) -> Broken | None:
    from addcow_conformance.powerloss import rerun  # noqa: PLC0415 - few programs need it

    found = rerun(program, target)
    if found is None:
        return None
    done, power_loss = found.program.operations, found.program.power_loss
    return Broken(
        found.rule,
        found.detail,
        step=len(done) if power_loss is None else None,
        operations=done,
        order=found.order,
        as_told=power_loss in (None, program.power_loss),
    )
