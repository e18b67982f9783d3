"""ACW-DYN-011: every size to every other, whatever fails or loses power on the way."""

from __future__ import annotations

import threading
from contextlib import suppress
from functools import lru_cache, partial

import pytest

from addcow_ref import open_image
from addcow_ref.memory import MemoryFiles
from addcow_ref.testing import (
    FaultPlan,
    FaultyStorage,
    Operation,
    RecordingStorage,
    SyncEvent,
    TruncateEvent,
    WriteEvent,
    ZeroesEvent,
)
from addcow_spec.codec import parse_header
from addcow_spec.errors import InvalidImage, StorageError, UsageError
from addcow_spec.geometry import Geometry
from addcow_spec.model import Revision
from addcow_spec.rules import Profile
from tests.ref.qcow2_images import content as words
from tests.ref.scenes import CLUSTER, SECTOR, UNIT, Scene, bits_set

V10 = Revision.V10
OLD_REVISIONS = [Revision.V4, Revision.V6]
# What a disk of odd length and one that was cut a moment ago draw, and what keeps nobody from using them.
HARMLESS = {"ACW-SIZ-004", "ACW-BMP-003"}

content = lru_cache(64)(words)


def bytes_of(size, revision):
    """Units, and bytes besides where the revision can have them, as bytes."""
    units, more = size
    return units * UNIT[revision] + (more if revision is V10 else 0)


class Disk:
    """A scene's image with some units written, and what it reads."""

    def __init__(self, scene, revision, size, base, written):
        self.scene, self.revision, self.size = scene, revision, size
        self.base = None if base is None else content(base, 2)
        self.unit = UNIT[revision]
        self.units = Geometry(revision, size).units
        self.set = {unit for unit in written if unit < self.units}
        scene.create(content(size, 3), self.base, revision=revision, overwrite=True)
        self.reads = bytearray(self.below(0, size))
        with scene.open() as image:
            for unit in self.set:
                start, end = unit * self.unit, min((unit + 1) * self.unit, size)
                image.write(start, content(size, 4)[start:end])
                self.reads[start:end] = content(size, 4)[start:end]

    def below(self, start, end):
        return (self.base or b"")[start:end].ljust(end - start, b"\0")

    def resized(self, size):
        """What the disk reads when it has another size."""
        if size <= self.size:
            return bytes(self.reads[:size])
        rest = min(self.units * self.unit, size)
        if self.units - 1 in self.set:
            return bytes(self.reads) + bytes(rest - self.size) + self.below(rest, size)
        return bytes(self.reads) + self.below(self.size, size)

    def bits(self, size):
        units = Geometry(self.revision, size).units
        return {unit for unit in self.set if unit < units}

    def check(self, size, *, harmless=HARMLESS):
        """The files are those of a sound image of ``size`` bytes, that reads as it should."""
        scene = self.scene
        assert scene.size() == size
        if self.revision is not V10:
            assert scene.stored_size() == size
        assert scene.bits() == self.bits(size)
        assert set(scene.findings()) <= harmless
        with scene.open(writable=False) as image:
            assert image.size == size
            assert image.units == Geometry(self.revision, size).units
            assert image.read(0, size) == self.resized(size)


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


# -- a step fails

CHANGES = [((9, 0), (20, 0)), ((2, 300), (9, 0)), ((20, 0), (9, 0)), ((8, 0), (0, 0)), ((3, 0), (2, 200))]
STEPS = [
    (operation, name)
    for operation in (Operation.TRUNCATE, Operation.WRITE, Operation.SYNC, Operation.READ)
    for name in (b"x", b"img")
]


@pytest.mark.parametrize("kind", ["files", "memory"])
@pytest.mark.parametrize(("old", "new"), CHANGES)
def test_failed_step_leaves_the_old_size_and_a_sound_image(kind, old, new, revision, tmp_path):
    """Only a shrunk disk whose end is cut off already has the new one."""
    size, target = bytes_of(old, revision), bytes_of(new, revision)
    failures = 0
    for operation, name in STEPS:
        for after in range(20):
            scene = Scene(kind, tmp_path)
            disk = Disk(scene, revision, size, 4 * UNIT[revision] + 9, range(0, 20, 2))
            image, plan = scene.faulty()
            plan.arm(operation, name=name, after=after, times=1, partial=5)
            try:
                image.resize(target)
            except StorageError:
                failures += 1
            else:
                plan.disarm()
                image.close()
                break
            cuts = plan.calls[Operation.TRUNCATE, b"img"]
            cut = target < size and cuts and (operation, name) != (Operation.TRUNCATE, b"img")
            left = target if cut else size
            assert image.size == left
            assert image.read(0, left) == disk.resized(left)
            if operation is Operation.SYNC:
                for request in (image.flush, partial(image.resize, target), image.close):
                    with pytest.raises(StorageError):
                        request()
            else:
                image.close()
            disk.check(left)
            with scene.open() as again:
                again.resize(target)
            disk.check(target)
        else:
            pytest.fail("it never came to an end")
    assert failures >= 5


def test_failed_resize_can_be_tried_again(scene, revision):
    disk = Disk(scene, revision, 9 * UNIT[revision], None, {0, 8})
    for target in (20 * UNIT[revision], 3 * UNIT[revision]):
        image, plan = scene.faulty()
        with image:
            plan.arm(Operation.TRUNCATE, name=b"img", times=1)
            with pytest.raises(StorageError):
                image.resize(target)
            image.resize(target)
            assert image.read(0, target) == disk.resized(target)
            image.resize(9 * UNIT[revision])
        disk = Disk(scene, revision, 9 * UNIT[revision], None, {0, 8})


