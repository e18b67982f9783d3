"""Taking leave of an add-cow file: what is proved, what is refused, what is removed."""

from __future__ import annotations

import os
import subprocess
from functools import lru_cache

import pytest

from addcow_ref import _finalize, finalize_image
from addcow_ref._image import Image
from addcow_ref.storage import OpenFailed
from addcow_spec.errors import BackingChainError, ImageInUse, StorageError, UnsupportedImage, UsageError
from addcow_spec.model import Revision
from tests.ref.qcow2_images import content as words
from tests.ref.scenes import CLUSTER, UNIT

content = lru_cache(64)(words)


def streamed(files, revision=Revision.V10, size=3 * CLUSTER, base=2 * CLUSTER):
    files.create(content(size, 3), content(base, 2), revision=revision)
    with files.open() as image:
        image.write(5, b"guest")
        assert image.stream()
    return files


@pytest.mark.parametrize("size", [0, CLUSTER, 3 * CLUSTER, 40 * CLUSTER])
def test_proof_changes_nothing(files, revision, size):
    streamed(files, revision, max(size, 512))
    with files.open() as image:
        image.resize(size)
    with files.unchanged(b"x", b"img", b"base"):
        assert finalize_image(files.path(), revision=revision) == files.path(b"img")


def test_removal_leaves_the_image_file_which_is_the_disk(files, revision):
    streamed(files, revision)
    want = bytearray(content(2 * CLUSTER, 2).ljust(3 * CLUSTER, b"\0"))
    want[5:10] = b"guest"
    with files.unchanged(b"img", b"base"):
        assert finalize_image(files.path(), remove=True, revision=revision) == files.path(b"img")
    assert sorted(os.listdir(files.directory)) == [b"base", b"img"]
    assert files.get(b"img") == want


@pytest.mark.parametrize("remove", [False, True])
@pytest.mark.parametrize("clear", [0, 1, 2])
def test_clear_bits_are_refused(files, revision, remove, clear):
    """Even one, and even where the image file holds the same bytes as the disk."""
    base = content(3 * UNIT[revision], 2)
    files.create(base, base, revision=revision)
    with files.open() as image:
        for unit in {0, 1, 2} - {clear}:
            image.write(unit * UNIT[revision], b"a")
    with files.unchanged(b"x", b"img", b"base"), pytest.raises(UsageError) as refused:
        finalize_image(files.path(), remove=remove, revision=revision)
    assert refused.value.rule == "ACW-BMP-004"


@pytest.mark.parametrize("relative", [False, True])
def test_symbolic_link_is_not_removed(files, relative):
    streamed(files)
    os.symlink(b"x" if relative else files.path(), files.path(b"link"))
    with files.unchanged(b"x", b"img"), pytest.raises(UsageError):
        finalize_image(files.path(b"link"), remove=True)
    assert os.path.islink(files.path(b"link"))
    assert finalize_image(files.path(b"link")).endswith(b"img")


def test_link_of_a_directory_on_the_way_is_followed(files):
    streamed(files)
    os.symlink(b".", files.path(b"here"))
    assert finalize_image(files.path(b"here/x"), remove=True) == files.path(b"here/img")
    assert not os.path.exists(files.path())


@pytest.mark.parametrize("remove", [False, True])
def test_image_in_use_is_refused(files, remove):
    streamed(files)
    with files.open(), pytest.raises(ImageInUse):
        finalize_image(files.path(), remove=remove)
    assert os.path.exists(files.path())


def test_reader_keeps_from_removal_alone(files):
    streamed(files)
    with files.open(writable=False):
        finalize_image(files.path())
        with pytest.raises(ImageInUse):
            finalize_image(files.path(), remove=True)
    assert os.path.exists(files.path())


def test_image_is_held_while_it_is_compared(files):
    streamed(files)
    told = []

    def progress(*state):
        told.append(state)
        with pytest.raises(ImageInUse):
            files.open()

    finalize_image(files.path(), progress=progress)
    assert told[-1] == (3 * CLUSTER, 3 * CLUSTER)
    assert told == sorted(told)


