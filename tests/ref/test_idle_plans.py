"""A plan of faults that takes no time where nothing fails."""

from __future__ import annotations

import pytest

from addcow_ref.memory import MemoryFiles
from addcow_ref.testing import FaultPlan, FaultyStorage, Operation
from tests.ref.outcomes import outcomes


@pytest.fixture
def files():
    return MemoryFiles({b"x": b"01234567", b"y": b"01234567"})


def test_plan_that_does_not_count_is_idle_until_something_is_armed(files):
    plan = FaultPlan(counting=False)
    file = FaultyStorage(files.open(b"x", writable=True), plan)
    file.write(0, b"ab")
    assert (plan.idle, plan.calls) == (True, {})
    fault = plan.arm(Operation.WRITE, times=1)
    assert outcomes(lambda: file.write(0, b"cd"), 3) == [0]
    assert (plan.idle, plan.calls[Operation.WRITE, b"x"]) == (False, 3)
    plan.disarm(fault)
    assert plan.idle
    plan.space = 1
    assert outcomes(lambda: file.write(0, b"ef"), 1) == [0]
    plan.space, plan.lying_sync = None, True
    file.sync()
    assert (plan.idle, plan.calls[Operation.SYNC, b"x"]) == (False, 1)


def test_plan_that_counts_is_never_idle():
    assert not FaultPlan().idle
