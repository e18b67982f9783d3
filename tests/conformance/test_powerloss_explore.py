"""Exploring power losses: the engine stands it, in every family; and the explorer counts what it did."""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool

import pytest

import addcow_ref
from addcow_conformance.oracle import Oracle
from addcow_conformance.powerloss import FAMILIES, Effort, Family, _judge, explore, rerun
from addcow_conformance.powerloss._allowed import Allowed, during
from addcow_conformance.powerloss._trial import Trial
from addcow_conformance.programs import (
    Backing,
    BackingKind,
    Disk,
    Flush,
    Program,
    Race,
    Reopen,
    Resize,
    Session,
    Stream,
    Write,
    Zeroes,
)
from addcow_conformance.targets import load_target
from addcow_ref.testing import FaultPlan, FaultyStorage
from addcow_spec.errors import UsageError
from addcow_spec.model import Revision
from tests.conformance import variants

SMALL = Family(
    "small",
    Disk(Revision.V6, 4 * 512, Backing(BackingKind.RAW, 700)),
    (Write(100, 600), Flush(), Stream(1), Reopen(), Resize(6 * 512)),
)
COARSE = Effort(bound=64, samples=16)


# -- the engine


# The others are tried with one operation, by a run of the suite.
@pytest.mark.parametrize("name", ["v4", "v6-pages", "v10"])
def test_engine_stands_every_loss_of_power_in_two_operations(name):
    (family,) = (family for family in FAMILIES if family.name == name)
    summary = explore(families=[family], operations=2)
    assert summary.found == ()
    (part,) = summary.parts
    letters = len(family.alphabet)
    assert part.tally.workloads == 1 + letters + letters**2
    assert part.tally.states >= part.tally.distinct > part.tally.moments > part.tally.workloads
    assert part.tally.moments >= part.tally.exhausted > 0


def test_every_revision_has_a_family_and_every_operation_that_matters():
    for revision in Revision:
        kinds = {
            type(operation)
            for family in FAMILIES
            if family.disk.revision is revision
            for operation in family.alphabet
        }
        assert {kind.__name__ for kind in kinds} >= {"Write", "Zeroes", "Flush", "Resize", "Stream", "Reopen"}


def test_workloads_are_every_sequence_once():
    found = [SMALL.workload(3, number) for number in range(SMALL.count(3))]
    assert len(set(found)) == len(SMALL.alphabet) ** 3 == len(found)
    assert SMALL.workload(0, 0) == ()


# Of writes that share a sector either may be the first, and a loss of power may leave it alone.
RACES = [
    (Write(0, 100, 1), Write(100, 100, 2)),
    (Write(0, 1024, 1), Write(0, 700, 2)),
    (Zeroes(0, 1024), Write(0, 700, 2)),
    (Write(0, 700, 1), Zeroes(512, 512)),
    (Write(0, 700, 1, fua=True), Write(600, 512, 2)),
    (Write(0, 700, 1), Write(600, 512, 2, fua=True)),
    (Write(0, 700, 1), Write(0, 700, 2)),
    (Write(0, 700, 1), Write(1 << 20, 700, 2)),
    (Write(0, 700, 1), Stream()),
    (Write(0, 700, 1), Flush()),
]


@pytest.mark.parametrize("requests", RACES)
def test_engine_stands_a_loss_of_power_in_a_race_and_after_it(requests):
    start = (Write(0, 1024, 9), Flush())
    for first, second in (requests, requests[::-1]):
        for pause in range(3):
            operations = (*start, Race(first, second, pause))
            trial = Trial(Disk(Revision.V10, 1 << 16), addcow_ref, Effort(), operations)
            assert trial.run(operations) is None
            assert trial.tally.moments > 0


def test_bits_before_their_data_in_a_race_are_found():
    operations = (Race(Write(0, 100, 1, fua=True), Write(1 << 16, 100, 2)),)
    target = load_target(variants.target(variants.BitsFirst))
    trial = Trial(Disk(Revision.V10, 1 << 17), target, Effort(), operations)
    assert trial.run(operations).rule == "ACW-DYN-005"


def test_what_the_checker_said_is_kept_within_bounds(monkeypatch):
    kept = {}
    for most in (1 << 16, 4):
        monkeypatch.setattr(_judge, "_MOST_CHECKED", most)
        trial = Trial(Disk(Revision.V6, 4 * 512), addcow_ref, COARSE, ())
        for sectors in range(8):
            assert trial.run((Write(sectors % 4 * 512, 9), Flush(), Resize(sectors * 512))) is None
        kept[most] = len(trial._checked)
    assert kept[4] <= 5 < kept[1 << 16]


# -- what is counted, and by whom


def results(summary):
    return [(part.tally, part.rules, part.found) for part in summary.parts]


@pytest.mark.parametrize("target", [variants.BitsFirst, None], ids=["wrong", "right"])
def test_any_executor_comes_to_the_same(target):
    options = {"families": [SMALL], "operations": 2, "effort": COARSE}
    if target:
        options["target"] = variants.target(target)
    alone = explore(**options)
    assert bool(alone.found) == bool(target)
    with ThreadPoolExecutor(2) as threads, ProcessPoolExecutor(2) as processes:
        assert results(explore(**options, executor=threads)) == results(alone)
        assert results(explore(**options, executor=processes)) == results(alone)


def test_same_seed_same_states():
    def tallies(seed):
        effort = Effort(bound=1, samples=9, seed=seed)
        return results(explore(families=[SMALL], operations=1, effort=effort))

    assert tallies(5) == tallies(5)
    assert tallies(5) != tallies(6)


