"""What fails is told, harms nothing else, and can be got over."""

from __future__ import annotations

import errno
import threading
from itertools import count

import pytest

from addcow_ref.testing import FaultPlan, FaultyStorage, Operation, RecordingStorage, WriteEvent
from addcow_spec.errors import ImageError, StorageError, UsageError
from addcow_spec.model import Revision
from tests.ref.crashes import sectors
from tests.ref.hooks import PATIENCE, hooked
from tests.ref.qcow2_images import COPIED, ROOM, content
from tests.ref.qcow2_images import image as qcow2
from tests.ref.scenes import CLUSTER, SECTOR, UNIT, Scene, noise

SIZE = 3 * CLUSTER + SECTOR
GARBAGE = b"\xdd" * SIZE
BASE = noise(2 * CLUSTER + 1000)
PAGE = 4096
PAGE_UNITS = PAGE * 8

# A request, and the range of the disk that it may change.
REQUESTS = {
    "read": (lambda image: image.read(0, SIZE), (0, 0)),
    "write part": (lambda image: image.write(700, b"\xe1" * 100), (700, 800)),
    "write set": (lambda image: image.write(CLUSTER + 100, b"\xe2" * 5000), (CLUSTER + 100, CLUSTER + 5100)),
    "write across": (lambda image: image.write(100, b"\xe3" * (2 * CLUSTER)), (100, 2 * CLUSTER + 100)),
    "write end": (lambda image: image.write(SIZE - 10, b"\xe4" * 10), (SIZE - 10, SIZE)),
    "write fua": (lambda image: image.write(5, b"\xe5", fua=True), (5, 6)),
    "zeroes": (lambda image: image.write_zeroes(700, 2 * CLUSTER), (700, 2 * CLUSTER + 700)),
    "zeroes kept": (lambda image: image.write_zeroes(0, 9000, unmap=False), (0, 9000)),
    "flush": (lambda image: image.flush(), (0, 0)),
    "stream": (lambda image: image.stream(), (0, 0)),
    "extents": (lambda image: list(image.extents()), (0, 0)),
    "count": (lambda image: image.allocated_units(), (0, 0)),
}
FAULTS = {
    "read": {"operation": Operation.READ},
    "write": {"operation": Operation.WRITE},
    "write in part": {"operation": Operation.WRITE, "partial": 700, "code": errno.ENOSPC},
    "zeroes": {"operation": Operation.ZEROES, "code": errno.ENOSPC},
    "seek": {"operation": Operation.SEEK},
}


def prepared(scene, revision):
    """An image with set units, durable and not, behind a cache of one page; and what its disk holds."""
    scene.create(GARBAGE, BASE, revision=revision, overwrite=True)
    image, plan = scene.faulty(cache_size=PAGE)
    disk = bytearray(BASE.ljust(SIZE, b"\0"))
    for offset, data in ((CLUSTER, b"\xa1" * 6000), (2 * CLUSTER + 40000, b"\xa2" * 300)):
        image.write(offset, data)
        disk[offset : offset + len(data)] = data
        if offset == CLUSTER:
            image.flush()
    return image, plan, bytes(disk)


