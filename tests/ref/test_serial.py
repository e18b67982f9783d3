"""Gate and unit locks by themselves: who waits for whom, and that nobody waits for ever."""

from __future__ import annotations

import threading
from random import Random

import pytest

from addcow_ref._serial import Gate, UnitLocks
from tests.ref.hooks import PATIENCE, Crew


class Inside:
    """A visitor who stays inside until told to leave."""

    def __init__(self):
        self.came = threading.Event()
        self.may_go = threading.Event()

    def stay(self, place):
        with place:
            self.came.set()
            assert self.may_go.wait(PATIENCE)


# -- gate


def test_visitors_are_inside_together():
    gate, barrier = Gate(), threading.Barrier(4)

    def visit():
        with gate:
            barrier.wait(PATIENCE)

    with Crew() as crew:
        for _ in range(4):
            crew.start(visit)


def test_owner_waits_for_all_who_are_inside():
    gate, visitors, owner = Gate(), [Inside(), Inside()], Inside()
    with Crew() as crew:
        for visitor in visitors:
            crew.start(visitor.stay, gate)
            assert visitor.came.wait(PATIENCE)
        crew.start(owner.stay, gate.alone())
        for visitor in visitors:
            assert not owner.came.wait(0.05)
            visitor.may_go.set()
        assert owner.came.wait(PATIENCE)
        owner.may_go.set()


def test_visitor_waits_for_the_owner():
    gate, owner, visitor = Gate(), Inside(), Inside()
    visitor.may_go.set()
    with Crew() as crew:
        crew.start(owner.stay, gate.alone())
        assert owner.came.wait(PATIENCE)
        crew.start(visitor.stay, gate)
        assert not visitor.came.wait(0.05)
        owner.may_go.set()
        assert visitor.came.wait(PATIENCE)


def test_visitor_waits_for_an_owner_who_waits():
    """Else a stream of requests would keep a resize out for ever."""
    gate, first, owner, second = Gate(), Inside(), Inside(), Inside()
    second.may_go.set()
    with Crew() as crew:
        crew.start(first.stay, gate)
        assert first.came.wait(PATIENCE)
        crew.start(owner.stay, gate.alone())
        while not gate._shut:
            pass
        crew.start(second.stay, gate)
        assert not second.came.wait(0.05)
        first.may_go.set()
        assert owner.came.wait(PATIENCE)
        assert not second.came.wait(0.05)
        owner.may_go.set()
        assert second.came.wait(PATIENCE)


def test_visitor_looks_again_once_inside():
    """Between seeing that the owner has left and going in, the next owner comes."""
    gate, first, second, visitor = Gate(), Inside(), Inside(), Inside()
    visitor.may_go.set()
    with Crew() as crew:
        crew.start(first.stay, gate.alone())
        assert first.came.wait(PATIENCE)
        tries = []

        class Late(list):
            def append(self, item):
                tries.append(item)
                if len(tries) == 2:
                    crew.start(second.stay, gate.alone())
                    assert second.came.wait(PATIENCE)
                super().append(item)

        gate._inside = Late()
        crew.start(visitor.stay, gate)
        while not tries:
            pass
        first.may_go.set()
        assert second.came.wait(PATIENCE)
        assert not visitor.came.wait(0.05)
        second.may_go.set()
        assert visitor.came.wait(PATIENCE)


def test_owners_take_turns():
    gate, first, second = Gate(), Inside(), Inside()
    with Crew() as crew:
        crew.start(first.stay, gate.alone())
        assert first.came.wait(PATIENCE)
        crew.start(second.stay, gate.alone())
        assert not second.came.wait(0.05)
        first.may_go.set()
        assert second.came.wait(PATIENCE)
        second.may_go.set()


@pytest.mark.parametrize("place", [lambda gate: gate, Gate.alone], ids=["visitor", "owner"])
def test_who_leaves_by_an_exception_has_left(place):
    gate = Gate()
    with pytest.raises(ZeroDivisionError), place(gate):
        raise ZeroDivisionError
    with Crew() as crew:

        def enter():
            with gate.alone():
                pass
            with gate:
                pass

        crew.start(enter)