@pytest.mark.parametrize("at", [0, 9999, CLUSTER + 7, 2 * CLUSTER - 1])
def test_bytes_that_differ_are_seen(files, at, monkeypatch):
    """A disk that reads otherwise than its file alone: a storage that lies."""
    streamed(files)
    honest = Image.read

    def lying(image, offset, length):
        data = bytearray(honest(image, offset, length))
        if offset <= at < offset + length:
            data[at - offset] ^= 1
        return bytes(data)

    monkeypatch.setattr(Image, "read", lying)
    monkeypatch.setattr(_finalize, "_PIECE", 10000)
    for remove in (False, True):
        with files.unchanged(b"x", b"img"), pytest.raises(StorageError):
            finalize_image(files.path(), remove=remove)


@pytest.mark.parametrize("change", [-512, 512])
def test_length_that_changes_is_seen(files, change, monkeypatch):
    streamed(files)
    honest = _finalize.FileStorage.open_path

    def meanwhile(path, **options):
        if path.endswith(b"img"):
            os.truncate(path, 3 * CLUSTER + change)
        return honest(path, **options)

    monkeypatch.setattr(_finalize.FileStorage, "open_path", meanwhile)
    with pytest.raises(StorageError):
        finalize_image(files.path(), remove=True)
    assert os.path.exists(files.path())


def test_image_file_is_durable_before_removal(files, monkeypatch):
    streamed(files)
    done = []
    data, unlink, directory = os.fdatasync, os.unlink, os.fsync

    def traced(name, call):
        def run(what):
            if isinstance(what, int):
                done.append((name, os.path.basename(os.readlink(b"/proc/self/fd/%d" % what))))
            else:
                done.append((name, os.path.basename(what)))
            return call(what)

        return run

    for name, call in (("fdatasync", data), ("unlink", unlink), ("fsync", directory)):
        monkeypatch.setattr(os, name, traced(name, call))
    finalize_image(files.path(), remove=True)
    order = [done.index(("fdatasync", b"img")), done.index(("unlink", b"x"))]
    order.append(done.index(("fsync", os.path.basename(files.directory))))
    assert order == sorted(order)


def test_failing_removal_is_told(files, monkeypatch):
    streamed(files)

    def refuse(*_):
        raise PermissionError(1, "no")

    monkeypatch.setattr(os, "unlink", refuse)
    with pytest.raises(StorageError):
        finalize_image(files.path(), remove=True)


def test_missing_files_are_refused(files):
    with pytest.raises(OpenFailed):
        finalize_image(files.path())
    streamed(files)
    os.unlink(files.path(b"img"))
    with pytest.raises(BackingChainError) as refused:
        finalize_image(files.path(), remove=True)
    assert refused.value.rule == "ACW-ENV-001"
    assert os.path.exists(files.path())


def test_confined(files, tmp_path):
    streamed(files)
    inside = tmp_path / "inside"
    inside.mkdir()
    with pytest.raises(OpenFailed):
        finalize_image(files.path(), remove=True, confine=inside)
    assert finalize_image(files.path(), remove=True, confine=tmp_path)


def test_revision_in_doubt_must_be_stated_for_removal(files):
    files.create(0, revision=Revision.V6)
    with open(files.path(), "ab") as file:
        file.write(b"\1")
    assert finalize_image(files.path())
    with pytest.raises(UnsupportedImage) as refused:
        finalize_image(files.path(), remove=True)
    assert refused.value.rule == "ACW-HDR-005"
    assert finalize_image(files.path(), remove=True, revision=Revision.V6)


@pytest.mark.system
def test_qemu_sees_the_same_disk(files):
    streamed(files)
    with files.open(writable=False) as image:
        disk = image.read(0, image.size)
    raw = finalize_image(files.path(), remove=True)
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "raw", raw, files.path(b"out")], check=True)
    assert files.get(b"out") == disk
