"""The parts of the models: numbers become operations, programs shrink, states are counted."""

import os
import random

import pytest
from hypothesis import settings

import addcow_ref
from addcow_conformance.models import Reach, _draws, _folder, _machine, explain, find, keep, measure
from addcow_conformance.models._draws import Ground
from addcow_conformance.models._shrink import shrink
from addcow_conformance.programs import (
    Backing,
    BackingKind,
    Disk,
    Fault,
    Flush,
    Kill,
    Program,
    Race,
    Read,
    Reopen,
    Resize,
    Session,
    StorageKind,
    Stream,
    Via,
    Write,
    Zeroes,
    backing_kinds,
    dump_program,
    load_program,
)
from addcow_conformance.reach._states import BEGINNINGS, STATES
from addcow_spec.errors import StorageError
from addcow_spec.model import Revision
from tests.conformance.miniatures import RIGHT
from tests.conformance.planted import PLANTED

CLUSTER = 65536
QUICK = settings(max_examples=12, derandomize=True, database=None, deadline=None)


def grounds():
    for size in (0, 1, 512, CLUSTER + 700, 9 * CLUSTER):
        for below in (0, 700, 3 * CLUSTER):
            yield Ground(size, CLUSTER, below, min(size, 512), odd=True)
            yield Ground(size // 512 * 512, 512, below, 0, odd=False)


# --- numbers


def test_a_target_gets_the_backing_files_that_it_has():
    disks = {
        _draws.a_disk(Revision.V10, 3, backing, backing_kinds(RIGHT)) for backing in range(_draws.BACKINGS)
    }
    assert {disk.backing and disk.backing.kind for disk in disks} == {
        None,
        BackingKind.RAW,
        BackingKind.CHAIN,
    }


@pytest.mark.parametrize("revision", Revision, ids=str)
def test_every_number_of_a_disk_is_a_disk(revision):
    kinds = tuple(BackingKind)
    disks = {
        _draws.a_disk(revision, size, backing, kinds)
        for size in range(_draws.SIZES)
        for backing in range(_draws.BACKINGS)
    }
    assert len({disk.size for disk in disks}) > 10
    assert {disk.backing and disk.backing.kind for disk in disks} == {None, *BackingKind}
    assert {disk.size % 512 for disk in disks} - {0} == ({1, 188, 511} if revision is Revision.V10 else set())
    for disk in disks:
        assert load_program(dump_program(Program(disk))).disk == disk


def test_odd_disks_are_of_old_revisions():
    assert _draws.an_odd_disk(Revision.V10, 0) is None
    assert all(_draws.an_odd_disk(Revision.V6, number).size % 512 for number in range(9))


@pytest.mark.parametrize("on", list(grounds()), ids=lambda on: f"{on.size}-{on.unit}-{on.below}")
def test_every_number_of_an_operation_is_an_operation(on):
    chance = random.Random(str(on))  # noqa: S311 - tests, each time the same
    operations = []
    for count in range(200):
        number = chance.randrange(_draws.REQUESTS)
        operations += [
            _draws.a_read(on, number),
            _draws.a_write(on, number, count),
            _draws.some_zeroes(on, number),
            _draws.a_stream(on, number % _draws.STREAMS),
            _draws.a_resize(on, number % _draws.RESIZES, CLUSTER),
            _draws.an_end(number % _draws.ENDS, StorageKind.FILES),
            _draws.a_fault(number % _draws.FAULTS, range(3, 9)),
            _draws.a_race(on, chance.randrange(_draws.RACES), count),
        ]
    program = Program(Disk(), tuple(operations))
    assert load_program(dump_program(program)) == program
    inside = [each for each in operations if isinstance(each, Write) and each.offset + each.length <= on.size]
    assert len(inside) > 100


def test_bytes_are_enough_for_a_burst():
    phrases = sum(hasattr(each, "hypothesis_stateful_rule") for each in vars(_machine.DiskMachine).values())
    assert phrases > 5
    longest = max(_draws.REQUESTS**2, len(_machine._FAILING) * _draws.FAULTS * _draws.RACES)
    assert (phrases * longest) ** _machine._PHRASES < 256**_machine._BYTES


def test_ends_are_of_each_kind():
    ends = {_draws.an_end(number, StorageKind.FILES) for number in range(_draws.ENDS)}
    assert Kill() in ends
    assert {end.via for end in ends if isinstance(end, Reopen)} == set(Via)
    assert {end.writable for end in ends if isinstance(end, Reopen)} == {True, False}
    assert all(
        _draws.an_end(number, StorageKind.MEMORY) in {Kill(), Reopen(), Reopen(writable=False)}
        for number in range(_draws.ENDS)
    )


# --- shrinking


def test_program_shrinks_to_what_matters(monkeypatch):
    PLANTED["flush writes no bits"].plant(monkeypatch)
    noise = [Write(70000, 9, 5), Read(1, 2), Kill(), Zeroes(100, 100), Fault(99), Stream(0)]
    program = Program(
        Disk(size=5 * CLUSTER, backing=Backing(BackingKind.CHAIN, 2 * CLUSTER)),
        (*noise[:3], Race(Write(0, 700, 9, fua=False), Read(0, 9), 2), *noise[3:], Flush()),
        StorageKind.FILES,
        rule="ACW-DYN-005",
    )
    small = shrink(program, addcow_ref)
    assert small.storage is StorageKind.MEMORY
    assert small.disk.backing is None
    assert len(small.operations) == 2
    assert small.rule == "ACW-DYN-005"
    assert small.note


def test_program_is_no_shorter_than_there_is_time_for(monkeypatch):
    PLANTED["flush writes no bits"].plant(monkeypatch)
    program = Program(Disk(), (Read(0, 1), Write(0, 1), Flush()), rule="ACW-DYN-005")
    assert shrink(program, addcow_ref, seconds=0) == program
    assert len(shrink(program, addcow_ref).operations) == 2


@pytest.mark.parametrize("examples", [1, 8, 12, 13])
def test_no_more_programs_than_were_asked_for(examples):
    made = []

    class Counting:
        open_image = staticmethod(addcow_ref.open_image)

        def create_image(self, *arguments, **options):
            made.append(1)
            return addcow_ref.create_image(*arguments, **options)

    assert find(Revision.V10, Counting(), settings(QUICK, max_examples=examples)) is None
    assert len(made) <= examples


def test_program_that_breaks_nothing_stays_as_it_is():
    program = Program(Disk(), (Write(0, 1), Flush()), rule="ACW-DYN-001")
    assert shrink(program, addcow_ref) == program


def test_operations_after_the_violation_are_left_out(monkeypatch):
    PLANTED["zeros set no bit"].plant(monkeypatch)
    program = Program(Disk(), (Zeroes(0, 1), *[Flush()] * 9), rule="ACW-DYN-002")
    assert len(shrink(program, addcow_ref).operations) == 1


# --- states


def reached(disk, *operations, directory=None):
    reach = Reach()
    with Session(disk, addcow_ref, directory=directory) as session:
        found = reach.begin(session)
        for operation in operations:
            reach.before(session)
            found = reach.after(session, operation, session.step(operation))
    return set(found)


BACKED = Disk(size=2 * CLUSTER, backing=Backing(BackingKind.RAW, CLUSTER + 700))


@pytest.mark.parametrize(
    ("state", "disk", "operations"),
    [
        ("disk: over a shorter backing", BACKED, []),
        ("disk: of no bytes", Disk(size=0), []),
        ("write: copies across the end of the backing", BACKED, [Write(CLUSTER, 512)]),
        ("write: copies both sides of a unit", BACKED, [Write(512, 512)]),
        ("write: copies from a raw file", BACKED, [Zeroes(512, CLUSTER)]),
        ("write: first of a short last unit", Disk(size=CLUSTER + 1), [Write(CLUSTER, 1)]),
        ("write: refused beyond the end", BACKED, [Write(2 * CLUSTER, 1)]),
        (
            "write: failed, and is seen in part",
            BACKED,
            [Write(0, CLUSTER), Fault(0, partial=512), Write(0, CLUSTER, 2)],
        ),
        ("write: failed, and is not seen", BACKED, [Fault(0, partial=512), Write(0, CLUSTER)]),
        ("kill: bits are lost", BACKED, [Write(0, 1), Kill()]),
        ("kill: after a durable write", BACKED, [Write(0, 1, fua=True), Kill()]),
        ("open: after a fault", BACKED, [Write(0, 1), Fault(0), Flush(), Reopen()]),
        ("flush: after one that failed", BACKED, [Write(0, 1), Fault(0), Flush(), Flush()]),
        ("resize: across a byte of the bitmap", BACKED, [Resize(9 * CLUSTER)]),
        ("resize: grows a short unit that is set", Disk(size=1), [Write(0, 1), Resize(2)]),
        ("resize: grows what was shrunk", BACKED, [Resize(CLUSTER), Resize(2 * CLUSTER)]),
        (
            "resize: grows again over units that were set",
            BACKED,
            [Write(CLUSTER, 1), Resize(1), Resize(2 * CLUSTER)],
        ),
        ("stream: completes one that was stopped", BACKED, [Stream(0), Stream()]),
        ("stream: beyond the backing", Disk(size=3 * CLUSTER, backing=BACKED.backing), [Stream()]),
        ("race: two writes to one clear unit", BACKED, [Race(Write(0, 1), Write(9, 1))]),
        ("race: the second waits", BACKED, [Race(Write(0, 1), Write(9, 1), 1)]),
    ],
)
def test_state_is_reached(state, disk, operations):
    assert state in STATES | BEGINNINGS
    assert state in reached(disk, *operations)
    assert state not in reached(disk, *operations, Read(0, 0))


def test_changed_page_leaves_the_cache():
    page = 4096 * 8 * 512
    disk = Disk(Revision.V6, size=page + 4096, fill=0)
    assert "write: a changed page leaves the cache" in reached(disk, Write(page - 512, 1024))
    assert "write: a changed page leaves the cache" not in reached(Disk(), Write(0, 1024, fua=True))


def test_ways_to_open(tmp_path):
    assert "open: by a symbolic link" in reached(BACKED, Reopen(via=Via.SYMLINK), directory=tmp_path)


def test_what_was_not_reached_is_missing():
    reach = Reach()
    everything = reach.missing(Revision.V6, StorageKind.MEMORY)
    assert "resize: refused as the size is odd" in everything
    assert "write: first of a short last unit" not in everything
    assert "open: by a symbolic link" not in everything
    assert "open: by a symbolic link" in reach.missing(Revision.V6, StorageKind.FILES)
    reach.counts["write: failed"] = 1
    assert "write: failed" not in reach.missing(Revision.V6, StorageKind.MEMORY)
    reach.steps = 1_000_000
    assert "write: failed" in reach.missing(Revision.V6, StorageKind.MEMORY, floors=True)


# --- what is found


def test_found_program_is_kept_and_shown(tmp_path):
    program = Program(Disk(), (Flush(),), rule="ACW-DYN-005", note="no\nsuch thing")
    path = keep(program, tmp_path / "new")
    assert path.name.startswith("acw-dyn-005-")
    assert load_program(path.read_bytes()) == program
    assert keep(program._replace(note="else"), tmp_path / "new") == path
    assert f"addcow-conformance replay {path}" in explain(program, path)
    assert dump_program(program) in explain(program)


def test_what_is_found_only_sometimes_is_found():
    class Moody:
        tries = 0
        create_image = staticmethod(addcow_ref.create_image)

        def open_image(self, target, **named):
            Moody.tries += 1
            if Moody.tries == 40:
                raise StorageError("not today")
            return addcow_ref.open_image(target, **named)

    program = find(Revision.V10, Moody(), QUICK)
    assert program is not None
    assert program.rule == "ACW-DYN-009"


def test_nothing_is_found_in_the_engine():
    reach = Reach()
    assert find(Revision.V10, addcow_ref, QUICK, reach=reach) is None
    assert reach.steps > 100


def test_steps_are_measured():
    assert measure(Revision.V6, 100) > 0


# --- directories


def test_what_a_killed_process_has_left_is_removed(tmp_path, monkeypatch):
    monkeypatch.setattr(_folder, "_FAST", os.fspath(tmp_path))
    living, next_one = _folder.Folder(), _folder.Folder()
    kept = os.path.dirname(living.fresh())
    for name in ("addcow-model-gone", "other"):
        (tmp_path / name / "1").mkdir(parents=True)
    for path in tmp_path.iterdir():
        os.utime(path, (0, 0))
    (tmp_path / "addcow-model-young").mkdir()
    made = os.path.dirname(next_one.fresh())
    expected = {kept, made, f"{tmp_path}/other", f"{tmp_path}/addcow-model-young"}
    assert {os.fspath(path) for path in tmp_path.iterdir()} == expected
    for folder in (living, next_one):
        folder.remove()
    assert {path.name for path in tmp_path.iterdir()} == {"other", "addcow-model-young"}