# -- power fails


def replayed(files, event):
    """What an event makes of the bytes of its file."""
    data = files[event.file]
    if isinstance(event, WriteEvent):
        data[len(data) :] = bytes(max(event.offset - len(data), 0))
        data[event.offset : event.offset + len(event.data)] = event.data
    elif isinstance(event, TruncateEvent):
        data[:] = data[: event.length].ljust(event.length, b"\0")
    elif isinstance(event, ZeroesEvent):
        data[event.offset : event.offset + event.length] = bytes(event.length)


def crash_states(start, log):
    """The bytes of the files when power fails after any event, with what was not synced there or not."""
    for length in range(len(log) + 1):
        for dropped in ((), *((file,) for file in start), tuple(start)):
            files = {file: bytearray(data) for file, data in start.items()}
            for at, event in enumerate(log[:length]):
                synced = any(
                    isinstance(other, SyncEvent) and other.file == event.file for other in log[at:length]
                )
                if synced or event.file not in dropped:
                    replayed(files, event)
            yield length, files


def power_cut(disk, scene, resize, plan=None):
    """Crash states of a resize, as files in memory."""
    log = []
    names = {scene.memory.open(name).identity: name for name in (b"x", b"img", b"base")}
    start = {identity: scene.get(name) for identity, name in names.items() if name != b"base"}
    image = open_image(
        FaultyStorage(RecordingStorage(scene.storage(), log), plan or FaultPlan()),
        writable=True,
        revision=disk.revision,
    )
    resize(image)
    for length, files in crash_states(start, log):
        contents = {names[identity]: bytes(data) for identity, data in files.items()}
        yield length == len(log), MemoryFiles({**contents, b"base": disk.base})


def check_after_crash(disk, files, old, new, *, undone=False):
    """Size old or new; what is about to be cut off may read from below, as far as the last byte's bits go."""
    with open_image(files.open(b"x"), revision=disk.revision) as image:
        size = image.size
        got = image.read(0, size)
    assert size in {old, new}
    want = disk.resized(size)
    kept = min(old, new) if not undone and new < old == size else size
    assert got[:kept] == want[:kept]
    for at in range(-(-kept // disk.unit) * disk.unit, size, disk.unit):
        end = min(at + disk.unit, size)
        assert got[at:end] in {want[at:end], disk.below(at, end)}
        if at // disk.unit >= -(-kept // (8 * disk.unit)) * 8:
            assert got[at:end] == want[at:end]
    return size


@pytest.fixture
def memory(tmp_path):
    return Scene("memory", tmp_path)


@pytest.mark.parametrize(("old", "new"), CHANGES)
def test_power_may_fail_at_any_step(memory, old, new):
    size, target = bytes_of(old, V10), bytes_of(new, V10)
    disk = Disk(memory, V10, size, 4 * CLUSTER + 9, range(0, 20, 2))
    seen = set()
    for last, files in power_cut(disk, memory, lambda image: image.resize(target)):
        found = check_after_crash(disk, files, size, target)
        seen.add(found)
        assert not last or found == target
    assert seen == {size, target}


@pytest.mark.parametrize("revision", OLD_REVISIONS, ids=str)
@pytest.mark.parametrize(("old", "new"), [((9, 0), (20, 0)), ((20, 0), (9, 0)), ((8, 0), (0, 0))])
def test_power_cut_of_old_revisions_breaks_the_size_field_alone(memory, revision, old, new):
    size, target = bytes_of(old, revision), bytes_of(new, revision)
    disk = Disk(memory, revision, size, 4 * SECTOR + 9, range(0, 20, 2))
    seen = set()
    for last, files in power_cut(disk, memory, lambda image: image.resize(target)):
        length = len(files.contents(b"img"))
        if length == parse_header(files.contents(b"x"), revision).size:
            seen.add(check_after_crash(disk, files, size, target))
            continue
        with pytest.raises(InvalidImage) as refused:
            open_image(files.open(b"x"), revision=revision)
        assert refused.value.rule == "ACW-SIZ-006"
        assert not last
        assert len(files.contents(b"x")) >= Geometry(revision, length).bitmap_end
    assert seen == {size, target}


@pytest.mark.parametrize(("old", "new"), CHANGES)
def test_power_may_fail_after_a_failed_step(memory, old, new):
    """What was flushed before a resize that failed is there in full, once it has failed."""
    size, target = bytes_of(old, V10), bytes_of(new, V10)
    for operation, name in STEPS:
        for after in range(20):
            plan = FaultPlan()
            disk = Disk(memory, V10, size, 4 * CLUSTER + 9, range(0, 20, 2))
            faults = []

            def resize(image, plan=plan, step=(operation, name, after), faults=faults):
                operation, name, after = step
                faults.append(plan.arm(operation, name=name, after=after, times=1))
                try:
                    image.resize(target)
                except StorageError:
                    assert faults[0].times == 0

            for last, files in power_cut(disk, memory, resize, plan):
                undone = last and faults[0].times == 0 and operation is not Operation.SYNC
                check_after_crash(disk, files, size, target, undone=undone)
            if faults[0].times:
                break


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
