"""Power loss for any program on Linux: its system calls are traced, and its writes and syncs are cut.

The program runs a workload once, under strace; then the power is cut after every event of the log. What that
leaves is files, which any right implementation has to live with: the reference engine opens them, and the
checker checks them. The program itself is not asked, as each state would cost a process.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from contextlib import ExitStack
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, cast

from addcow_conformance.powerloss._logs import Logs
from addcow_conformance.powerloss._recorded import record
from addcow_conformance.powerloss._replay import Phase, Recorded, Replay
from addcow_conformance.powerloss._strace import CannotTrace
from addcow_conformance.powerloss._trial import DEFAULT, Effort, Found, Tally, Trial
from addcow_conformance.programs import Disk, Operation, Race, Violation
from addcow_conformance.targets import REFERENCE, is_external, load_target
from addcow_spec.errors import UsageError
from addcow_spec.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from addcow_conformance.powerloss._timeline import Step
    from addcow_conformance.targets import Target

__all__ = ["judge_traced"]

# Seconds that strace may take for a program that does nothing.
_PROBE = 20.0


def judge_traced(
    load: Callable[[tuple[str, ...]], Target],
    disk: Disk,
    operations: Sequence[Operation],
    directory: str | bytes,
    effort: Effort = DEFAULT,
) -> tuple[Tally, Found | None]:
    """Run a workload on a program, and cut the power at each of its events, from the image's creation on.

    Args:
        load: starts the program as a target, under the words of a command; the target is closed in the end.
        disk: the image to create.
        operations: what is done, one after the other. Those that the target does not take are left out.
        directory: an empty directory for the files.
        effort: how hard to look at each moment.

    Returns:
        What was looked at, and the first violation.

    Raises:
        CannotTrace: there is no strace, it may not trace, or it does not show all that the program does.
        AdapterError: the program gave no answer.
        UsageError: there are two requests at once, or the target is no process of its own.
    """
    if any(isinstance(operation, Race) for operation in operations):
        raise UsageError("the power is cut in one operation at a time")
    trial = Trial(disk, load_target(REFERENCE), effort, operations)
    trial.tally = Tally(workloads=1)
    with TemporaryDirectory() as own, ExitStack() as stack:
        logs = Logs(Path(own))
        _check(logs.under)
        target = load(logs.under)
        if hasattr(target, "close"):
            stack.callback(cast("Any", target).close)
        if not is_external(target):
            raise UsageError("only a program in a process of its own can be traced")
        done: list[Operation] = []
        try:
            recorded = record(
                disk, target, operations, directory=directory, logs=logs, windows=trial.windows, done=done
            )
            found = _cut(trial, recorded, effort)
        except Violation as violation:
            found = trial.found(violation, tuple(done))
    return trial.tally, found


def _cut(trial: Trial, recorded: Recorded, effort: Effort) -> Found | None:
    """Cut the power after each event, and whenever an operation has returned.

    Raises:
        Violation: a file below is written (ACW-DYN-004).
    """
    replay, start = Replay(recorded), 0
    for phase in recorded.phases:
        steps = [step for step in recorded.steps if start <= step.line < phase.end]
        start = phase.end
        random = Random(f"{effort.seed} {phase.operations}")  # noqa: S311 - draws states to try
        found = _cut_phase(trial, replay, phase, steps, random)
        if found:
            return found
    return None


def _cut_phase(
    trial: Trial, replay: Replay, phase: Phase, steps: Sequence[Step], random: Random
) -> Found | None:
    backing, operations = replay.recorded.backing, phase.operations
    seen: set[tuple[int, ...]] = set()
    for step in steps[:-1]:
        replay.advance(step)
        found = trial.look(replay.history, backing, phase.meanwhile, operations, seen=seen, random=random)
        if found:
            return found
    for step in steps[-1:]:
        replay.advance(step)
    return trial.look(replay.history, backing, phase.settled, operations, seen=set(), random=random)


def _check(under: tuple[str, ...]) -> None:
    """Trace a program that does nothing.

    Raises:
        CannotTrace: that cannot be.
    """
    if shutil.which("strace") is None:
        raise CannotTrace("strace is not here; the Debian package is strace")
    process = subprocess.Popen(  # noqa: S603 - strace, by name
        [*under, "true"], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
    )
    with process:
        try:
            said = process.communicate(timeout=_PROBE)[1]
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise CannotTrace(f"strace has not traced a program within {_PROBE:g} seconds") from None
    if process.returncode:
        reason = (said.strip().splitlines() or [b"no reason is given"])[-1]
        raise CannotTrace(f"strace may not trace here: {printable(reason)}")
