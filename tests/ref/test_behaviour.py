"""The dynamic rules, ACW-DYN-001 to -014, each on real files and in memory."""

from __future__ import annotations

import os
import threading

import pytest

from addcow_ref import create_image, open_image
from addcow_spec.errors import BackingChainError, ImageInUse, UsageError
from addcow_spec.model import Revision
from tests.ref.scenes import CLUSTER, SECTOR, UNIT, noise

OLD = noise(5 * CLUSTER, 7)
V10 = Revision.V10


# -- ACW-DYN-001: reads follow the bitmap


@pytest.mark.parametrize("length", [0, 1, 1000, CLUSTER, 3 * CLUSTER + 9, 9 * CLUSTER])
def test_clear_units_read_from_backing_and_zeros_beyond_it(scene, revision, length):
    base = noise(length)
    scene.create(OLD, base, revision=revision)
    with scene.open(writable=False) as image:
        assert image.read(0, image.size) == base[: len(OLD)].ljust(len(OLD), b"\0")


def test_clear_units_without_backing_are_zeros_whatever_the_image_file_holds(scene, revision):
    scene.create(OLD, revision=revision)
    with scene.open(writable=False) as image:
        buffer = bytearray(b"\xff" * 3000)
        image.read_into(CLUSTER - 1000, buffer)
        assert buffer == bytes(3000)


def test_read_across_set_and_clear_units_takes_each_from_its_own_file(scene, revision):
    base = noise(len(OLD), 3)
    scene.create(OLD, base, revision=revision)
    unit = UNIT[revision]
    with scene.open() as image:
        image.write(2 * unit, b"\xee" * unit)
        want = base[unit + 1 : 2 * unit] + b"\xee" * unit + base[3 * unit : 4 * unit - 1]
        assert image.read(unit + 1, 3 * unit - 2) == want


# -- ACW-DYN-002: writes set their bits and no other


