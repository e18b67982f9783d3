"""Implementations behind `nbd:`: both of ours beside the oracle, and what QEMU's server tells of depths."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys

import pytest

from addcow_conformance.adapters._transcript import Transcript
from addcow_conformance.programs import (
    Backing,
    BackingKind,
    Disk,
    Flush,
    Kill,
    Race,
    Read,
    Reopen,
    Session,
    Unsupported,
    Via,
    Write,
    Zeroes,
)
from addcow_conformance.targets import load_target
from addcow_ref import FileStorage
from addcow_spec.errors import CannotStart
from addcow_spec.model import Revision
from tests.conformance.stdio_programs import random_disk, random_operation, seeded
from tests.conformance.test_nbd import SERVER
from tests.system.serving import HANG, run

pytestmark = pytest.mark.system

SIZE = 200_192
PROGRAM = (
    Write(69_000, 20),
    Zeroes(100, 70_000),
    Read(SIZE - 1, 2),
    Write(SIZE - 1, 2),
    Flush(),
    Write(5, 5, fua=True),
    Kill(),
    Race(Write(0, 70_000), Write(512, 70_000)),
    Reopen(writable=False),
    Write(0, 5),
    Write(0, 0),
    Zeroes(0, 5),
    Reopen(via=Via.DIRECTORY),
    Read(0, 0),
    Reopen(via=Via.SYMLINK),
    Zeroes(0, SIZE),
)


def command_of(plugin):
    return (
        f"nbdkit -f -U {{socket}} {{readonly:-r}} {shlex.quote(str(plugin))} "
        "file={image} revision={revision}"
    )


@pytest.fixture(scope="module")
def second(plugin):
    with load_target(f"nbd:{command_of(plugin)}") as target:
        yield target


@pytest.mark.parametrize("revision", Revision)
@pytest.mark.parametrize("backing", [None, Backing(BackingKind.RAW, 70_000)])
def test_a_program_on_the_second_implementation(second, tmp_path, revision, backing):
    with Session(Disk(revision, SIZE, backing), second, directory=tmp_path) as session:
        session.run(PROGRAM)
    assert not session.skipped


def test_random_programs_on_the_second_implementation(second, tmp_path):
    for seed in range(20):
        rng, directory = seeded(seed), tmp_path / str(seed)
        directory.mkdir()
        disk = random_disk(rng, kinds=(BackingKind.RAW,))
        with Session(disk, second, directory=directory) as session:
            session.run([random_operation(rng, disk.size) for _ in range(10)])


def test_what_the_second_implementation_has_not(second, tmp_path):
    assert "backing-qcow2" not in second.abilities
    with pytest.raises(Unsupported):
        Session(Disk(backing=Backing(BackingKind.QCOW2, 10)), second, directory=tmp_path)


def test_a_program_on_our_own_server(tmp_path):
    words = (sys.executable, "-c", "from addcow_ref.cli._start import addcow_img; addcow_img()", "serve")
    name = f"nbd:{shlex.join(words)} --socket {{socket}} --revision {{revision}} {{readonly:-r}} {{image}}"
    disk = Disk(Revision.V6, SIZE, Backing(BackingKind.QCOW2, 70_000))
    with load_target(name) as target, Session(disk, target, directory=tmp_path) as session:
        session.run(PROGRAM)
    assert not session.skipped


def test_a_program_under_another(plugin, tmp_path):
    log = tmp_path / "log"
    # strace has to outlive SIGTERM, as its end would be taken for the program's.
    under = ("strace", "-f", "-A", "--interruptible=never", "-e", "trace=fdatasync", "-o", str(log))
    (tmp_path / "files").mkdir()
    with (
        load_target(f"nbd:{command_of(plugin)}", under=under) as target,
        Session(Disk(size=SIZE), target, directory=tmp_path / "files") as session,
    ):
        session.run([Write(0, 10), Reopen(), Kill()])
    assert "fdatasync" in log.read_text()


def test_a_script_does_the_same_again(second, tmp_path):
    second.transcript.start(lambda: [f"truncate -s {SIZE} {shlex.quote(str(tmp_path / 'disk.raw'))}"])
    try:
        disk = Disk(size=SIZE, fill=0)
        with Session(disk, second, directory=tmp_path, comparing=False) as session:
            session.run([*PROGRAM[:7], Reopen(), Write(100_000, 9)])
            session.kill()
        lines = second.transcript.lines
    finally:
        second.transcript.join(Transcript())
    before = {path.name: path.read_bytes() for path in tmp_path.glob("disk.*")}
    for name in before:
        (tmp_path / name).unlink()
    subprocess.run(["sh"], input="\n".join(lines), text=True, check=False, timeout=HANG)
    assert {path.name: path.read_bytes() for path in tmp_path.glob("disk.*")} == before


@pytest.mark.parametrize("form", ["raw", "qcow2"])
def test_who_serves_other_formats_is_no_target(form):
    with pytest.raises(CannotStart):
        load_target(f"nbd:qemu-nbd -f {form} -k {{socket}} {{readonly:-r}} {{image}}")


def test_depths_of_qemu(tmp_path):
    """A server that has depths; what it serves is no add-cow but in the trial."""
    base, top = tmp_path / "base.qcow2", tmp_path / "top.qcow2"
    run("qemu-img", "create", "-q", "-f", "qcow2", base, "512k")
    run("qemu-io", "-f", "qcow2", "-c", "write 64k 128k", "-c", "write -z 448k 64k", base)
    run("qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", base, top)
    run("qemu-io", "-f", "qcow2", "-c", "write 128k 128k", top)
    trial = f"case $1 in *tiny*) exec {shlex.join(SERVER)} $1 $2;; esac"
    script = f'{trial}; exec qemu-nbd -A -f qcow2 -k "$2" "$1"'
    with load_target(f"nbd:sh -c {shlex.quote(script)} sh {{image}} {{socket}}") as target:
        storage = FileStorage.open_path(os.fsencode(top))
        image = target.open_image(storage, writable=True, revision=Revision.V10)
        found = [(*extent,) for extent in image.extents()]
        image.close()
    k = 1024
    assert found == [
        (0, 64 * k, 0, False, True),
        (64 * k, 64 * k, 1, True, False),
        (128 * k, 128 * k, 0, True, False),
        (256 * k, 192 * k, 0, False, True),
        (448 * k, 64 * k, 1, True, True),
    ]
