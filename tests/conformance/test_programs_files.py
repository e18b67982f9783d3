"""Backing files of programs, made without the engine: QEMU and the checker read the same of them."""

from __future__ import annotations

import json
import os
import subprocess

import pytest

import addcow_ref
from addcow_conformance.checker import CheckOptions, Verdict, check_image
from addcow_conformance.programs import IMAGE, RAW, Backing, BackingKind, Disk, Session, Via, check_memory
from addcow_conformance.programs._backing import LARGEST_QCOW2, make_backing
from addcow_conformance.programs._files import DirectoryFiles, InMemoryFiles
from addcow_ref import open_layer
from addcow_ref.memory import MemoryFiles, MemoryStorage
from addcow_spec.errors import UsageError
from addcow_spec.model import Revision
from addcow_spec.rules import Severity

MIB = 1 << 20
SIZES = [0, 1, 511, 4096, 70_000, 2 * MIB]


def placed(made, directory):
    for name, data in made.files.items():
        (directory / name.decode()).write_bytes(data)
    return directory / made.name.decode()


def qemu_img(*command):
    return subprocess.run(["qemu-img", *map(os.fspath, command)], check=True, capture_output=True).stdout


@pytest.mark.parametrize("kind", BackingKind)
@pytest.mark.parametrize("size", SIZES)
def test_backing_has_data_and_zeros(kind, size):
    made = make_backing(Backing(kind, size))
    assert len(made.data) == size
    assert make_backing(Backing(kind, size)) == made
    if size > 32 << 10:
        assert bytes(4096) in made.data
        assert made.data[:4096].count(0) == 0


@pytest.mark.system
@pytest.mark.parametrize("size", SIZES)
def test_qemu_reads_the_data_of_the_qcow2_file(size, tmp_path):
    made = make_backing(Backing(BackingKind.QCOW2, size))
    path = placed(made, tmp_path)
    report = json.loads(qemu_img("check", "--output=json", "-f", "qcow2", path))
    assert {name for name in ("corruptions", "leaks", "check-errors") if report.get(name)} == set()
    qemu_img("convert", "-f", "qcow2", "-O", "raw", path, tmp_path / "raw")
    # QEMU sees whole sectors of a qcow2 file, and makes none of another size.
    assert (tmp_path / "raw").read_bytes() == made.data[: size // 512 * 512]


@pytest.mark.system
@pytest.mark.parametrize("size", [4096, 70_000, 2 * MIB])
def test_qemu_finds_the_clusters_where_the_layers_say(size, tmp_path):
    made = make_backing(Backing(BackingKind.QCOW2, size))
    extents = json.loads(qemu_img("map", "--output=json", "-f", "qcow2", placed(made, tmp_path)))
    for extent in extents:
        end = min(extent["start"] + extent["length"], size)
        assert made.depths(extent["start"], end) == {int(extent["present"])}
    assert size < MIB or {extent["present"] for extent in extents} == {True, False}


@pytest.mark.parametrize("kind", BackingKind)
@pytest.mark.parametrize("size", SIZES)
def test_engine_reads_the_data_and_finds_the_layers(kind, size):
    made = make_backing(Backing(kind, size))
    memory = MemoryFiles(made.files)
    layer = open_layer(memory.open(made.name), format=None if kind is not BackingKind.RAW else "raw")
    data = bytearray(size)
    layer.read_into(0, data)
    assert bytes(data) == made.data
    for extent in layer.extents(0, size):
        depth = extent.depth + 1 if extent.present else 0
        assert made.depths(extent.start, extent.start + extent.length) == {depth}
    assert made.depths(size, size + 1) == {0}


@pytest.mark.parametrize("size", SIZES)
def test_checker_finds_the_chain_sound(size, tmp_path):
    made = make_backing(Backing(BackingKind.CHAIN, size))
    path = os.fsencode(placed(made, tmp_path))
    report = check_image(path, CheckOptions(revision=Revision.V10))
    assert not report.problem
    odd = size % 512 or size * 3 // 4 % 512
    found = {found.rule for found in report.findings if report.severity(found) is not Severity.NOTE}
    assert found <= ({"ACW-SIZ-004"} if odd else set())
    assert report.verdict is not Verdict.INVALID
    assert report.bitmap.set_units == -(-report.bitmap.units // 2)


def test_qcow2_file_is_of_one_table():
    make_backing(Backing(BackingKind.QCOW2, LARGEST_QCOW2))
    with pytest.raises(UsageError):
        make_backing(Backing(BackingKind.QCOW2, LARGEST_QCOW2 + 1))


# -- where the files lie


@pytest.fixture(params=["memory", "directory"])
def files(request, tmp_path):
    return InMemoryFiles() if request.param == "memory" else DirectoryFiles(str(tmp_path))


@pytest.mark.parametrize("via", Via)
def test_image_is_the_same_file_whatever_way_it_is_opened(files, via):
    with_image, raw = files.create(IMAGE, b"one"), files.create(RAW)
    identity = with_image.identity
    with_image.close()
    raw.close()
    before = os.getcwd()
    opened = files.open(IMAGE, writable=True, via=via)
    assert os.getcwd() == before
    assert (opened.identity, opened.writable) == (identity, True)
    opened.write(0, b"two")
    opened.close()
    assert files.get(IMAGE) == b"two"
    assert not files.open(IMAGE, writable=False, via=via).writable


def test_opened_image_finds_the_files_beside_it(tmp_path):
    files = DirectoryFiles(os.fsencode(tmp_path))
    files.create(IMAGE).close()
    files.create(RAW, b"raw").close()
    for via in Via:
        beside = files.open(IMAGE, writable=False, via=via).open(RAW)
        assert beside.length() == 3


def test_check_of_files_is_that_of_the_checker(files):
    files.create(IMAGE, b"no image").close()
    report = files.check(Revision.V10)
    assert [found.rule for found in report.findings] or report.problem
    if isinstance(files, InMemoryFiles):
        assert check_memory(files.memory, Revision.V10) == report


@pytest.mark.parametrize("kind", [None, *BackingKind])
@pytest.mark.parametrize("revision", Revision, ids=str)
def test_checker_reads_nothing_of_the_image_file(revision, kind, monkeypatch):
    # A session counts on it, where it does not check the same bits again.
    read = set()
    with Session(Disk(revision, 70_144, Backing(kind, 4096) if kind else None), addcow_ref) as session:
        for name in ("read_into", "next_data", "next_hole"):
            real = getattr(MemoryStorage, name)
            monkeypatch.setattr(
                MemoryStorage, name, lambda *call, real=real: (read.add(call[0].path), real(*call))[1]
            )
        assert not session.files.check(revision).problem
    assert IMAGE in read
    assert RAW not in read