@pytest.mark.parametrize(
    ("offset", "length"),
    [
        (0, 1),
        (0, 0),
        (CLUSTER, 0),
        (65000, 4096),
        (CLUSTER - 1, 1),
        (CLUSTER - 1, 2),
        (0, CLUSTER),
        (CLUSTER, CLUSTER + 1),
        (0, 5 * CLUSTER),
    ],
)
def test_write_sets_exactly_the_bits_of_its_units(scene, revision, offset, length):
    scene.create(OLD, noise(len(OLD)), revision=revision)
    unit = UNIT[revision]
    with scene.open() as image:
        image.write(offset, bytes(length))
        want = set(range(offset // unit, -(-(offset + length) // unit))) if length else set()
        assert image.allocated_units() == len(want)
        image.flush()
        assert scene.bits() == want


def test_write_of_the_same_bytes_sets_the_bit(scene):
    base = noise(len(OLD))
    scene.create(OLD, base)
    with scene.open() as image:
        image.write(CLUSTER, base[CLUSTER : CLUSTER + 10])
    assert scene.bits() == {1}


# -- ACW-DYN-003: partial writes keep the rest


@pytest.mark.parametrize("base", [None, 0, 70000, 9 * CLUSTER])
@pytest.mark.parametrize(
    ("offset", "length"), [(10, 20), (65000, 4096), (CLUSTER + 1, 2 * CLUSTER), (5 * CLUSTER - 5, 5)]
)
def test_rest_of_a_partly_written_unit_reads_as_before(scene, revision, base, offset, length):
    below = None if base is None else noise(base)
    scene.create(OLD, below, revision=revision)
    want = bytearray((below or b"")[: len(OLD)].ljust(len(OLD), b"\0"))
    want[offset : offset + length] = b"\xee" * length
    with scene.open() as image:
        image.write(offset, b"\xee" * length)
        assert image.read(0, image.size) == want
    with scene.open(writable=False) as image:
        assert image.read(0, image.size) == want


def test_copy_stops_at_the_end_of_the_disk(scene):
    scene.create(CLUSTER + 1, noise(3 * CLUSTER))
    with scene.open() as image:
        image.write(CLUSTER, b"\xee")
    assert scene.size() == CLUSTER + 1
    assert scene.bits() == {1}


def test_bytes_below_a_clear_bit_never_complete_a_write(scene):
    """As after a crash: data in the image file that no bit vouches for."""
    scene.create(OLD, None)
    with scene.open() as image:
        image.write(100, b"\xee")
        assert image.read(0, CLUSTER) == bytes(100) + b"\xee" + bytes(CLUSTER - 101)


# -- ACW-DYN-004: backing files are never written, reading changes nothing


def test_backing_and_names_keep_their_bytes(scene, revision):
    scene.create(OLD, noise(len(OLD)), revision=revision)
    with scene.unchanged(b"base"), scene.open() as image:
        image.write(5, noise(3 * CLUSTER))
        image.write_zeroes(CLUSTER, 70000)
        image.resize(6 * CLUSTER)
        image.stream()


def test_reading_changes_no_byte(scene, revision):
    scene.create(OLD, noise(len(OLD)), revision=revision)
    for writable in (False, True):
        with scene.unchanged(b"base", b"img", b"x"), scene.open(writable=writable) as image:
            image.read(0, image.size)
            list(image.extents())


def test_read_only_image_refuses_every_change(scene):
    scene.create(OLD, noise(len(OLD)))
    with scene.unchanged(b"base", b"img", b"x"), scene.open(writable=False) as image:
        for change in (
            lambda: image.write(0, b"a"),
            lambda: image.write_zeroes(0, 1),
            lambda: image.resize(0),
            image.stream,
        ):
            with pytest.raises(UsageError):
                change()
        image.flush()


def test_read_only_files_can_be_read(files):
    files.create(OLD, noise(len(OLD)))
    for name in (b"x", b"img", b"base"):
        os.chmod(files.path(name), 0o444)
    with open_image(files.path()) as image:
        assert image.read(0, 10) == noise(10)


# -- ACW-DYN-006: parallel requests lose nothing


@pytest.mark.parametrize("step", [SECTOR, 1000, CLUSTER])
def test_threads_that_share_units_lose_no_byte(scene, revision, step):
    """Every piece of the disk is written once, neighbours by different threads."""
    size = 3 * CLUSTER + 512
    scene.create(b"\xdd" * size, noise(size, 2), revision=revision)
    pieces = [(start, min(step, size - start)) for start in range(0, size, step)]
    pieces = pieces[::2] if step < 1000 else pieces
    want = bytearray(noise(size, 2))
    for number, (start, length) in enumerate(pieces):
        want[start : start + length] = bytes([1 + number % 255]) * length
    with scene.open() as image:
        barrier = threading.Barrier(8)
        failed = []

        def work(mine):
            barrier.wait()
            try:
                for number in range(mine, len(pieces), 8):
                    start, length = pieces[number]
                    image.write(start, bytes([1 + number % 255]) * length)
            except BaseException as error:  # noqa: BLE001 - told by the main thread
                failed.append(error)

        threads = [threading.Thread(target=work, args=(mine,)) for mine in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert not failed
        assert image.read(0, size) == want
    with scene.open(writable=False) as image:
        assert image.read(0, size) == want


# -- ACW-DYN-007: requests outside the disk are refused whole


@pytest.mark.parametrize(
    ("offset", "length"),
    [
        (-1, 1),
        (-1, 0),
        (0, 5 * CLUSTER + 1),
        (5 * CLUSTER, 1),
        (5 * CLUSTER - 1, 2),
        (1 << 63, 1),
        (1 << 70, 0),
    ],
)
def test_request_outside_is_refused_whole(scene, offset, length):
    scene.create(OLD, noise(len(OLD)))
    with scene.unchanged(b"img", b"x"), scene.open() as image:
        for request in (
            lambda: image.read(offset, length),
            lambda: image.read_into(offset, bytearray(length)),
            lambda: image.write(offset, b"\xee" * length),
            lambda: image.write_zeroes(offset, length),
            lambda: image.extents(offset, length),
        ):
            with pytest.raises(UsageError) as refused:
                request()
            assert refused.value.rule == "ACW-DYN-007"
        assert image.allocated_units() == 0


def test_negative_length_is_refused(scene):
    scene.create(OLD)
    with scene.open() as image:
        for request in (
            lambda: image.read(10, -1),
            lambda: image.write_zeroes(10, -1),
            lambda: image.extents(10, -1),
        ):
            with pytest.raises(UsageError) as refused:
                request()
            assert refused.value.rule == "ACW-DYN-007"


def test_length_0_at_the_end_is_inside(scene):
    scene.create(OLD)
    with scene.open() as image:
        assert image.read(len(OLD), 0) == b""
        image.write(len(OLD), b"")
        image.write_zeroes(len(OLD), 0)
        assert image.allocated_units() == 0


def test_wide_items_are_counted_in_bytes(scene):
    """A view of four-byte items must not slip past the end of the disk."""
    scene.create(OLD)
    view = memoryview(bytearray(40)).cast("I")
    with scene.open() as image:
        with pytest.raises(UsageError):
            image.write(len(OLD) - 10, view)
        image.write(len(OLD) - 40, view)
        image.read_into(len(OLD) - 40, view)


def test_closed_image_refuses(scene):
    scene.create(OLD)
    image = scene.open()
    image.close()
    image.close()
    for request in (
        lambda: image.read(0, 1),
        lambda: image.write(0, b"a"),
        image.flush,
        lambda: image.resize(1),
        image.stream,
        image.extents,
        image.allocated_units,
    ):
        with pytest.raises(UsageError):
            request()


# -- ACW-DYN-010: create


def test_created_image_passes_every_rule(files, revision):
    files.create(2 * CLUSTER, noise(100), revision=revision)
    assert files.findings() == []
    assert files.bits() == set()


def test_create_refuses_a_missing_image_file_and_leaves_nothing(files, tmp_path):
    with pytest.raises(BackingChainError) as refused:
        create_image(files.path(), b"absent")
    assert refused.value.rule == "ACW-ENV-001"
    assert list(tmp_path.iterdir()) == []


def test_create_refuses_a_missing_backing_file_and_leaves_nothing(files, tmp_path):
    files.put(b"img", bytes(CLUSTER))
    with pytest.raises(BackingChainError) as refused:
        create_image(files.path(), b"img", backing_file=b"absent")
    assert refused.value.rule == "ACW-ENV-002"
    assert [path.name for path in tmp_path.iterdir()] == ["img"]


def test_create_overwrites_only_when_told(files):
    files.create(CLUSTER)
    with files.unchanged(b"x", b"img"), pytest.raises(UsageError) as refused:
        create_image(files.path(), b"img")
    assert refused.value.rule == "ACW-DYN-010"
    with files.open() as image:
        image.write(0, b"\xee")
    create_image(files.path(), b"img", overwrite=True)
    assert files.bits() == set()


def test_create_keeps_the_image_file(scene, revision):
    scene.put(b"img", OLD)
    scene.create(OLD, revision=revision)
    assert scene.get(b"img") == OLD


@pytest.mark.parametrize("role", ["image", "backing"])
def test_create_never_replaces_what_it_stands_on(files, role):
    files.create(CLUSTER, noise(CLUSTER))
    name = {"image": b"img", "backing": b"base"}[role]
    with files.unchanged(b"x", b"img", b"base"), pytest.raises(BackingChainError) as refused:
        create_image(files.path(name), b"img", backing_file=b"base", overwrite=True)
    assert refused.value.rule in {"ACW-CHN-001", "ACW-CHN-002"}


# -- ACW-DYN-013: sector units need no copy, size stays true


@pytest.mark.parametrize("old_revision", [Revision.V4, Revision.V6])
def test_whole_sectors_write_nothing_but_themselves(scene, old_revision):
    scene.create(OLD, noise(len(OLD), 2), revision=old_revision)
    with scene.open() as image:
        image.write(3 * SECTOR, b"\xee" * SECTOR)
    want = bytearray(OLD)
    want[3 * SECTOR : 4 * SECTOR] = b"\xee" * SECTOR
    assert scene.get(b"img") == want


# -- ACW-DYN-014: one writer at a time


def test_second_writer_is_told_which_file_is_locked(scene):
    scene.create(OLD, noise(len(OLD)))
    with scene.open(), pytest.raises(ImageInUse) as refused:
        scene.open()
    assert refused.value.path == (b"x" if scene.kind == "memory" else scene.path())


def test_writer_and_reader_exclude_each_other(scene):
    scene.create(OLD)
    with scene.open(writable=False), pytest.raises(ImageInUse):
        scene.open()
    with scene.open(), pytest.raises(ImageInUse):
        scene.open(writable=False)


def test_image_file_is_locked_as_well(files):
    """Two add-cow files over one image file."""
    files.create(OLD)
    create_image(files.path(b"y"), b"img")
    with files.open(), pytest.raises(ImageInUse) as refused:
        open_image(files.path(b"y"), writable=True)
    assert refused.value.path == files.path(b"img")


def test_readers_share(scene):
    scene.create(OLD, noise(len(OLD)))
    with scene.open(writable=False) as first, scene.open(writable=False) as second:
        assert first.read(0, 10) == second.read(0, 10) == noise(10)


def test_backing_file_may_be_shared_by_writers(files):
    files.create(OLD, noise(len(OLD)))
    files.put(b"img2", OLD)
    create_image(files.path(b"y"), b"img2", backing_file=b"base", backing_format="raw")
    with files.open() as first, open_image(files.path(b"y"), writable=True) as second:
        first.write(0, b"a")
        assert second.read(0, 1) == noise(1)


def test_refused_opener_leaves_no_lock(scene):
    scene.create(OLD)
    with scene.open(), pytest.raises(ImageInUse):
        scene.open()
    with scene.open():
        pass
