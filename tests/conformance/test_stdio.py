"""Sessions over the protocol: the reference engine breaks no rule, and a fault is found with its rule."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from addcow_conformance.adapters.stdio import StdioTarget
from addcow_conformance.programs import (
    Backing,
    BackingKind,
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
    Unsupported,
    Via,
    Violation,
    Write,
    Zeroes,
)
from addcow_conformance.targets import abilities_of, is_external, load_target
from addcow_spec.errors import AdapterError, Crashed, TimedOut, UsageError
from addcow_spec.model import Revision
from tests.conformance.stdio_programs import (
    NODE,
    REFERENCE,
    faulty,
    random_disk,
    random_operation,
    seeded,
    target_name,
)

DISK = Disk(Revision.V10, 200_192, Backing(BackingKind.RAW, 100_000))
NOT_THERE = pytest.mark.skipif(shutil.which("node") is None, reason="there is no node")
# Each shows one fault of `faulty_program.py`.
FAULTS = {
    "lost-writes": ("ACW-DYN-002", [Write(65_000, 4096)]),
    "no-flush": ("ACW-DYN-005", [Write(0, 512), Flush()]),
    "no-refusal": ("ACW-DYN-007", [Write(200_192, 1)]),
    "writes-backing": ("ACW-DYN-004", [Write(0, 512)]),
    "wrong-reads": ("ACW-DYN-001", [Read(70_000, 100)]),
}
ALL = [
    Write(0, 10, fua=True),
    Zeroes(0, 10),
    Read(0, 200_192),
    Resize(512),
    Stream(),
    Fault(0),
    Race(Write(0, 1), Flush()),
    Flush(),
    Reopen(via=Via.DIRECTORY),
    Reopen(via=Via.SYMLINK),
    Reopen(writable=False),
    Kill(),
]


@pytest.fixture(scope="module")
def reference():
    with StdioTarget(REFERENCE) as target:
        yield target


def run_random(target, directory, seed, **kinds):
    rng = seeded(seed)
    done = set()
    with Session(random_disk(rng, **kinds), target, directory=directory) as session:
        for _ in range(20):
            operation = random_operation(rng, session.oracle.size)
            done.add((type(operation), session.step(operation).outcome))
    return done


def test_random_programs_on_the_reference_engine(reference, tmp_path):
    done = set()
    for seed in range(8):
        directory = tmp_path / str(seed)
        directory.mkdir()
        done |= run_random(reference, directory, seed)
    kinds = (Write, Zeroes, Read, Flush, Kill, Reopen, Resize, Stream, Race)
    assert {(kind, "done") for kind in kinds} <= done
    assert (Fault, "skipped") in done


@pytest.mark.system
@NOT_THERE
def test_random_programs_on_the_example(tmp_path):
    done = set()
    with StdioTarget(NODE) as target:
        for seed in range(10):
            directory = tmp_path / str(seed)
            directory.mkdir()
            done |= run_random(target, directory, seed, revisions=[Revision.V10], kinds=[BackingKind.RAW])
    assert {(kind, "done") for kind in (Write, Zeroes, Read, Flush, Kill, Reopen)} <= done


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found_with_its_rule(fault, tmp_path):
    rule, operations = FAULTS[fault]

    def run():
        with Session(DISK, target, directory=tmp_path) as session:
            session.run(operations)

    with StdioTarget(faulty(fault)) as target:
        with pytest.raises(Violation) as caught:
            run()
        assert caught.value.rule == rule


@pytest.mark.parametrize(("fault", "error"), [("crashes", Crashed), ("hangs", TimedOut)])
def test_no_answer_is_no_violation_and_the_session_after_it_works(fault, error, tmp_path):
    directories = [tmp_path / name for name in ("one", "two")]

    def run(directory):
        with Session(DISK, target, directory=directory) as session:
            target._link._timeout = 0.5
            session.run([Read(0, 512), Write(0, 512)])

    with StdioTarget(faulty(fault)) as target:
        for directory in directories:
            directory.mkdir()
            with pytest.raises(AdapterError) as caught:
                run(directory)
            assert type(caught.value) is error


def test_a_poor_program_is_tried_in_what_it_can(tmp_path):
    with StdioTarget(faulty("plain")) as target, Session(DISK, target, directory=tmp_path) as session:
        outcomes = [session.step(operation).outcome for operation in ALL]
        assert session.skipped == {"zeroes": 1, "resize": 1, "stream": 1, "fault": 1, "race": 1}
    assert outcomes.count("done") == len(ALL) - 5


def test_a_program_that_only_reads(tmp_path):
    with StdioTarget(faulty("read-only")) as target, Session(DISK, target, directory=tmp_path) as session:
        assert not session.writable
        assert [session.step(op).outcome for op in (Read(0, 512), Write(0, 1), Kill())] == [
            "done",
            "skipped",
            "done",
        ]


@pytest.mark.parametrize("revision", Revision)
def test_images_that_are_made_for_who_makes_none(revision, tmp_path):
    disk = DISK._replace(revision=revision)
    with StdioTarget(faulty("plain")) as target, Session(disk, target, directory=tmp_path) as session:
        session.run([Write(0, 600), Flush(), Kill()])


def test_disks_that_a_program_does_not_have(tmp_path):
    with StdioTarget(faulty("v10-raw")) as target:
        for kind in (BackingKind.QCOW2, BackingKind.CHAIN):
            with pytest.raises(Unsupported):
                Session(DISK._replace(backing=Backing(kind, 512)), target, directory=tmp_path)
        with pytest.raises(UsageError):
            Session(DISK, target)
    assert list(tmp_path.iterdir()) == []


def test_requests_larger_than_a_message(reference, tmp_path):
    size = 9 << 20
    with Session(Disk(Revision.V10, size), reference, directory=tmp_path) as session:
        assert session.step(Write(0, size)).outcome == "done"
        assert session.step(Write(1, size, 2)).outcome == "refused"
        assert session.step(Read(0, size)).outcome == "done"


def test_a_session_that_was_left_open_is_out_of_the_way(reference, tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    left = Session(DISK, reference, directory=tmp_path / "one")
    with Session(DISK, reference, directory=tmp_path / "two") as session:
        assert session.step(Write(0, 512)).outcome == "done"
    assert left.image is not None


def test_a_script_does_the_same_again(tmp_path):
    files = tmp_path / "files"
    files.mkdir()
    with StdioTarget(REFERENCE) as target:
        target.probe()  # its process is there before anybody wants a script
        target.transcript.start(lambda: [f"truncate -s 200000 {files}/disk.raw"])
        with Session(Disk(size=200_000, fill=0), target, directory=files, comparing=False) as session:
            session.run([Write(69_000, 20), Kill(), Write(0, 10), Flush(), Reopen(), Zeroes(5, 100_000)])
        lines = target.transcript.lines
    before = {path.name: path.read_bytes() for path in files.glob("disk.*")}
    for name in before:
        (files / name).unlink()
    subprocess.run(["sh"], input="\n".join(lines), text=True, check=True, capture_output=True, timeout=60)
    assert {path.name: path.read_bytes() for path in files.glob("disk.*")} == before


def test_an_image_made_byte_by_byte_is_in_the_script(tmp_path):
    with StdioTarget(faulty("plain")) as target:
        assert "create" not in target.abilities
        target.transcript.start()
        with Session(Disk(size=4096), target, directory=tmp_path, comparing=False):
            pass
        lines = target.transcript.lines
    made = (tmp_path / "disk.add-cow").read_bytes()
    (tmp_path / "disk.add-cow").unlink()
    subprocess.run(["sh"], input="\n".join(lines[:2]), text=True, check=True, timeout=60)
    assert (tmp_path / "disk.add-cow").read_bytes() == made


def test_names_of_targets():
    with load_target(target_name(REFERENCE)) as target:
        assert is_external(target)
        assert "storage" not in abilities_of(target)
    assert not is_external(load_target("python:addcow_ref"))
    for name in ("stdio", "stdio:", "python", "nbd:x", ""):
        with pytest.raises(UsageError):
            load_target(name)
