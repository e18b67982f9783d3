"""Opening: arguments, revisions in doubt, profiles, and that nothing is changed or left behind."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

import pytest

from addcow_ref import create_image, open_image
from addcow_ref.storage import OpenFailed, OpenReason
from addcow_ref.testing import FaultPlan, FaultyStorage, Operation
from addcow_spec.errors import (
    BackingChainError,
    ImageInUse,
    InvalidImage,
    MalformedImage,
    StorageError,
    UnsupportedImage,
    UsageError,
)
from addcow_spec.geometry import Geometry
from addcow_spec.model import Revision
from addcow_spec.rules import Profile
from tests.conformance import by_hand
from tests.ref.qcow2_images import content as words
from tests.ref.scenes import CLUSTER

content = lru_cache(64)(words)
SIZE = 4 << 20


def descriptors():
    return len(os.listdir("/proc/self/fd"))


@pytest.fixture(autouse=True)
def nothing_left():
    before = descriptors()
    yield
    assert descriptors() == before


# -- what an image tells of itself


def test_image_tells_what_it_is(files, revision):
    size = 3 * CLUSTER + 512
    files.create(size, content(CLUSTER, 2), revision=revision)
    with files.open() as image:
        geometry = Geometry(revision, size)
        assert (image.path, image.image_path) == (files.path(), files.path(b"img"))
        assert (image.image_file, image.backing_file) == (b"img", b"base")
        assert (image.revision, image.size, image.units) == (revision, size, geometry.units)
        assert (image.unit_size, image.writable, image.notes) == (geometry.unit_size, True, ())
        assert image.header.revision is revision
        assert [info.path for info in image.chain] == [files.path(), files.path(b"base")]
        assert image.chain[0] == (files.path(), "add-cow", str(revision), size, files.path(b"img"))
    create_image(files.path(b"y"), b"img", revision=revision)
    with open_image(files.path(b"y"), revision=revision) as image:
        assert (image.backing_file, image.writable, len(image.chain)) == (None, False, 1)


@pytest.mark.parametrize("kind", [os.fsencode, os.fsdecode, lambda path: Path(os.fsdecode(path))])
def test_paths_of_every_type(files, kind):
    files.create(CLUSTER)
    with open_image(kind(files.path()), confine=kind(files.directory)) as image:
        assert image.path == files.path()


@pytest.mark.parametrize(
    "options",
    [{"cache_size": 4095}, {"cache_size": 0}, {"cache_size": -1}, {"writable": True, "lock": False}],
)
def test_arguments_that_make_no_sense(files, options):
    files.create(CLUSTER)
    with pytest.raises(UsageError):
        open_image(files.path(), **options)


def test_storage_for_reading_is_not_written(scene):
    scene.create(CLUSTER)
    storage = scene.storage(writable=False)
    with pytest.raises(UsageError):
        open_image(storage, writable=True)
    storage.close()


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (os.fsencode, OpenReason.ABSENT),
        (os.mkdir, OpenReason.IRREGULAR),
        (os.mkfifo, OpenReason.IRREGULAR),
        (lambda path: os.symlink(path, path), OpenReason.ABSENT),
        (lambda path: os.symlink(b"/dev/null", path), OpenReason.IRREGULAR),
    ],
)
def test_what_is_no_file(files, make, reason):
    make(files.path())
    with pytest.raises(OpenFailed) as refused:
        open_image(files.path())
    assert (refused.value.reason, refused.value.path) == (reason, files.path())


def test_confined_image(files, tmp_path):
    files.create(CLUSTER)
    (tmp_path / "in").mkdir()
    with pytest.raises(OpenFailed) as refused:
        open_image(files.path(), confine=tmp_path / "in")
    assert refused.value.reason is OpenReason.OUTSIDE
    inside = by_hand.v10(tmp_path / "in" / "x", image=b"../img", size=CLUSTER)
    with pytest.raises(BackingChainError) as outside:
        open_image(inside, confine=tmp_path / "in")
    assert outside.value.rule == "ACW-ENV-004"
    with open_image(inside, confine=tmp_path) as image:
        assert image.size == CLUSTER


# -- locks


def test_reader_without_a_lock_sees_a_writer_at_work(files):
    files.create(CLUSTER, content(CLUSTER, 2))
    with files.open() as writer, open_image(files.path(), lock=False) as reader:
        writer.write(0, b"new")
        writer.flush()
        assert reader.read(0, 3) == b"new"
        with pytest.raises(ImageInUse):
            files.open()


# -- revisions


def by_hand_old(tmp_path, revision, **options):
    return by_hand.old(tmp_path / "x", revision, size=SIZE, **options)


@pytest.mark.parametrize("revision", ["v4", "v6"])
def test_length_tells_the_revision(tmp_path, revision):
    path = by_hand.old(tmp_path / "x", revision, size=100 * 512)
    for writable in (False, True):
        with open_image(path, writable=writable) as image:
            assert str(image.revision) == revision
            assert image.notes == ()


# A file of zeros after the header: 492 bytes more are v6's reserved bytes or v4's bitmap.
DOUBTFUL = [
    ("v6", {"tail": b"\0" * 5 + b"\1"}),  # neither length fits
    ("v4", {"tail": bytes(492)}),  # both lengths fit
]


@pytest.mark.parametrize(("revision", "options"), DOUBTFUL)
def test_revision_in_doubt_is_a_note_for_readers_and_stops_writers(tmp_path, revision, options):
    path = by_hand_old(tmp_path, revision, **options)
    before = path.read_bytes()
    with open_image(path) as image:
        assert [note.rule for note in image.notes] == ["ACW-HDR-005"]
        assert image.revision is Revision.V6
        assert image.size == SIZE
    with pytest.raises(UnsupportedImage) as refused:
        open_image(path, writable=True)
    assert refused.value.rule == "ACW-HDR-005"
    for stated in (Revision.V4, Revision.V6):
        for writable in (False, True):
            with open_image(path, writable=writable, revision=stated) as image:
                assert image.revision is stated
                assert image.notes == ()
    assert path.read_bytes() == before


def test_content_tells_v4_where_v6_has_zeros(tmp_path):
    path = by_hand_old(tmp_path, "v4", bits=b"\xff")
    with open_image(path, writable=True) as image:
        assert image.revision is Revision.V4
        assert image.allocated_units() == 8


def test_content_of_v4_in_a_length_that_is_not(tmp_path):
    path = by_hand_old(tmp_path, "v4", bits=b"\xff", tail=b"\1")
    with open_image(path) as image:
        assert (image.revision, [note.rule for note in image.notes]) == (Revision.V4, ["ACW-HDR-005"])
    with pytest.raises(UnsupportedImage):
        open_image(path, writable=True)


@pytest.mark.parametrize("stated", [Revision.V4, Revision.V6])
def test_stated_revision_is_for_the_top_alone(files, stated):
    files.put(b"base", content(CLUSTER, 2))
    files.put(b"imgy", bytes(CLUSTER))
    create_image(files.path(b"y"), b"imgy", backing_file=b"base", backing_format="raw")
    files.put(b"img", bytes(CLUSTER))
    create_image(files.path(), b"img", backing_file=b"y", revision=stated)
    with open_image(files.path(), revision=stated) as image:
        assert [info.revision for info in image.chain] == [str(stated), "v10", ""]
        assert image.read(0, CLUSTER) == content(CLUSTER, 2)


# -- refused, with nothing changed


BROKEN_V10 = {
    "ACW-HDR-001": (MalformedImage, lambda data: data.__setitem__(slice(0, 1), b"X")),
    "ACW-HDR-002": (UnsupportedImage, lambda data: data.__setitem__(slice(8, 9), b"\x02")),
    "ACW-HDR-003": (MalformedImage, lambda data: data.__delitem__(slice(4095, None))),
    "ACW-NAM-001": (InvalidImage, lambda data: data.__setitem__(slice(22, 23), b"\x7f")),
    "ACW-NAM-006": (InvalidImage, lambda data: data.__setitem__(slice(20, 24), bytes(4))),
    "ACW-FEA-001": (InvalidImage, lambda data: data.__setitem__(slice(28, 29), b"\1")),
    "ACW-FEA-003": (InvalidImage, lambda data: data.__setitem__(slice(35, 36), b"\x80")),
    "ACW-BMP-001": (MalformedImage, lambda data: data.__delitem__(slice(4097, None))),
    "ACW-BMP-002": (InvalidImage, lambda data: data.__setitem__(slice(4097, 4098), b"\x04")),
}


@pytest.mark.parametrize("rule", list(BROKEN_V10))
def test_broken_image_is_refused_and_kept(tmp_path, rule):
    path = by_hand.v10(tmp_path / "x")
    kind, damage = BROKEN_V10[rule]
    data = bytearray(path.read_bytes())
    damage(data)
    path.write_bytes(data)
    before = path.read_bytes(), os.stat(path).st_mtime_ns, (tmp_path / "disk.raw").stat().st_mtime_ns
    for writable in (False, True):
        with pytest.raises(kind) as refused:
            open_image(path, writable=writable)
        assert refused.value.rule == rule
    assert (
        path.read_bytes(),
        os.stat(path).st_mtime_ns,
        (tmp_path / "disk.raw").stat().st_mtime_ns,
    ) == before


def test_as_written_opens_what_the_reviews_refuse(tmp_path):
    path = by_hand.v10(tmp_path / "x", bits=b"\xff\xff")
    with pytest.raises(InvalidImage):
        open_image(path)
    for writable in (False, True):
        with open_image(path, profile=Profile.AS_WRITTEN, writable=writable) as image:
            assert image.allocated_units() == 10
            assert image.size == 10 * CLUSTER
    path = by_hand.v10(tmp_path / "y", features=1 << 63)
    with open_image(path, profile=Profile.AS_WRITTEN) as image:
        assert [note.rule for note in image.notes] == ["ACW-FEA-003"]


@pytest.mark.parametrize("profile", Profile)
@pytest.mark.parametrize("stored", [SIZE - 512, SIZE + 512])
def test_size_that_differs_is_refused(tmp_path, profile, stored):
    path = by_hand.old(tmp_path / "x", "v6", size=SIZE, stored=stored, tail=bytes(1))
    for writable in (False, True):
        with pytest.raises(InvalidImage) as refused:
            open_image(path, profile=profile, writable=writable, revision=Revision.V6)
        assert refused.value.rule == "ACW-SIZ-006"


@pytest.mark.parametrize("operation", [Operation.READ, Operation.LENGTH, Operation.OPEN, Operation.LOCK])
def test_opening_that_fails_leaves_nothing_open(scene, operation):
    scene.create(CLUSTER, content(CLUSTER, 2), backing_format=None)
    for writable in (False, True):
        for after in range(20):
            plan = FaultPlan()
            fault = plan.arm(operation, after=after, times=1)
            storage = FaultyStorage(scene.storage(writable=writable), plan)
            try:
                image = open_image(storage, writable=writable)
            except (StorageError, BackingChainError):
                with scene.open():
                    pass
            else:
                assert fault.times
                image.close()
                break
        else:
            pytest.fail("it never came to an end")
        assert after


@pytest.mark.parametrize("cache_size", [4096, 8191, 1 << 20])
def test_cache_is_shared_by_the_layers(files, cache_size):
    files.put(b"base", content(CLUSTER, 2))
    for name, below in ((b"y", b"base"), (b"x", b"y")):
        files.put(b"img" + name, bytes(CLUSTER))
        create_image(files.path(name), b"img" + name, backing_file=below)
    with open_image(files.path(), cache_size=cache_size) as image:
        assert image.read(0, CLUSTER) == content(CLUSTER, 2)
        assert image._disk.cache_size == image._disk.backing._disk.cache_size == cache_size // 2


def test_closed_image_counts_nothing(scene):
    scene.create(CLUSTER)
    image = scene.open()
    image.close()
    with pytest.raises(UsageError):
        image.allocated_units()
    with pytest.raises(UsageError):
        image.extents()
