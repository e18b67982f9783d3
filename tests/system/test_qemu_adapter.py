"""The qemu: adapter on the real qemu-img and qemu-io, which have no add-cow: on qcow2 and raw."""

from __future__ import annotations

import os
import subprocess

import pytest

from addcow_conformance.targets import load_target
from addcow_ref import FileStorage
from addcow_spec.errors import InvalidImage, StorageError, UsageError
from addcow_spec.model import Revision

pytestmark = pytest.mark.system

SIZE, BELOW = 3 * 65536 + 512, 100_352


def storage(path):
    return FileStorage.open_path(os.fsencode(path))


@pytest.fixture(params=["qcow2", "raw"])
def target(request):
    with load_target(f"qemu:--format {request.param}") as found:
        # What it is tried with at the start is an add-cow file, which is refused; this is what it then sees.
        found.letters = found.letters._replace(write=frozenset("Ppfzus"), truncate=True)
        yield found


@pytest.fixture
def disk(target, tmp_path):
    below = bytes(range(256)) * (BELOW // 256)
    (tmp_path / "base.raw").write_bytes(below)
    path = tmp_path / "a disk"
    backing = ["-b", "base.raw", "-F", "raw"] if target._options.format == "qcow2" else []
    command = ["qemu-img", "create", "-q", "-f", target._options.format, *backing, str(path), str(SIZE)]
    subprocess.run(command, check=True, cwd=tmp_path)
    return path, bytearray((below if backing else b"").ljust(SIZE, b"\0"))


def opened(target, path, *, writable=True):
    return target.open_image(storage(path), writable=writable, revision=Revision.V10)


def test_what_help_tells(target):
    assert target.about.name == "qemu-img"
    assert target.about.version
    assert {"extents", "directory", "create"} <= target.abilities
    assert "stream" not in target.abilities


def test_letters_of_the_real_qemu_io(target, disk):
    image = opened(target, disk[0])
    letters = image._io.letters()
    image.close()
    assert {*"Pszuf"} <= letters.write
    assert letters.truncate


@pytest.mark.parametrize("letters", ["P", "Ppfzus"])
def test_reads_and_writes(target, disk, letters):
    path, expected = disk
    target.letters = target.letters._replace(write=frozenset(letters))
    image = opened(target, path)
    assert image.size == SIZE
    assert image.read(0, SIZE) == expected
    for offset, data in (
        (1, b"\xff"),
        (65_530, bytes(range(256))),
        (SIZE - 3, b"end"),
        (7, b""),
        (600, b"a" * 9),
    ):
        image.write(offset, data, fua=True)
        expected[offset : offset + len(data)] = data
        assert image.read(0, SIZE) == expected
    image.close()
    image = opened(target, path, writable=False)
    assert image.read(65_000, 1000) == expected[65_000:66_000]
    image.close()


def test_zeroes_and_sizes(target, disk):
    path, expected = disk
    image = opened(target, path)
    image.write(0, b"x" * 70_000)
    image.write_zeroes(100, 69_000, fua=True)
    expected[:70_000] = b"x" * 100 + bytes(69_000) + b"x" * 900
    image.flush()
    for size in (66_048, 262_144):
        image.resize(size)
        expected[:] = expected[:size].ljust(size, b"\0")
        assert image.read(0, size) == expected
    image.close()
    image = opened(target, path)
    assert image.size == 262_144
    image.close()


def test_what_is_refused_and_what_is_an_error(target, disk):
    path, _ = disk
    image = opened(target, path)
    for wrong in (
        lambda: image.read(SIZE, 512),
        lambda: image.write(SIZE - 1, b"ab"),
        lambda: image.resize(-1),
    ):
        with pytest.raises(UsageError):
            wrong()
    image.close()
    image = opened(target, path, writable=False)
    for wrong in (lambda: image.write(0, b"x"), lambda: image.write_zeroes(0, 1), lambda: image.resize(512)):
        with pytest.raises(UsageError):
            wrong()
    image.size = 2 * SIZE
    with pytest.raises(StorageError):
        image.read(SIZE, 512)
    image.close()
    path.unlink()
    path.touch()
    if target._options.format == "qcow2":
        with pytest.raises(InvalidImage):
            opened(target, path)


def test_extents(target, disk):
    path, _ = disk
    image = opened(target, path)
    list(image.extents())
    image.write(65_536, b"x")
    found = list(image.extents())
    assert [(extent.start, extent.length) for extent in found][-1][0] < SIZE
    assert sum(extent.length for extent in found) == SIZE
    here = {extent.start for extent in found if extent.present and extent.depth == 0}
    if target._options.format == "qcow2":
        assert here == {65_536}
        assert [extent.depth for extent in found if extent.start == 0] == [1]
    image.close()


def test_a_kill_and_an_owner_that_forgot(target, disk):
    path, expected = disk
    image = opened(target, path)
    image.write(0, b"flushed")
    image.flush()
    image.kill()
    left = opened(target, path)
    image = opened(target, path)
    assert left._io._child._process.returncode < 0
    assert image.read(0, 10) == b"flushed" + expected[7:10]
    image.close()


def test_who_knows_no_add_cow_refuses_to_create(tmp_path):
    (tmp_path / "disk.raw").write_bytes(bytes(512))
    path = tmp_path / "disk.add-cow"
    path.touch()
    with load_target("qemu:") as target, pytest.raises(UsageError):
        target.create_image(
            storage(path), b"disk.raw", backing_file=None, backing_format=None, revision=Revision.V10
        )


def test_strace_sees_what_it_does(disk, target, tmp_path):
    name = f"qemu:--format {target._options.format}"
    log = tmp_path / "log"
    with load_target(name, under=["strace", "-f", "-qq", "-A", "-o", str(log)]) as traced:
        image = opened(traced, disk[0])
        image.write(0, b"a" * 512)
        image.flush()
        image.close()
    text = log.read_text()
    assert "pwrite" in text
    assert "sync" in text
