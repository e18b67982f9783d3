"""Sessions: the right engine passes, and each wrong one is found by the rule that it breaks."""

from __future__ import annotations

import threading
from collections import Counter

import pytest

import addcow_ref
from addcow_conformance.checker import Report
from addcow_conformance.programs import (
    Disk,
    Fault,
    Flush,
    Kill,
    Race,
    Read,
    Reopen,
    Resize,
    Session,
    Stream,
    Violation,
    Write,
    Zeroes,
    _race,
)
from addcow_conformance.targets import load_target
from addcow_spec.errors import StorageError, UsageError
from addcow_spec.rules import Profile
from tests.conformance import wrong_targets_files, wrong_targets_requests
from tests.conformance.wrong_targets import BACKED, CLUSTER, Passing, Target

SCENARIOS = wrong_targets_requests.SCENARIOS
assert SCENARIOS is wrong_targets_files.SCENARIOS

NAMES = [scenario.name for scenario in SCENARIOS]


def outcomes(disk, operations, target=addcow_ref, **options):
    with Session(disk, target, **options) as session:
        return [session.step(operation).outcome for operation in operations]


def broken_rule(disk, operations, target):
    with pytest.raises(Violation) as caught:
        outcomes(disk, operations, target)
    return caught.value.rule


def test_scenarios_have_names_of_their_own():
    assert [name for name, count in Counter(NAMES).items() if count > 1] == []


@pytest.mark.parametrize("scenario", SCENARIOS, ids=NAMES)
def test_wrong_engine_is_found_by_its_rule(scenario):
    assert broken_rule(scenario.disk, scenario.operations, scenario.target()) == scenario.rule


@pytest.mark.parametrize("scenario", SCENARIOS, ids=NAMES)
def test_right_engine_passes_where_the_wrong_one_is_found(scenario):
    outcomes(scenario.disk, scenario.operations, Target())


@pytest.mark.parametrize("scenario", SCENARIOS[::6], ids=NAMES[::6])
def test_right_engine_passes_on_files(scenario, tmp_path):
    outcomes(scenario.disk, scenario.operations, directory=str(tmp_path))


# -- races


RACE = Race(Write(0, 100, 1), Write(200, 100, 2), pause=0)
SIZED = Disk(size=3 * CLUSTER)


class Racing(Passing):
    """An image whose requests of 100 bytes are wrong: a comparison reads the whole disk."""

    def read(self, offset, length):
        return self.wrong(offset, length) if length == 100 else self.real.read(offset, length)


def racing(name, **methods):
    return Target(type(name, (Racing,), methods))


def gives(value):
    return racing("Gives", wrong=lambda *_: value)


class LostUpdate(Passing):
    """Writes a cluster back as it was read before, with the data over it, and without a lock."""

    def write(self, offset, data, *, fua):
        start = offset // CLUSTER * CLUSTER
        whole = bytearray(self.real.read(start, CLUSTER))
        whole[offset - start : offset - start + len(data)] = data
        self.real.write(start, whole, fua=fua)


@pytest.mark.parametrize("pause", range(6))
@pytest.mark.parametrize(
    "requests",
    [
        (Write(0, 100, 1), Write(200, 100, 2)),
        (Write(0, 100, 1), Write(50, 100, 2)),
        (Write(0, 100, 1, fua=True), Zeroes(0, CLUSTER + 1)),
        (Stream(), Write(5, 100)),
        (Write(0, 9), Read(0, CLUSTER)),
        (Flush(), Write(0, 9)),
        (Stream(), Stream()),
        (Read(3 * CLUSTER, 1), Write(3 * CLUSTER, 1)),
        (Stream(0), Zeroes(7, 1)),
    ],
)
def test_right_engine_passes_races(requests, pause):
    for both in (requests, requests[::-1]):
        operations = (Race(*both, pause), Race(*both, pause), Kill(), Flush(), Reopen())
        outcomes(SIZED, operations)


def test_lost_update_is_found():
    flushed = (Write(0, CLUSTER), Flush())
    rules = set()
    for pause in range(8):
        try:
            outcomes(SIZED, (*flushed, Race(Write(0, 100, 3), Write(200, 100, 2), pause)), Target(LostUpdate))
        except Violation as violation:
            rules.add(violation.rule)
    assert rules == {"ACW-DYN-006"}


def test_write_that_a_race_loses_on_a_large_disk_is_found():
    image = type(
        "Losing",
        (Passing,),
        {"write": lambda image, offset, data, **how: image.real.write(offset, data[:9], **how)},
    )
    operations = [Race(Write(4 << 20, 100), Flush())]
    assert broken_rule(Disk(size=8 << 20), operations, Target(image)) == "ACW-DYN-006"


@pytest.mark.parametrize("value", [None, b"", bytes(99), bytes(101), bytearray(100), b"?" * 100, True])
def test_read_in_a_race_gives_the_bytes_of_the_disk(value):
    assert broken_rule(SIZED, [Race(Read(0, 100), Write(0, 9))], gives(value)) == "ACW-DYN-006"
    assert broken_rule(SIZED, [Race(Write(0, 9), Read(0, 100))], gives(value)) == "ACW-DYN-006"


@pytest.mark.parametrize(
    "error", [SystemExit, KeyError("no"), UsageError("no"), StorageError("no"), KeyboardInterrupt]
)
def test_request_in_a_race_fails_by_a_fault_alone(error):
    def wrong(*_):
        raise error

    for operation in (Race(Zeroes(0, 9), Flush()), Race(Flush(), Zeroes(0, 9))):
        image = type("Failing", (Passing,), {"flush": wrong})
        assert broken_rule(SIZED, [operation], Target(image)) == "ACW-DYN-006"
    outcomes(SIZED, [RACE])  # the threads that were used are of use