def harmless(before, after, start, end):
    """Whether ``after`` is ``before``, but for the sectors that a request was to change."""
    changed = [
        at for at, pair in enumerate(zip(sectors(before), sectors(after), strict=True)) if len(set(pair)) > 1
    ]
    return all(start // SECTOR <= at < -(-end // SECTOR) for at in changed)


def requested(before, request):
    """The disk as a request leaves it that does not fail."""
    disk = bytearray(before)

    class Model:
        def write(self, offset, data, **_):
            disk[offset : offset + len(data)] = data

        def write_zeroes(self, offset, length, **_):
            disk[offset : offset + length] = bytes(length)

    if request[1] != (0, 0):
        request[0](Model())
    return bytes(disk)


def old_or_new(old, new, found):
    """By bytes: a write may be cut off anywhere, also within a sector."""
    different = [
        pair for pair in zip(*map(sectors, (old, new, found)), strict=True) if pair[2] not in pair[:2]
    ]
    return all(have in want for triple in different for *want, have in zip(*triple, strict=True))


# Real files for one revision, to save time.
STAGES = [*(("memory", revision) for revision in Revision), ("files", Revision.V10)]


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", REQUESTS)
@pytest.mark.parametrize(("kind", "revision"), STAGES)
def test_call_that_fails_fails_the_request_and_nothing_else(kind, revision, name, fault, tmp_path):
    """Each call of the kind in turn, until none is left to fail."""
    scene = Scene(kind, tmp_path)
    request = REQUESTS[name]
    for turn in count():
        image, plan, before = prepared(scene, revision)
        armed = plan.arm(**FAULTS[fault], after=turn, times=1)
        try:
            request[0](image)
        except StorageError as error:
            failed = error
        else:
            assert armed.times == 1, "the failure was swallowed"
            plan.disarm()
            image.close()
            break
        assert isinstance(failed.__cause__, OSError)
        assert failed.__cause__.errno == armed.code
        after = image.read(0, SIZE)
        wanted = requested(before, request)
        assert old_or_new(before, wanted, after)
        request[0](image)
        assert image.read(0, SIZE) == wanted
        image.close()
        with scene.open(writable=False) as again:
            assert again.read(0, SIZE) == wanted
        assert scene.get(b"base") == BASE
    assert scene.findings() == []


@pytest.mark.parametrize("name", ["write fua", "flush", "stream", "close"])
def test_sync_that_fails_is_not_forgotten(scene, revision, name):
    """A later sync that succeeds proves nothing of what an earlier one lost."""
    request, (start, end) = REQUESTS.get(name, (lambda image: image.close(), (0, 0)))
    for turn in count():
        image, plan, before = prepared(scene, revision)
        plan.arm(Operation.SYNC, after=turn, times=1)
        try:
            request(image)
        except StorageError:
            pass
        else:
            plan.disarm()
            image.close()
            break
        if name != "close":
            for change in (
                image.flush,
                lambda opened=image: opened.write(0, b"a"),
                lambda opened=image: opened.write(CLUSTER, b"a"),
                lambda opened=image: opened.write_zeroes(0, 1),
                lambda opened=image: opened.resize(CLUSTER),
                image.stream,
            ):
                with pytest.raises(StorageError):
                    change()
            assert harmless(before, image.read(0, SIZE), start, end)
            with pytest.raises(StorageError):
                image.close()
        with pytest.raises(UsageError):
            image.read(0, 1)
        with scene.open() as again:
            found = again.read(0, SIZE)
            # The write that no flush vouched for may be lost as well.
            assert harmless(before[:CLUSTER], found[:CLUSTER], start, end)
            assert found[CLUSTER : CLUSTER + 6000] == before[CLUSTER : CLUSTER + 6000]
            assert again.stream()
            assert again.read(0, SIZE) == found
    assert turn >= 2
    assert scene.findings() == []


def test_flush_counts_only_the_first_failure(scene):
    """The cause of every later refusal is the sync that failed."""
    image, plan, _ = prepared(scene, Revision.V10)
    plan.arm(Operation.SYNC, code=errno.EDQUOT, times=1)
    causes = []
    for _ in range(3):
        with pytest.raises(StorageError) as refused:
            image.flush()
        causes.append(refused.value)
    assert causes[0].__cause__.errno == errno.EDQUOT
    assert [error.__cause__ for error in causes[1:]] == [causes[0]] * 2
    with pytest.raises(StorageError):
        image.close()


@pytest.mark.parametrize("partial", [0, 100])
def test_page_that_could_not_be_written_is_written_by_the_next_flush(scene, revision, partial):
    scene.create(GARBAGE, BASE, revision=revision)
    image, plan = scene.faulty()
    with image:
        image.write(CLUSTER, b"\xee" * CLUSTER)
        fault = plan.arm(Operation.WRITE, name=b"x", code=errno.ENOSPC, partial=partial)
        for _ in range(2):
            with pytest.raises(StorageError):
                image.flush()
        plan.disarm(fault)
        image.flush()
        unit = UNIT[revision]
        assert scene.bits() == set(range(CLUSTER // unit, 2 * CLUSTER // unit))
        calls = plan.calls[Operation.WRITE, b"x"]
        image.flush()
        assert plan.calls[Operation.WRITE, b"x"] == calls


def large(scene, **options):
    """A v6 image of three pages of the bitmap behind a cache of one, and its plan."""
    scene.create(3 * PAGE_UNITS * SECTOR, noise(SECTOR), revision=Revision.V6)
    return scene.faulty(cache_size=PAGE, **options)


@pytest.mark.parametrize("operation", [Operation.WRITE, Operation.SYNC])
def test_reads_go_on_while_no_page_can_leave_the_cache(scene, operation):
    far = PAGE_UNITS * SECTOR
    image, plan = large(scene)
    image.write(far, b"\xee" * SECTOR)
    image.write(5, b"\xee")
    fault = plan.arm(operation)
    for _ in range(2):
        assert image.read(far, SECTOR) == b"\xee" * SECTOR
        assert image.read(far + SECTOR, SECTOR) == bytes(SECTOR)
        assert image.read(0, 9) == noise(9)[:5] + b"\xee" + noise(9)[6:]
        with pytest.raises(StorageError):
            image.write(far + SECTOR, b"\xee")
    assert image.allocated_units() == 2
    plan.disarm(fault)
    if operation is Operation.SYNC:
        with pytest.raises(StorageError):
            image.close()
    else:
        image.close()
        with scene.open(writable=False) as again:
            assert again.read(5, 1) == b"\xee"
            assert again.read(far, SECTOR) == b"\xee" * SECTOR


def test_page_that_cannot_be_read_is_told(scene):
    image, plan = large(scene)
    with image:
        plan.arm(Operation.READ, name=b"x", times=1)
        with pytest.raises(StorageError):
            image.read(0, 1)
        assert image.read(0, 1) == noise(1)


def test_full_disk(scene, revision):
    """Room runs out at every byte count that is a multiple of 5,000; given more, all goes on."""
    want = bytearray(BASE.ljust(SIZE, b"\0"))
    want[100:60000] = b"\xe1" * 59900
    for space in range(0, 90000, 5000):
        scene.create(GARBAGE, BASE, revision=revision, overwrite=True)
        image, plan = scene.faulty()
        plan.space = space
        try:
            image.write(100, b"\xe1" * 59900)
            image.flush()
        except StorageError as error:
            assert error.__cause__.errno == errno.ENOSPC  # noqa: PT017 - some of them succeed
        assert old_or_new(BASE.ljust(SIZE, b"\0"), want, image.read(0, SIZE))
        plan.space = None
        image.write(100, b"\xe1" * 59900)
        image.close()
        with scene.open(writable=False) as again:
            assert again.read(0, SIZE) == want


# -- copying fails


@pytest.mark.parametrize("change", ["write", "zeroes", "stream"])
def test_backing_that_cannot_be_read_sets_no_bit(scene, revision, change):
    scene.create(GARBAGE, BASE, revision=revision)
    image, plan = scene.faulty()
    with image:
        plan.arm(Operation.READ, name=b"base")
        with pytest.raises(StorageError):
            {
                "write": lambda: image.write(700, b"\xee"),
                "zeroes": lambda: image.write_zeroes(700, CLUSTER),
                "stream": image.stream,
            }[change]()
        assert image.allocated_units() == 0
        plan.disarm()
        assert image.read(0, SIZE) == BASE.ljust(SIZE, b"\0")
    assert scene.bits() == set()


def test_broken_qcow2_backing_sets_no_bit(scene):
    """Guest cluster 1 lies beyond the end of the qcow2 file."""
    guest = content(512)
    base = qcow2({0: COPIED | ROOM, 1: COPIED | 1 << 30}, parts={ROOM: guest})
    scene.put(b"base", base)
    scene.create(CLUSTER, base, backing_format=None)
    with scene.open() as image:
        assert image.read(0, 512) == guest
        with pytest.raises((ImageError, StorageError)):
            image.write(5, b"\xee")
        assert image.allocated_units() == 0
        image.write(0, noise(CLUSTER))
        assert image.read(0, CLUSTER) == noise(CLUSTER)


# -- closing


@pytest.mark.parametrize("name", [b"x", b"img", b"base"])
def test_file_that_does_not_close_keeps_none_open(scene, name):
    scene.create(GARBAGE, BASE)
    closed = []

    def hook(operation, file, _):
        if operation == "close":
            closed.append(file)
            if file == name:
                raise StorageError("closing failed")

    image = hooked(scene, hook)
    with pytest.raises(StorageError):
        image.close()
    assert sorted(closed) == [b"base", b"img", b"x"]
    image.close()


def test_image_that_could_not_be_flushed_is_closed(scene):
    image, plan, _ = prepared(scene, Revision.V10)
    plan.arm(Operation.WRITE, name=b"x")
    with pytest.raises(StorageError):
        image.close()
    image.close()
    scene.open().close()


def test_failure_in_one_thread_leaves_the_others_their_units(scene):
    """A write that failed gives its units back."""
    scene.create(GARBAGE, BASE)
    image, plan = scene.faulty()
    with image:
        plan.arm(Operation.READ, name=b"base", times=1)
        with pytest.raises(StorageError):
            image.write(5, b"\xee")
        thread = threading.Thread(target=image.write, args=(5, b"\xee"), daemon=True)
        thread.start()
        thread.join(PATIENCE)
        assert not thread.is_alive()
        image.resize(CLUSTER)


def test_log_of_a_failed_write_has_no_bit(scene, revision):
    """The bits of a write whose data failed are never written, not even by a later flush."""
    scene.create(GARBAGE, BASE, revision=revision)
    log = []
    plan = FaultPlan()
    with scene.open(wrap=lambda storage: RecordingStorage(FaultyStorage(storage, plan), log)) as image:
        plan.arm(Operation.WRITE, name=b"img", times=1, partial=40)
        with pytest.raises(StorageError):
            image.write(0, b"\xee" * CLUSTER)
        image.flush()
    assert [
        event for event in log if isinstance(event, WriteEvent) and event.file == scene.identity(b"x")
    ] == []