def test_nobody_is_inside_with_an_owner():
    """Many of both kinds; each counts who is there."""
    gate, inside, owners, seen = Gate(), [], [], []

    def visit(seed):
        random = Random(seed)  # noqa: S311 - a schedule
        for _ in range(300):
            if random.random() < 0.1:
                with gate.alone():
                    owners.append(seed)
                    seen.append((len(inside), len(owners)))
                    owners.pop()
            else:
                with gate:
                    inside.append(seed)
                    seen.append((0, 1 + len(owners)))
                    inside.pop()

    with Crew() as crew:
        for seed in range(8):
            crew.start(visit, seed)
    assert len(seen) == 2400
    assert set(seen) == {(0, 1)}


# -- unit locks


@pytest.mark.parametrize("other", [(0, 11), (10, 11), (12, 13), (19, 20), (19, 30), (0, 100), (10, 20)])
def test_ranges_that_meet_wait(other):
    locks, first, second = UnitLocks(), Inside(), Inside()
    second.may_go.set()
    with Crew() as crew:
        crew.start(first.stay, locks.holding(10, 20))
        assert first.came.wait(PATIENCE)
        crew.start(second.stay, locks.holding(*other))
        assert not second.came.wait(0.02)
        first.may_go.set()
        assert second.came.wait(PATIENCE)


@pytest.mark.parametrize("other", [(0, 10), (20, 21), (9, 10), (100, 200)])
def test_ranges_that_do_not_meet_do_not_wait(other):
    locks = UnitLocks()
    with locks.holding(10, 20), Crew() as crew:

        def hold():
            with locks.holding(*other):
                pass

        assert crew.ended(crew.start(hold), PATIENCE)


def test_range_waits_for_all_that_it_meets():
    locks, holders, wide = UnitLocks(), [Inside(), Inside()], Inside()
    wide.may_go.set()
    with Crew() as crew:
        for number, holder in enumerate(holders):
            crew.start(holder.stay, locks.holding(10 * number, 10 * number + 5))
            assert holder.came.wait(PATIENCE)
        crew.start(wide.stay, locks.holding(0, 100))
        for holder in holders:
            assert not wide.came.wait(0.05)
            holder.may_go.set()
        assert wide.came.wait(PATIENCE)


def test_every_waiter_is_told():
    """Who waits longest still has to; the next one need not."""
    locks, low, high, wide, narrow = UnitLocks(), Inside(), Inside(), Inside(), Inside()
    wide.may_go.set()
    narrow.may_go.set()
    with Crew() as crew:
        for holder, units in ((low, (0, 10)), (high, (10, 20))):
            crew.start(holder.stay, locks.holding(*units))
            assert holder.came.wait(PATIENCE)
        for waiter, units in ((wide, (0, 20)), (narrow, (0, 5))):
            crew.start(waiter.stay, locks.holding(*units))
            assert not waiter.came.wait(0.05)
        low.may_go.set()
        assert narrow.came.wait(PATIENCE)
        assert not wide.came.wait(0.05)
        high.may_go.set()
        assert wide.came.wait(PATIENCE)


def test_units_are_given_back_by_an_exception():
    locks = UnitLocks()
    with pytest.raises(ZeroDivisionError), locks.holding(0, 5):
        raise ZeroDivisionError
    with Crew() as crew:

        def hold():
            with locks.holding(0, 5):
                pass

        crew.start(hold)


def test_no_unit_has_two_holders():
    """Many threads over few units; each unit counts its holders. It ends: nobody waits in a circle."""
    locks, holders, wrong = UnitLocks(), [0] * 12, []

    def work(seed):
        random = Random(seed)  # noqa: S311 - a schedule
        for _ in range(300):
            first = random.randrange(12)
            stop = random.randrange(first, 13)
            with locks.holding(first, stop):
                for unit in range(first, stop):
                    holders[unit] += 1
                wrong.extend(unit for unit in range(first, stop) if holders[unit] != 1)
                for unit in range(first, stop):
                    holders[unit] -= 1

    with Crew() as crew:
        for seed in range(8):
            crew.start(work, seed)
    assert not wrong
    assert holders == [0] * 12