def test_request_in_a_race_is_refused_as_it_has_to_be():
    assert broken_rule(SIZED, [Race(Read(3 * CLUSTER, 100), Flush())], gives(bytes(100))) == "ACW-DYN-006"
    taking = Target(type("Taking", (Passing,), {"write": lambda *_, **__: None}))
    assert broken_rule(SIZED, [Reopen(writable=False), Race(Write(0, 9), Flush())], taking) == "ACW-DYN-006"


def test_stream_in_a_race_is_not_stopped_by_nobody():
    stopping = type(
        "Stopping", (Passing,), {"stream": lambda image, *, stop: image.real.stream(stop=stop) and None}
    )
    assert broken_rule(SIZED, [Race(Stream(), Read(0, 9))], Target(stopping)) == "ACW-DYN-012"


def test_stream_in_a_race_that_does_nothing_is_found():
    idle = type("Idle", (Passing,), {"stream": lambda *_, **__: True})
    assert broken_rule(SIZED, [Race(Stream(), Read(0, 9))], Target(idle)) == "ACW-DYN-002"


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("kind", ["sleeps", "works"])
def test_request_in_a_race_that_hangs_is_found(monkeypatch, which, kind):
    monkeypatch.setattr(_race, "_HANGING", 0.3)
    release = threading.Event()

    def wrong(*_):
        while not release.is_set():
            release.wait(10 if kind == "sleeps" else 0)

    requests = (Flush(), Write(0, 9)) if which == 0 else (Write(0, 9), Flush())
    try:
        image = type("Hanging", (Passing,), {"flush": wrong})
        assert broken_rule(SIZED, [Race(*requests)], Target(image)) == "ACW-DYN-006"
    finally:
        release.set()


# -- what no wrapper can do


def test_backing_file_that_changes_unseen_is_found():
    with Session(BACKED, addcow_ref) as session:
        session.files.open(b"base.raw", writable=True).write(0, b"?")
        with pytest.raises(Violation) as caught:
            session.step(Flush())
    assert caught.value.rule == "ACW-DYN-004"


def test_check_that_cannot_be_completed_is_found(monkeypatch):
    with Session(SIZED, addcow_ref) as session:
        monkeypatch.setattr(session.files, "check", lambda _: Report(b"x", Profile.REVIEWED, problem="no"))
        session.step(Write(0, 1))  # files that are as they were are not checked again
        with pytest.raises(Violation) as caught:
            session.step(Flush())
    assert caught.value.rule == "ACW-DYN-005"


def test_files_that_are_as_sound_ones_were_are_not_checked_again(monkeypatch):
    checked = []
    with Session(Disk(size=2 * CLUSTER), addcow_ref) as session:
        real = session.files.check
        monkeypatch.setattr(session.files, "check", lambda each: checked.append(each) or real(each))
        for operations, checks in (
            ([Write(0, 1), Flush()], 1),
            ([Write(1, 1), Flush()], 1),
            ([Write(CLUSTER, 1), Flush()], 2),
            ([Resize(2 * CLUSTER - 1)], 3),
            ([Resize(2 * CLUSTER)], 3),
        ):
            session.run(operations)
            assert len(checked) == checks


# -- what a session does not hold against an engine


def test_zeros_that_failed_half_way_on_a_large_disk_may_be_there():
    """In windows that no comparison reads: extents tell of them all the same."""
    operations = [
        Write(0, 2 << 20),
        Flush(),
        Fault(0, partial=1500 << 10),
        Zeroes(0, 2 << 20),
        Flush(),
        Read(0, 2 << 20),
    ]
    assert outcomes(Disk(size=9 << 20), operations) == ["done", "done", "done", "failed", "done", "done"]


def test_fault_is_of_the_next_operation_alone():
    assert outcomes(SIZED, [Fault(0), Read(0, 1), Write(0, 9)]) == ["done", "done", "done"]


def test_nothing_is_done_where_no_image_is_open():
    operations = [Fault(0), Kill(), Write(0, 9), Resize(9), Race(Flush(), Flush()), Reopen(), Write(0, 9)]
    expected = ["done", "failed", "skipped", "skipped", "skipped", "done", "done"]
    assert outcomes(SIZED, operations) == expected


def test_result_tells_what_was_written():
    with Session(SIZED, addcow_ref) as session:
        assert session.step(Write(0, CLUSTER)).changes[0][1:] == (b"disk.raw", 0, CLUSTER)
        assert [change.operation for change in session.step(Flush()).changes] == ["sync", "write", "sync"]
        assert session.step(Read(0, 9)).changes == ()


# -- targets by name


def test_target_is_loaded_by_name():
    assert load_target("python:addcow_ref") is addcow_ref
    assert load_target("python:tests.conformance.test_programs_session:RIGHT") is RIGHT


@pytest.mark.parametrize(
    "name",
    [
        "",
        "addcow_ref",
        "python:",
        "python::x",
        "python:no_such_module",
        "python:addcow_ref:no_such_name",
        "python:addcow_ref.memory",
        "python:.relative",
        "shell:true",
    ],
)
def test_name_of_no_target_is_a_mistake_of_the_caller(name):
    with pytest.raises(UsageError):
        load_target(name)


RIGHT = Target()
