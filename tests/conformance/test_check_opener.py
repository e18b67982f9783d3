"""check_image through another opener: the same report of files in memory as of files on a disk."""

from __future__ import annotations

import errno
import os
import posixpath
from pathlib import Path

import pytest

from addcow_conformance.checker import (
    CheckOptions,
    Identity,
    OpenFailed,
    OpenFile,
    Refusal,
    Verdict,
    check_image,
)
from addcow_conformance.programs import IMAGE, RAW, check_memory
from addcow_conformance.suite import Directory, HardLink, RegularFile, load_vectors, materialize
from addcow_ref import create_image
from addcow_ref.memory import MemoryFiles
from addcow_spec.errors import StorageError
from addcow_spec.model import Revision
from addcow_spec.rules import Profile

PLAIN = (RegularFile, HardLink, Directory)


def fits(vector):
    """Whether its files can be in memory: no symbolic links, no pipes, and no devices of the system."""
    sizes = sum(entry.size for entry in vector.files if isinstance(entry, RegularFile))
    plain = all(isinstance(entry, PLAIN) for entry in vector.files) and not vector.confine
    return plain and sizes < 4 << 20 and vector.rule != "ACW-ENV-003"


FITTING = [
    vector for vector in load_vectors(Path(__file__).parents[2] / "corpora" / "vectors") if fits(vector)
]
# All where files are named or missing, and a fifth of the others.
NAMING = ("ACW-ENV", "ACW-NAM", "ACW-CHN")
VECTORS = [vector for at, vector in enumerate(FITTING) if at % 5 == 0 or vector.rule.startswith(NAMING)]


class MemoryFile(OpenFile):
    """Bytes in memory, as the checker reads files."""

    def __init__(self, path, number, data):
        super().__init__(-1, path, Identity(-2, number), len(data))
        self.data = data
        self.closed = 0

    def __exit__(self, *_):
        self.closed += 1

    def read(self, offset, size):
        return self.data[offset : offset + max(size, 0)]

    def read_into(self, buffer, offset):
        buffer[:] = self.data[offset : offset + len(buffer)]

    def next_data(self, offset, end):
        return min(offset, end)


class Opener:
    """Opens files that were read from a directory before."""

    def __init__(self, cwd):
        self.cwd = cwd
        self.files = {}
        self.directories = set()
        for directory, _, names in os.walk(os.path.join(cwd, b"..")):
            self.directories.add(os.path.realpath(directory))
            for name in names:
                path = os.path.realpath(os.path.join(directory, name))
                with open(path, "rb") as file:
                    self.files[path] = os.stat(path).st_ino, file.read()
        self.opened = []

    def __call__(self, path, *, confine, allow_block_devices):
        assert confine is None
        assert not allow_block_devices
        where = posixpath.normpath(os.path.join(self.cwd, path))
        if where in self.directories:
            raise OpenFailed(Refusal.IRREGULAR, "it is a directory")
        if where not in self.files or path.endswith(b"/"):
            raise OpenFailed(Refusal.ABSENT, os.strerror(self.reason(where)))
        self.opened.append(MemoryFile(path, *self.files[where]))
        return self.opened[-1]

    def reason(self, where):
        if any(len(part) > 255 for part in where.split(b"/")):
            return errno.ENAMETOOLONG
        return errno.ENOTDIR if {where, posixpath.dirname(where)} & self.files.keys() else errno.ENOENT


@pytest.mark.parametrize("profile", Profile)
@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector.id)
def test_memory_gives_the_report_of_the_disk(vector, profile, tmp_path, monkeypatch):
    root = tmp_path / "root"
    root.mkdir()
    scene = materialize(vector, root)
    monkeypatch.chdir(os.fsdecode(scene.cwd))
    options = CheckOptions(profile=profile, revision=scene.take_as)
    on_disk = check_image(scene.image, options)
    opener = Opener(os.path.realpath(scene.cwd))
    in_memory = check_image(scene.image, options, opener=opener)
    assert in_memory == on_disk
    assert [file.closed for file in opener.opened] == [1] * len(opener.opened)


def test_sample_has_files_that_are_missing():
    assert len(VECTORS) > 150
    assert any("ACW-ENV-001" in vector.labels[Profile.REVIEWED].findings for vector in VECTORS)


# -- the checker beside sessions


@pytest.fixture
def memory():
    files = MemoryFiles({RAW: b"\xdd" * (1 << 17), b"base": b"\x01" * (1 << 17)})
    with_image = files.create(IMAGE)
    create_image(with_image, RAW, backing_file=b"base", backing_format="raw")
    with_image.close()
    return files


def rules(report):
    assert not report.problem
    return sorted(found.rule for found in report.findings)


def on_disk(memory, directory, names=(IMAGE, RAW, b"base")):
    for name in names:
        (directory / name.decode()).write_bytes(memory.contents(name))
    return check_image(os.fsencode(directory / IMAGE.decode()), CheckOptions(revision=Revision.V10))


def test_sound_image_in_memory_is_as_sound_as_on_disk(memory, tmp_path):
    report = check_memory(memory, Revision.V10)
    assert rules(report) == rules(on_disk(memory, tmp_path))
    assert report.verdict is Verdict.VALID


@pytest.mark.parametrize(
    ("name", "offset", "data"),
    [
        (IMAGE, 0, b"X"),
        (IMAGE, 4096, b"\xff"),
        (IMAGE, 5000, b"\1"),
        (IMAGE, 36, b"\xff\xff"),
        (RAW, 1 << 20, b"x"),
    ],
)
def test_broken_image_in_memory_is_as_broken_as_on_disk(memory, tmp_path, name, offset, data):
    memory.open(name, writable=True).write(offset, data)
    report = check_memory(memory, Revision.V10)
    assert rules(report) == rules(on_disk(memory, tmp_path))
    assert report.verdict is not Verdict.VALID


def test_file_that_is_missing_in_memory_is_missing(tmp_path):
    memory = MemoryFiles({RAW: bytes(512), b"base": bytes(512)})
    create_image(memory.create(IMAGE), RAW, backing_file=b"base", backing_format="raw")
    alone = MemoryFiles({IMAGE: memory.contents(IMAGE)})
    found = rules(check_memory(alone, Revision.V10))
    assert found == rules(on_disk(memory, tmp_path, [IMAGE]))
    assert found == ["ACW-ENV-001", "ACW-ENV-002"]
    assert check_memory(MemoryFiles(), Revision.V10).problem


def test_opener_that_fails_makes_the_verdict_unknown():
    def opener(path, **_):
        raise StorageError(f"{path!r}: no")

    report = check_image(b"x", opener=opener)
    assert report.problem
    assert report.verdict is Verdict.UNKNOWN
