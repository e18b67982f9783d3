"""ACW-DYN-011: every size to every other, whatever fails or loses power on the way."""

from __future__ import annotations

import threading
from contextlib import suppress

import pytest

from addcow_ref import open_image
from addcow_ref.testing import (
    RecordingStorage,
    TruncateEvent,
)
from addcow_spec.errors import UsageError
from addcow_spec.geometry import Geometry
from addcow_spec.model import Revision
from addcow_spec.rules import Profile
from tests.ref.resized import Disk, bytes_of, content
from tests.ref.scenes import CLUSTER, SECTOR, UNIT, Scene, bits_set

V10 = Revision.V10
OLD_REVISIONS = [Revision.V4, Revision.V6]


SIZES = [(0, 0), (0, 100), (2, 100), (2, 300), (3, 0), (8, 0), (8, 512), (9, 0), (17, 1)]
PAIRS = [(old, new) for old in SIZES for new in SIZES if old != new]


@pytest.mark.parametrize(("old", "new"), PAIRS)
@pytest.mark.parametrize("kind", ["files", "memory"])
def test_every_size_becomes_every_other(kind, old, new, tmp_path):
    """All revisions, with the last unit set; a backing file that ends in the middle of a unit."""
    for revision in Revision:
        scene = Scene(kind, tmp_path)
        size, target = bytes_of(old, revision), bytes_of(new, revision)
        disk = Disk(scene, revision, size, 5 * UNIT[revision] + 77, {1, 2, 7, 8, 16})
        with scene.unchanged(b"base"), scene.open() as image:
            image.resize(target)
            assert image.size == target
            assert image.read(0, target) == disk.resized(target)
            assert image.allocated_units() == len(disk.bits(target))
        disk.check(target, harmless={"ACW-SIZ-004"})
        assert len(scene.get(b"x")) == Geometry(revision, target).bitmap_end


@pytest.mark.parametrize("written", [set(), {2}])
@pytest.mark.parametrize("base", [None, 0, 2 * CLUSTER + 200, 9 * CLUSTER])
def test_short_last_unit_goes_on_as_its_bit_says(scene, written, base):
    size = 2 * CLUSTER + 100
    disk = Disk(scene, V10, size, base, written)
    for target in (size + 1, 3 * CLUSTER - 1, 3 * CLUSTER, 4 * CLUSTER + 7):
        with scene.open() as image:
            image.resize(target)
            assert image.read(0, target) == disk.resized(target)
            image.resize(size)
        disk.check(size)