def test_progress_ends_with_the_whole():
    told = []
    explore(families=[SMALL], operations=2, effort=COARSE, progress=lambda *numbers: told.append(numbers))
    assert told == sorted(told)
    assert told[-1] == (31, 31)


def test_first_only_stops_early():
    options = {"target": variants.target(variants.BitsFirst), "families": [SMALL], "effort": COARSE}
    summary = explore(**options, operations=3, first_only=True)
    assert not summary.complete
    assert summary.tally.workloads < 1 + 5 + 25 + 125
    assert len(summary.found[0].program.operations) == 1
    assert explore(**options, operations=1).complete


class _Dies:
    """A target whose process ends while an image is opened."""

    create_image = staticmethod(addcow_ref.create_image)

    @staticmethod
    def open_image(_storage, **_options):
        os._exit(9)


def test_worker_that_dies_is_an_error_and_no_hang():
    with ProcessPoolExecutor(1) as pool, pytest.raises(BrokenProcessPool):
        explore(target=f"python:{__name__}:_Dies", families=[SMALL], operations=1, executor=pool)


def test_target_that_is_none():
    with pytest.raises(UsageError):
        explore(target="python:no_such_module", families=[SMALL])


# -- other ways to be wrong


class _LyingCreation:
    open_image = staticmethod(addcow_ref.open_image)

    @staticmethod
    def create_image(storage, *arguments, **options):
        plan = FaultPlan()
        plan.lying_sync = True
        addcow_ref.create_image(FaultyStorage(storage, plan), *arguments, **options)


def test_creation_that_is_not_durable_when_it_returns():
    found = explore(target=f"python:{__name__}:_LyingCreation", families=[SMALL], operations=0).found[0]
    assert found.program.operations == ()
    assert found.rule == "ACW-HDR-001"
    assert any(line.endswith(": lost") or ": torn" in line for line in found.order)


class _WritesBelow:
    create_image = staticmethod(addcow_ref.create_image)

    @staticmethod
    def open_image(storage, **options):
        image = addcow_ref.open_image(storage, **options)
        if options["writable"]:
            below = storage.open(b"base.raw", writable=True)
            flush = image.flush

            def spoil():
                below.write(0, b"x")
                flush()

            image.flush = spoil
        return image


def test_backing_file_that_is_written():
    found = explore(target=f"python:{__name__}:_WritesBelow", families=[SMALL], operations=1).found
    assert ("ACW-DYN-004", (Flush(),)) in {(each.rule, each.program.operations) for each in found}


class _LazyStream(variants._Variant):
    """Says that a stream is complete, and copies nothing."""

    @staticmethod
    def spoil(image, _disk):
        image.stream = lambda **_: True


def test_stream_from_what_is_left_must_end_in_the_disk():
    disk = SMALL.disk._replace(backing=Backing(BackingKind.RAW, 4 * 512))
    family = Family("whole", disk, (Write(100, 600),))
    found = explore(target=f"python:{__name__}:_LazyStream", families=[family], operations=1).found[0]
    assert found.rule == "ACW-DYN-012"


# -- what is allowed


def test_what_is_about_to_be_cut_off_may_read_old_or_below_or_zeros_and_nothing_else():
    disk = Disk(Revision.V10, 3 * 65536, Backing(BackingKind.RAW, 3 * 65536))
    with Session(disk, addcow_ref, comparing=False) as session:
        session.run([Write(0, 3 * 65536), Flush()])
        moment = during(session.oracle.copy(), Resize(65536 + 512), frozenset())
    old, new = moment.disks
    assert (old.size, new.size, moment.refusals) == (3 * 65536, 65536 + 512, frozenset())
    whole = session.oracle.read(0, 3 * 65536)
    units = {0, 1, 2}
    assert old.fault([whole], units) is None
    assert old.fault([whole], {0, 1}) is None
    assert old.fault([whole], {1, 2})[0] == "ACW-DYN-005"
    cut = 65536 + 512
    for rest in (session.backing.data[cut:], bytes(len(whole) - cut)):
        assert old.fault([whole[:cut] + rest], units) is None
        assert old.fault([whole[: cut - 512] + bytes(512) + rest], units)[0] == "ACW-DYN-005"
    assert old.fault([whole[:cut] + b"\1" * (len(whole) - cut)], units)[0] == "ACW-DYN-005"
    assert new.fault([whole[:cut]], {0, 1}) is None
    assert new.fault([whole[:cut]], {0})[0] == "ACW-DYN-005"


@pytest.mark.parametrize("revision", [Revision.V4, Revision.V6])
def test_size_that_is_told_twice_may_differ_during_a_resize_alone(revision):
    with Session(Disk(revision, 1024), addcow_ref, comparing=False) as session:
        before = session.oracle.copy()
        assert during(before, Resize(2048), frozenset()).refusals == {"ACW-SIZ-006"}
        assert during(before, Write(0, 512), frozenset()).refusals == frozenset()


def test_bits_that_nothing_was_written_for():
    allowed = Allowed(Oracle(1024, None, 512), frozenset())
    assert allowed.fault([bytes(1024)], set()) is None
    assert allowed.fault([bytes(1024)], {1})[0] == "ACW-DYN-002"
    assert allowed.fault([bytes(1023) + b"x"], set())[0] == "ACW-DYN-005"


def test_program_without_a_loss_of_power_is_cut_everywhere():
    program = Program(SMALL.disk, (Write(0, 512), Flush()))
    assert rerun(program, addcow_ref) is None
    assert rerun(program, variants.BitsFirst).rule == "ACW-DYN-005"
