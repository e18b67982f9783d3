"""ACW-DYN-011 and -005: a resize that fails on the way, or loses power there."""

from __future__ import annotations

from functools import partial

import pytest

from addcow_ref import open_image
from addcow_ref.testing import (
    FaultPlan,
    FaultyStorage,
    Operation,
    RecordingStorage,
)
from addcow_spec.codec import parse_header
from addcow_spec.errors import InvalidImage, StorageError
from addcow_spec.geometry import Geometry
from addcow_spec.model import Revision
from tests.ref.crashes import Crashes
from tests.ref.resized import Disk, bytes_of
from tests.ref.scenes import CLUSTER, SECTOR, UNIT, Scene

V10 = Revision.V10
OLD_REVISIONS = [Revision.V4, Revision.V6]
BLOCK = 4096


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
                if target > size:
                    assert len(scene.get(b"x")) == Geometry(revision, size).bitmap_end
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


def power_cut(disk, scene, resize, plan=None):
    """Crash states of a resize, as files in memory; whether it had ended by then."""
    log = []
    crashes = Crashes(scene, log)
    storage = FaultyStorage(RecordingStorage(scene.storage(), log), plan or FaultPlan())
    resize(open_image(storage, writable=True, revision=disk.revision))
    for cut in range(len(log) + 1):
        for state in crashes.states(cut):
            yield cut == len(log), state


def check_after_crash(disk, files, old, new, *, undone=False):
    """Size old or new.

    What is about to be cut off may read from below, as far as the last byte's bits go, or as the zeros that
    fill the last block of the image file.
    """
    with open_image(files.open(b"x"), revision=disk.revision) as image:
        size = image.size
        got = image.read(0, size)
    assert size in {old, new}
    want = disk.resized(size)
    kept = min(old, new) if not undone and new < old == size else size
    assert got[:kept] == want[:kept]
    starts = {kept, *range(-(-kept // SECTOR) * SECTOR, size, SECTOR)}
    for at in sorted(start for start in starts if start < size):
        end = min((at // SECTOR + 1) * SECTOR, size)
        may_be = {want[at:end]}
        if -(-kept // disk.unit) <= at // disk.unit < -(-kept // (8 * disk.unit)) * 8:
            may_be.add(disk.below(at, end))
        if at < -(-kept // BLOCK) * BLOCK:
            may_be.add(bytes(end - at))
        assert got[at:end] in may_be
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


# -- undoing fails as well


def test_the_error_is_that_of_the_step_and_not_of_undoing_it(scene):
    scene.create(3 * CLUSTER)
    image, plan = scene.faulty()
    plan.arm(Operation.SYNC, name=b"img", after=1)
    with pytest.raises(StorageError) as failed:
        image.resize(9 * CLUSTER)
    assert isinstance(failed.value.__cause__, OSError)
    with pytest.raises(StorageError):
        image.close()


def test_what_cannot_be_undone_takes_no_more_writes(scene):
    scene.create(3 * CLUSTER)
    image, plan = scene.faulty()
    plan.arm(Operation.TRUNCATE, name=b"img", times=2)
    with pytest.raises(StorageError):
        image.resize(9 * CLUSTER)
    plan.disarm()
    with pytest.raises(StorageError):
        image.write(0, b"\xee")
    assert image.read(0, 1) == b"\0"
    with pytest.raises(StorageError):
        image.close()
    with scene.open() as again:
        again.write(0, b"\xee")
