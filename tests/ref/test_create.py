"""ACW-DYN-010: what create stores, what it refuses, and what it leaves behind: nothing."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

import pytest

from addcow_ref import FileStorage, create_image, open_image
from addcow_ref import _create as module
from addcow_ref.memory import MemoryFiles
from addcow_ref.storage import OpenFailed
from addcow_ref.testing import (
    FaultPlan,
    FaultyStorage,
    Operation,
    RecordingStorage,
    SyncEvent,
    TruncateEvent,
    WriteEvent,
)
from addcow_spec.codec import parse_header
from addcow_spec.errors import (
    BackingChainError,
    ImageError,
    ImageInUse,
    StorageError,
    UsageError,
)
from addcow_spec.geometry import Geometry
from addcow_spec.model import Features, Revision, Role
from tests.ref.qcow2_images import content as words
from tests.ref.scenes import CLUSTER

content = lru_cache(64)(words)
V10 = Revision.V10
OLD_REVISIONS = [Revision.V4, Revision.V6]


def names_of(files):
    return sorted(os.listdir(files.directory))


# -- the bytes


@pytest.mark.parametrize("size", [0, 512, CLUSTER, 9 * CLUSTER, 9 * CLUSTER + 512])
@pytest.mark.parametrize("base", [None, b"base"])
def test_bytes_of_a_new_image(scene, revision, size, base):
    scene.put(b"base", content(CLUSTER, 2))
    scene.put(b"img", content(size, 3))
    target = scene.memory.create(b"x") if scene.kind == "memory" else scene.path()
    with scene.unchanged(b"img", b"base"):
        create_image(target, b"img", backing_file=base, revision=revision)
    geometry = Geometry(revision, size)
    data = scene.get(b"x")
    assert len(data) == geometry.bitmap_end
    assert not any(data[geometry.bitmap_offset :])
    header = parse_header(data, revision)
    assert header.name(Role.IMAGE) == b"img"
    assert header.name(Role.BACKING) == base
    if revision is V10:
        assert header.features == (Features.BACKING_FILE if base else 0)
        assert data[36:4096].rstrip(b"\0") == b"img" + (base or b"")
    else:
        assert header.size == size
        assert data[12:1036] == (base or b"").ljust(1024, b"\0")
        assert data[1036:2060] == b"img".ljust(1024, b"\0")
        assert not any(data[2068 : geometry.bitmap_offset])


def test_raw_backing_format_is_the_flag(scene):
    scene.create(CLUSTER, content(CLUSTER, 2), backing_format="raw")
    both = Features.BACKING_FILE | Features.BACKING_FORMAT_NO_PROBE
    assert parse_header(scene.get(b"x"), V10).features == both


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({"backing_format": "raw"}, ""),
        ({"backing_format": "qcow2", "backing_file": b"base"}, ""),
        ({"backing_format": "", "backing_file": b"base"}, ""),
        ({"backing_format": "raw", "backing_file": b"base", "revision": Revision.V4}, ""),
        ({"backing_format": "raw", "backing_file": b"base", "revision": Revision.V6}, ""),
        ({"image_file": b""}, "ACW-NAM-006"),
        ({"backing_file": b""}, "ACW-NAM-005"),
        ({"image_file": b"im\0g"}, "ACW-NAM-007"),
        ({"backing_file": b"ba\0se"}, "ACW-NAM-007"),
    ],
)
def test_arguments_that_make_no_sense(scene, options, rule):
    scene.put(b"img", bytes(CLUSTER))
    scene.put(b"base", bytes(CLUSTER))
    target = scene.memory.create(b"x") if scene.kind == "memory" else scene.path()
    with pytest.raises(UsageError) as refused:
        create_image(target, **{"image_file": b"img", **options})
    assert refused.value.rule == rule
    if scene.kind == "files":
        assert names_of(scene) == [b"base", b"img"]
    else:
        assert scene.get(b"x") == b""


@pytest.mark.parametrize("target", [b"x\0y", b"a\0b/x", "x\0"])
def test_path_with_a_nul_is_refused(files, target):
    files.put(b"img", bytes(CLUSTER))
    target = os.path.join(files.directory, os.fsencode(target))
    with pytest.raises(UsageError):
        create_image(target, b"img")
    assert names_of(files) == [b"img"]


@pytest.mark.parametrize("kind", [os.fsencode, os.fsdecode, lambda path: Path(os.fsdecode(path))])
def test_paths_of_every_type(files, kind):
    files.put(b"img", bytes(CLUSTER))
    files.put(b"base", content(CLUSTER, 2))
    create_image(kind(files.path()), kind(b"img"), backing_file=kind(b"base"), confine=kind(files.directory))
    with open_image(kind(files.path()), confine=kind(files.directory)) as image:
        assert image.read(0, CLUSTER) == content(CLUSTER, 2)
        assert (image.image_file, image.backing_file) == (b"img", b"base")


# -- what is refused, and what is left


@pytest.mark.parametrize("revision", OLD_REVISIONS, ids=str)
@pytest.mark.parametrize("size", [1, 511, CLUSTER + 1])
def test_old_revisions_want_whole_sectors(files, revision, size):
    files.put(b"img", bytes(size))
    with pytest.raises(UsageError) as refused:
        create_image(files.path(), b"img", revision=revision)
    assert refused.value.rule == "ACW-SIZ-007"
    assert names_of(files) == [b"img"]


@pytest.mark.parametrize("target", [b"absent/x", b"img/x", b""])
def test_place_that_is_none_is_a_storage_error(files, target, monkeypatch):
    files.put(b"img", bytes(CLUSTER))
    monkeypatch.chdir(os.fsdecode(files.directory))
    with pytest.raises(StorageError):
        create_image(target, b"img")
    assert names_of(files) == [b"img"]


@pytest.mark.parametrize("what", ["file", "link", "dangling", "directory"])
def test_what_is_there_stays(files, what):
    files.put(b"img", bytes(CLUSTER))
    files.put(b"other", b"other")
    if what == "directory":
        os.mkdir(files.path())
    elif what == "file":
        files.put(b"x", b"")
    else:
        os.symlink(b"other" if what == "link" else b"absent", files.path())
    before = names_of(files), os.lstat(files.path())
    with pytest.raises(UsageError) as refused:
        create_image(files.path(), b"img")
    assert refused.value.rule == "ACW-DYN-010"
    assert (names_of(files), os.lstat(files.path())) == before


def test_overwriting_replaces_a_link_and_not_its_target(files):
    files.put(b"img", bytes(CLUSTER))
    files.put(b"other", b"other")
    os.symlink(b"other", files.path())
    create_image(files.path(), b"img", overwrite=True)
    assert files.get(b"other") == b"other"
    assert not os.path.islink(files.path())
    os.mkdir(files.path(b"directory"))
    with pytest.raises(StorageError):
        create_image(files.path(b"directory"), b"img", overwrite=True)
    assert names_of(files) == [b"directory", b"img", b"other", b"x"]


def test_file_that_comes_meanwhile_is_kept(files, monkeypatch):
    files.put(b"img", bytes(CLUSTER))
    honest = module.check_chain

    def meanwhile(*arguments):
        files.put(b"x", b"somebody else's")
        return honest(*arguments)

    monkeypatch.setattr(module, "check_chain", meanwhile)
    with pytest.raises(UsageError) as refused:
        create_image(files.path(), b"img")
    assert refused.value.rule == "ACW-DYN-010"
    assert files.get(b"x") == b"somebody else's"
    assert names_of(files) == [b"img", b"x"]


def test_image_file_in_use_is_refused(files):
    files.create(CLUSTER)
    with files.open(), pytest.raises(ImageInUse):
        create_image(files.path(b"y"), b"img")
    assert names_of(files) == [b"img", b"x"]


@pytest.mark.parametrize("role", ["image_file", "backing_file"])
def test_confined_names(files, role):
    os.mkdir(files.path(b"in"))
    files.put(b"in/img", bytes(CLUSTER))
    files.put(b"img", bytes(CLUSTER))
    with pytest.raises(BackingChainError) as refused:
        create_image(
            files.path(b"in/x"), **{"image_file": b"img", role: b"../img"}, confine=files.path(b"in")
        )
    assert refused.value.rule == "ACW-ENV-004"
    assert os.listdir(files.path(b"in")) == [b"img"]


def test_one_file_cannot_have_two_parts(files):
    files.put(b"img", bytes(CLUSTER))
    with pytest.raises(BackingChainError) as refused:
        create_image(files.path(), b"img", backing_file=b"./img", backing_format="raw")
    assert refused.value.rule == "ACW-CHN-001"
    assert names_of(files) == [b"img"]


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_permissions_are_the_umasks(files, umask):
    files.put(b"img", bytes(CLUSTER))
    before = os.umask(umask)
    try:
        create_image(files.path(), b"img")
    finally:
        os.umask(before)
    assert os.stat(files.path()).st_mode & 0o777 == 0o666 & ~umask


CALLS = [(os, "ftruncate"), (os, "pwritev"), (os, "fdatasync"), (os, "link"), (os, "open"), (os, "rename")]


@pytest.mark.parametrize("overwrite", [False, True])
def test_failing_steps_leave_nothing(files, overwrite, monkeypatch):
    """The n-th call of each kind fails. No new file, no descriptor, what was there before is as it was."""
    files.put(b"img", bytes(CLUSTER))
    if overwrite:
        files.put(b"x", b"old")
    before = names_of(files)
    descriptors = len(os.listdir("/proc/self/fd"))
    failures = 0
    for place, name in CALLS:
        honest = getattr(place, name)
        for after in range(20):
            left = [after]

            def failing(*arguments, honest=honest, left=left, **options):
                left[0] -= 1
                if left[0] == -1:
                    raise OSError(5, "no")
                return honest(*arguments, **options)

            monkeypatch.setattr(place, name, failing)
            try:
                create_image(files.path(), b"img", overwrite=overwrite)
            except (StorageError, ImageError):
                made = False
            else:
                made = True
            monkeypatch.setattr(place, name, honest)
            assert len(os.listdir("/proc/self/fd")) == descriptors
            if made:
                assert left[0] >= 0
                files.put(b"x", b"old") if overwrite else os.unlink(files.path())
                break
            failures += 1
            if name == "open" and os.path.exists(files.path()) and files.get(b"x") != b"old":
                with open_image(files.path()) as image:  # all but its name's durability
                    assert image.size == CLUSTER
                files.put(b"x", b"old") if overwrite else os.unlink(files.path())
            assert names_of(files) == before
            assert not overwrite or files.get(b"x") == b"old"
        else:
            pytest.fail("it never came to an end")
    assert failures >= 8


def test_draft_that_cannot_be_adopted_is_removed(files, monkeypatch):
    files.put(b"img", bytes(CLUSTER))

    def refuse(descriptor, path, **_):
        os.close(descriptor)
        raise OpenFailed("no", reason="unreadable", path=path)

    monkeypatch.setattr(FileStorage, "adopt", refuse)
    with pytest.raises(OpenFailed):
        create_image(files.path(), b"img")
    assert names_of(files) == [b"img"]


# -- storages


def test_storage_must_be_empty(scene):
    scene.create(CLUSTER)
    target = scene.storage()
    with scene.unchanged(b"x"), pytest.raises(UsageError) as refused:
        create_image(target, b"img", overwrite=True)
    assert refused.value.rule == "ACW-DYN-010"
    target.close()


def test_storage_stays_open_and_the_callers():
    memory = MemoryFiles({b"img": bytes(CLUSTER)})
    target = memory.create(b"x")
    create_image(target, b"img")
    with open_image(target, writable=True) as image:
        image.write(0, b"a")


@pytest.mark.parametrize("operation", [Operation.TRUNCATE, Operation.WRITE, Operation.SYNC, Operation.READ])
def test_storage_is_empty_again_after_a_failure(operation):
    for after in range(20):
        memory = MemoryFiles({b"img": bytes(CLUSTER), b"base": bytes(9)})
        plan = FaultPlan()
        fault = plan.arm(operation, after=after, times=1, partial=3)
        target = FaultyStorage(memory.create(b"x"), plan)
        try:
            create_image(target, b"img", backing_file=b"base")
        except StorageError:
            assert memory.contents(b"x") == b""
            create_image(target, b"img", backing_file=b"base")
        else:
            assert fault.times
            break
        with open_image(memory.open(b"x")) as image:
            assert image.size == CLUSTER
    else:
        pytest.fail("it never came to an end")
    assert after


def test_storage_is_empty_again_after_a_refusal():
    memory = MemoryFiles({b"img": bytes(CLUSTER)})
    target = memory.create(b"x")
    with pytest.raises(BackingChainError):
        create_image(target, b"img", backing_file=b"absent")
    assert memory.contents(b"x") == b""


def test_bitmap_is_durable_before_the_header(revision):
    """A file that has a header is complete, whenever power fails."""
    memory = MemoryFiles({b"img": bytes(9 * CLUSTER)})
    log = []
    target = RecordingStorage(memory.create(b"x"), log)
    create_image(target, b"img", revision=revision)
    x = target.identity
    end = Geometry(revision, 9 * CLUSTER).bitmap_end
    assert log[:2] == [TruncateEvent(x, end), SyncEvent(x)]
    assert isinstance(log[2], WriteEvent)
    assert (log[2].file, log[2].offset) == (x, 0)
    assert log[3:] == [SyncEvent(x)]


def test_name_comes_after_the_content_is_durable(files, monkeypatch):
    files.put(b"img", bytes(CLUSTER))
    done = []

    def traced(name, honest):
        def run(*arguments, **options):
            done.append(name)
            return honest(*arguments, **options)

        return run

    for name in ("pwritev", "fdatasync", "link", "rename", "fsync"):
        monkeypatch.setattr(os, name, traced(name, getattr(os, name)))
    create_image(files.path(), b"img")
    assert done == ["fdatasync", "pwritev", "fdatasync", "link", "fsync"]
    done.clear()
    create_image(files.path(), b"img", overwrite=True)
    assert done == ["fdatasync", "pwritev", "fdatasync", "rename", "fsync"]
