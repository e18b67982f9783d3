"""Running a machine: for what it finds, for what it reaches, and for how fast it is."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, Phase, Verbosity, seed, settings
from hypothesis.errors import Flaky
from hypothesis.stateful import run_state_machine_as_test

from addcow_conformance.models._machine import DiskMachine
from addcow_conformance.models._shrink import shrink
from addcow_conformance.programs import Program, StorageKind, Violation
from addcow_conformance.targets import REFERENCE, load_target

if TYPE_CHECKING:
    from addcow_conformance.reach import Reach
    from addcow_conformance.targets import Target
    from addcow_spec.model import Revision

__all__ = ["find", "measure"]

_ROUND = 12

# Rules of an example, each a burst of operations.
_BURSTS = 7

# A program is shrunk by us; see `_shrink.py`.
_PHASES = (Phase.explicit, Phase.reuse, Phase.generate)


class _Plan:
    """What a machine is to try; remembers what it found last, and what was shortest."""

    def __init__(
        self, revision: Revision, storage: StorageKind, target: Target, reach: Reach | None = None
    ) -> None:
        self.revision = revision
        self.storage = storage
        self.target = target
        self.reach = reach
        self.last: Program | None = None
        self.steps = 0

    def found(self, program: Program) -> None:
        self.last = program

    def step(self) -> None:
        self.steps += 1


def _run(plan: _Plan, using: settings, first: int = 0) -> None:
    """Run a machine for as many examples as ``using`` says, in rounds.

    In a longer run hypothesis makes five of six examples by repeating parts of the one before. Every round
    has a seed of its own where it is not left to chance, so that a run is the same whatever has changed in
    the source.
    """

    def make() -> DiskMachine:
        return DiskMachine(plan)

    for number, start in enumerate(range(0, using.max_examples, _ROUND)):
        # Hypothesis takes any callable that makes a machine, and says so; its type is narrower.
        machine: Any = seed(first + number)(make) if using.derandomize else make
        few = min(_ROUND, using.max_examples - start)
        run_state_machine_as_test(
            machine, settings=settings(using, max_examples=few, stateful_step_count=_BURSTS)
        )


def find(
    revision: Revision,
    target: Target,
    using: settings | None = None,
    *,
    storage: StorageKind = StorageKind.MEMORY,
    reach: Reach | None = None,
    first: int = 0,
    seconds: float = math.inf,
) -> Program | None:
    """Look for a program that an implementation gets wrong, and shrink it.

    Args:
        revision: revision of the format.
        target: the implementation.
        using: how many programs to try, whose length is ours; None for the profile that is in force.
        storage: where the files lie.
        reach: counts the states that were reached.
        first: seed of the first round of a run that is not left to chance.
        seconds: those that a program which is found may take to be made shorter.

    Returns:
        The shortest program that was found, with the rule that it breaks and what was seen in its note.
        None where nothing is wrong.
    """
    plan = _Plan(revision, storage, target, reach)
    quiet = settings(
        using or settings.default,
        verbosity=Verbosity.quiet,
        report_multiple_bugs=False,
        print_blob=False,
        suppress_health_check=list(HealthCheck),
        phases=_PHASES,
    )
    try:
        _run(plan, quiet, first)
    except (Violation, Flaky):
        if plan.last is None:
            raise
        return shrink(plan.last, target, seconds)
    return None


def measure(
    revision: Revision,
    steps: int = 10_000,
    *,
    storage: StorageKind = StorageKind.MEMORY,
    target: Target | None = None,
) -> float:
    """Steps a second of a machine, all that hypothesis does included; a step counts when it was compared.

    Raises:
        AssertionError: the implementation breaks a rule.
    """
    plan = _Plan(revision, storage, target or load_target(REFERENCE))
    per_example = 50
    using = settings(
        max_examples=-(-steps // per_example),
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    start = time.perf_counter()
    _run(plan, using)
    return plan.steps / (time.perf_counter() - start)
