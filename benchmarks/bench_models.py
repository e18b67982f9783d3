"""How fast the models step and the explorer of power losses goes, in one run: medians and ratios.

Run by `make bench`. No test depends on it: the figures are printed, with what was aimed at. Beside a step of
the models stands a step of a machine of hypothesis that draws as much and does nothing: what is left is ours.
Beside a state that a loss of power leaves, which is opened, read, checked and streamed, stands `qemu-img
check` of a small qcow2 image: what judging a state takes where each is a process.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test
from results import Row, machine, save, table

from addcow_conformance.models import measure
from addcow_conformance.powerloss import FAMILIES, Summary, explore
from addcow_spec.model import Revision

if TYPE_CHECKING:
    from collections.abc import Sequence

TITLE = "Models and power losses"
STEPS = 50


# --- model steps


class Idle(RuleBasedStateMachine):
    """A machine that draws what an operation takes, and does nothing with it."""

    steps = 0

    @rule(offset=st.integers(0, 1 << 20), length=st.integers(0, 1 << 17))
    def write(self, offset: int, length: int) -> None:
        """Count."""
        del offset, length
        Idle.steps += 1

    @rule(offset=st.integers(0, 1 << 20), length=st.integers(0, 1 << 17))
    def zero(self, offset: int, length: int) -> None:
        """Count."""
        del offset, length
        Idle.steps += 1

    @rule()
    def flush(self) -> None:
        """Count."""
        Idle.steps += 1


def idle(steps: int) -> float:
    """Steps a second of the idle machine."""
    Idle.steps = 0
    using = settings(
        max_examples=steps // STEPS,
        stateful_step_count=STEPS,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    start = time.perf_counter()
    run_state_machine_as_test(Idle, settings=using)
    return Idle.steps / (time.perf_counter() - start)


def models(rounds: int, steps: int) -> list[Row]:
    """Steps a second of each revision's model, in memory."""
    ours: dict[Revision, list[float]] = {revision: [] for revision in Revision}
    peer = []
    for _ in range(rounds):
        peer.append(idle(steps))
        for revision, rates in ours.items():
            rates.append(measure(revision, steps))
    return [
        row(f"model of {revision} in memory, steps a second", rates, peer, 3000)
        for revision, rates in ours.items()
    ]


def row(what: str, ours: Sequence[float], peer: Sequence[float], aim: int) -> Row:
    """A line on rates."""
    rate, other = statistics.median(ours), statistics.median(peer)
    ratio = f"{rate / other:.2f}"
    return Row(what, f"{rate:,.0f}/s", f"{other:,.0f}/s", ratio, f"at least {aim:,}/s", rate >= aim)


# --- states


def checks(directory: Path, number: int) -> float:
    """Images that `qemu-img check` judges in a second, a process each."""
    image = directory / "small.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", image, "1M"], check=True)
    start = time.perf_counter()
    for _ in range(number):
        subprocess.run(["qemu-img", "check", "-q", image], check=True)
    return number / (time.perf_counter() - start)


def states(rounds: int) -> list[Row]:
    """States a second on one core, of every family's workloads of up to two operations."""
    found: dict[str, list[float]] = {family.name: [] for family in FAMILIES}
    whole, distinct, peer = [], [], []
    with tempfile.TemporaryDirectory() as directory:
        for _ in range(rounds):
            peer.append(checks(Path(directory), 100))
            summary = explore(operations=2)
            for part in summary.parts:
                found[part.family].append(part.tally.states / part.seconds)
            seconds = sum(part.seconds for part in summary.parts)
            whole.append(summary.tally.states / seconds)
            distinct.append(summary.tally.distinct / seconds)
    return [
        row("power loss, one core: states a second", whole, peer, 2000),
        *(row(f"the same, {name} alone", rates, peer, 2000) for name, rates in found.items()),
        row("the same, all families: states that differ", distinct, peer, 2000),
    ]


def exhaustive(operations: int) -> tuple[Row, Summary]:
    """All workloads of v10 on all cores."""
    families = [family for family in FAMILIES if family.disk.revision is Revision.V10]
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        summary = explore(families=families, operations=operations, executor=pool)
    what = (
        f"all workloads of v10 of up to {operations} operations: {summary.tally.workloads:,} workloads, "
        f"{summary.tally.states:,} states, {os.cpu_count()} cores"
    )
    taken = summary.seconds
    return Row(what, f"{taken:.0f} s", "-", "-", "under 600 s", taken < 600), summary


# --- the command


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="try it: figures that mean little")
    parser.add_argument("--save", type=Path, metavar="FILE", help="put the table into FILE too")
    arguments = parser.parse_args()
    rounds, steps = (1, 2_000) if arguments.quick else (3, 10_000)
    last, summary = exhaustive(1 if arguments.quick else 3)
    if summary.found:
        raise SystemExit(f"bench: {summary.found[0].rule} is broken; see addcow-conformance crash")
    rows = [*models(rounds, steps), *states(rounds), last]
    text = (
        f"# {TITLE}\n\n"
        f"Made by `make bench`: medians of {rounds} rounds, in turn; the last line is one run. Beside the "
        "models, a machine of hypothesis that draws as much and does nothing; beside the states, "
        "`qemu-img check` of a small qcow2 image, a process each.\n"
        "A state is a choice of what was durable. Those that give the same files at one moment are judged "
        "once; the line on states that differ counts these once, too.\n"
        f"{machine()}.\n\n{table(rows, 'ours', 'peer')}\n"
    )
    print(text)
    if arguments.save:
        save(arguments.save, text)


if __name__ == "__main__":
    main()