@pytest.mark.parametrize("low", [(0, 0), (1, 100), (2, 0), (7, 0), (8, 0)])
def test_what_was_cut_off_never_comes_back(scene, revision, low):
    """Neither bits nor data, whether the image was opened anew in between or not."""
    high, low = 11 * UNIT[revision], bytes_of(low, revision)
    disk = Disk(scene, revision, high, None, range(11))
    kept = -(-low // UNIT[revision]) * UNIT[revision]
    want = bytes(disk.reads[:low]).ljust(high, b"\0")
    with scene.open() as image:
        image.resize(low)
        image.resize(high)
        assert image.read(0, high) == want
        assert image.allocated_units() == kept // UNIT[revision]
    with scene.open() as image:
        image.resize(low)
    with scene.open() as image:
        image.resize(high)
        assert image.read(0, high) == want
    assert scene.bits() == set(range(kept // UNIT[revision]))


@pytest.mark.parametrize("revision", Revision, ids=str)
def test_over_a_page_of_the_bitmap(scene, revision):
    """Page 0 is in the cache and dirty when the disk shrinks into it and grows out of it."""
    unit = UNIT[revision]
    page = 32768 * unit
    base = content(3 * SECTOR, 2)
    scene.create(0, base, revision=revision)
    with scene.open() as image:
        image.resize(page + 2 * unit)
        image.write(0, b"a" * unit)
        image.write(page - unit, b"b" * unit)
        image.write(page, b"c" * unit)
        image.resize(page)
        assert image.read(page - unit, unit) == b"b" * unit
        image.resize(page - 3 * unit)
        image.resize(page + 2 * unit)
        assert image.read(0, unit) == b"a" * unit
        for start in (page - 2 * unit, page - unit, page, page + unit):
            assert image.read(start, unit) == bytes(unit)
        assert image.allocated_units() == 1


def tailed(scene, revision, size, tail):
    scene.create(content(size, 3), None, revision=revision)
    scene.put(b"x", scene.get(b"x") + tail)


@pytest.mark.parametrize("target", [(2, 0), (6, 0), (8, 0), (30, 0)])
def test_what_follows_the_bitmap_never_becomes_bits(scene, revision, target):
    size, target = 4 * UNIT[revision], bytes_of(target, revision)
    tailed(scene, revision, size, b"\xff" * 700)
    with scene.open() as image:
        image.resize(target)
        image.resize(40 * UNIT[revision])
        assert image.allocated_units() == 0
        assert image.read(0, image.size) == bytes(image.size)
    assert scene.findings() == []


@pytest.mark.parametrize("target", [(2, 0), (4, 0), (6, 0), (8, 0), (30, 0)])
def test_bits_that_stand_for_nothing_never_come_to_stand_for_something(scene, revision, target):
    """As written, they may be set; one of those that count is set as well, and stays."""
    size, target = 4 * UNIT[revision] + (9 if revision is V10 else 0), bytes_of(target, revision)
    scene.create(content(size, 3), None, revision=revision)
    data = bytearray(scene.get(b"x"))
    end = Geometry(revision, size).bitmap_end
    data[end - 1] = 0xE2
    scene.put(b"x", data)
    with scene.open(profile=Profile.AS_WRITTEN) as image:
        image.resize(target)
        image.resize(40 * UNIT[revision])
        assert image.allocated_units() == 1
    assert scene.bits() == {1}
    assert scene.findings() == []


@pytest.mark.parametrize("size", [-1, -512, 1 << 63, 1 << 70])
def test_sizes_that_no_file_has_are_refused(scene, revision, size):
    scene.create(CLUSTER, revision=revision)
    with scene.unchanged(b"x", b"img"), scene.open() as image:
        with pytest.raises(UsageError):
            image.resize(size)
        assert image.size == CLUSTER


@pytest.mark.parametrize("revision", OLD_REVISIONS, ids=str)
@pytest.mark.parametrize("size", [1, 511, 513, CLUSTER + 1])
def test_old_revisions_have_whole_sectors(scene, revision, size):
    scene.create(CLUSTER, revision=revision)
    with scene.unchanged(b"x", b"img"), scene.open() as image, pytest.raises(UsageError) as refused:
        image.resize(size)
    assert refused.value.rule == "ACW-SIZ-007"


def test_same_size_does_nothing(scene, revision):
    disk = Disk(scene, revision, 3 * CLUSTER, None, {1})
    image, log = scene.recorded()
    with image:
        image.resize(3 * CLUSTER)
        assert log == []
    disk.check(3 * CLUSTER)


def test_header_follows_the_size_field(scene, revision):
    scene.create(CLUSTER, revision=revision)
    before = scene.get(b"x")[: Geometry(revision, 0).bitmap_offset]
    with scene.open() as image:
        image.resize(3 * CLUSTER)
    after = scene.get(b"x")[: len(before)]
    if revision is V10:
        assert after == before
    else:
        assert after == before[:2060] + (3 * CLUSTER).to_bytes(8, "big") + before[2068:]


# -- requests meanwhile


class Held(RecordingStorage):
    """A storage whose writes to the image file wait until they may."""

    def __init__(self, storage, log, may=None, waiting=None):
        super().__init__(storage, log)
        self.may = may or threading.Event()
        self.waiting = waiting or threading.Event()

    def open(self, name, *, writable=False):
        return Held(self.storage.open(name, writable=writable), self.log, self.may, self.waiting)

    def write(self, offset, *buffers):
        if self.path.endswith(b"img"):
            self.waiting.set()
            assert self.may.wait(30)
        super().write(offset, *buffers)


@pytest.mark.parametrize("target", [9 * CLUSTER, CLUSTER])
def test_resize_waits_for_requests_and_they_for_it(scene, target):
    scene.create(3 * CLUSTER, content(9 * CLUSTER, 2))
    log = []
    storage = Held(scene.storage(), log)
    with open_image(storage, writable=True) as image:
        writer = threading.Thread(target=image.write, args=(0, b"w" * CLUSTER))
        writer.start()
        assert storage.waiting.wait(30)
        resizer = threading.Thread(target=image.resize, args=(target,))
        resizer.start()
        late = []
        reader = threading.Thread(target=lambda: late.append(image.read(0, CLUSTER)))
        resizer.join(0.05)
        reader.start()
        assert resizer.is_alive()
        assert not any(isinstance(event, TruncateEvent) for event in log)
        storage.may.set()
        for thread in (writer, resizer, reader):
            thread.join(30)
            assert not thread.is_alive()
        assert late == [b"w" * CLUSTER]
        assert image.size == target
    with scene.open(writable=False) as image:
        assert image.read(0, CLUSTER) == b"w" * CLUSTER


def test_requests_and_resizes_at_once(scene, revision):
    """Each thread keeps to units of its own below every size; beyond them requests are in or out, whole."""
    unit = UNIT[revision]
    scene.create(4 * unit, content(40 * unit, 2), revision=revision)
    failed = []

    def work(image, mine):
        try:
            for turn in range(60):
                image.write(mine * unit + turn, bytes([turn + 1]) * 100)
                assert image.read(mine * unit + turn, 100) == bytes([turn + 1]) * 100
                with suppress(UsageError):
                    image.write(30 * unit + mine, b"\xee")
        except BaseException as error:  # noqa: BLE001 - told by the main thread
            failed.append(error)

    with scene.open(cache_size=4096) as image:
        threads = [threading.Thread(target=work, args=(image, mine)) for mine in range(3)]
        for thread in threads:
            thread.start()
        for turn in range(30):
            image.resize((4 + turn % 3 * 17) * unit)
            image.flush()
        for thread in threads:
            thread.join(60)
        assert not failed
        image.resize(4 * unit)
        for mine in range(3):
            want = bytearray(content(40 * unit, 2)[mine * unit : (mine + 1) * unit])
            for turn in range(60):
                want[turn : turn + 100] = bytes([turn + 1]) * 100
            assert image.read(mine * unit, unit) == want
    assert bits_set(scene.get(b"x"), revision, 4 * unit) == {0, 1, 2}
    assert scene.findings() == []
