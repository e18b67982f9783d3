"""Running one program: in memory, in a directory that is removed, or to its loss of power."""

from __future__ import annotations

from collections import Counter
from enum import StrEnum
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from addcow_conformance._signals import Interrupted
from addcow_conformance.commands._output import error_line, one_line
from addcow_conformance.programs import (
    Operation,
    Program,
    Session,
    StorageKind,
    Unsupported,
    Violation,
)
from addcow_conformance.targets import is_external
from addcow_spec.errors import AdapterError, CannotStart, Crashed, SanitizerReport, TimedOut, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from addcow_conformance.targets import Target

__all__ = ["Broken", "Outcome", "Run", "Trouble", "run_program"]


class Outcome(StrEnum):
    """What became of a program."""

    OK = "ok"
    VIOLATED = "violated"
    NO_PROGRAM = "no-program"
    UNREADABLE = "unreadable"
    ERROR = "error"
    UNSUPPORTED = "unsupported"
    CRASHED = "crashed"
    SANITIZER = "sanitizer"
    TIMEOUT = "timeout"
    PROTOCOL = "protocol"
    UNAVAILABLE = "unavailable"


# What a program that gave no answer has done: the first kind that fits.
_KINDS = (
    (SanitizerReport, Outcome.SANITIZER),
    (Crashed, Outcome.CRASHED),
    (TimedOut, Outcome.TIMEOUT),
    (CannotStart, Outcome.UNAVAILABLE),
    (AdapterError, Outcome.PROTOCOL),
)


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


class Trouble(NamedTuple):
    """A target in a process of its own that gave no answer.

    Attributes:
        step: number of the operation, from 1 up; 0 for the creation.
        operation: the operation, None for the creation.
        said: the last lines of its standard error.
    """

    step: int
    operation: Operation | None
    said: tuple[str, ...]


class Run(NamedTuple):
    """A file, and what became of the program in it.

    Attributes:
        file: its path.
        outcome: what became of it.
        problem: in a line, why it could not be run; else empty.
        program: the program, None where there is none.
        broken: the rule that is broken, None where none is.
        trouble: what the target did in place of an answer, None where it gave one to all.
        skipped: how many operations of each kind were not done, as the target does not take them.
        in_files: whether the files were in a directory.
    """

    file: bytes
    outcome: Outcome
    problem: str = ""
    program: Program | None = None
    broken: Broken | None = None
    trouble: Trouble | None = None
    skipped: Mapping[str, int] = MappingProxyType({})
    in_files: bool = False


def run_program(file: bytes, program: Program, target: Target) -> Run:
    """Run a program.

    Args:
        file: where it comes from.
        program: the program.
        target: the implementation.
    """
    in_files = is_external(target) or (program.storage is StorageKind.FILES and program.power_loss is None)
    try:
        end = _end(program, target, in_files=in_files)
    except Interrupted:
        raise
    except Unsupported as error:
        return Run(file, Outcome.UNSUPPORTED, one_line(str(error)), program)
    except UsageError as error:
        return Run(file, Outcome.NO_PROGRAM, one_line(str(error)), program)
    except BaseException as error:  # noqa: BLE001 - a bug, ours or the target's; SystemExit is one, too
        return Run(file, Outcome.ERROR, f"the run could not go on: {error_line(error)}", program)
    run = Run(file, Outcome.OK, "", program, end.broken, None, end.skipped, in_files)
    if end.error is None:
        return run._replace(outcome=Outcome.VIOLATED if end.broken else Outcome.OK)
    operation = program.operations[end.step - 1] if end.step else None
    return run._replace(
        outcome=next(outcome for kind, outcome in _KINDS if isinstance(end.error, kind)),
        problem=error_line(end.error),
        trouble=Trouble(end.step, operation, end.error.said),
    )


class _End(NamedTuple):
    """How a run ended, and at which operation."""

    step: int = 0
    broken: Broken | None = None
    error: AdapterError | None = None
    skipped: Mapping[str, int] = MappingProxyType({})


def _end(program: Program, target: Target, *, in_files: bool) -> _End:
    if program.power_loss is not None and not is_external(target):
        return _End(broken=_after_power_loss(program, target))
    if not in_files:
        return _steps(program, target, None)
    with TemporaryDirectory(prefix="addcow-replay-") as directory:
        return _steps(program, target, directory)


def _steps(program: Program, target: Target, directory: str | None) -> _End:
    number = 0
    skipped = Counter[str]()
    if program.power_loss is not None:
        # The writes of another process are not seen, and so cannot be lost.
        skipped["power-loss"] += 1
    try:
        with Session(program.disk, target, directory=directory) as session:
            for number, operation in enumerate(program.operations, 1):  # noqa: B007 - the last one is told
                session.step(operation)
            skipped += session.skipped
    except Violation as violation:
        broken = Broken(violation.rule, violation.detail, number, program.operations[:number])
        return _End(number, broken=broken)
    except AdapterError as error:
        return _End(number, error=error)
    return _End(number, skipped=skipped)


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
