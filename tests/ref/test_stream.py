"""ACW-DYN-012: a stream makes the image file the disk, whatever happens meanwhile."""

from __future__ import annotations

import os
import threading
from contextlib import closing
from functools import lru_cache

import pytest

from addcow_ref import _stream, open_image
from addcow_ref.testing import (
    FaultPlan,
    FaultyStorage,
    Operation,
    RecordingStorage,
    SyncEvent,
    WriteEvent,
    ZeroesEvent,
)
from addcow_spec.errors import StorageError, UsageError
from addcow_spec.geometry import Geometry
from addcow_spec.model import Revision
from tests.ref import qcow2_images
from tests.ref.qcow2_images import content as words
from tests.ref.scenes import CLUSTER, UNIT, Scene

V10 = Revision.V10
content = lru_cache(64)(words)


def below(base, size):
    return (base or b"")[:size].ljust(size, b"\0")


def check(scene, want):
    """Every bit is set, and the image file alone is the disk."""
    size = len(want)
    assert scene.get(b"img") == want
    assert scene.bits() == set(range(Geometry(scene.revision, size).units))
    assert set(scene.findings()) <= {"ACW-SIZ-004", "ACW-CHN-003"}
    with scene.open(writable=False) as image:
        assert image.read(0, size) == want


@pytest.mark.parametrize("base", [None, 0, 70000, 5 * CLUSTER, 9 * CLUSTER])
@pytest.mark.parametrize("size", [0, CLUSTER, 5 * CLUSTER, 4 * CLUSTER + 512])
def test_image_file_becomes_the_disk(scene, revision, base, size):
    base = None if base is None else content(base, 2)
    scene.create(content(size, 3), base, revision=revision)
    with scene.open() as image:
        assert image.stream() is True
        assert image.allocated_units() == image.units
        assert image.read(0, size) == below(base, size)
    check(scene, below(base, size))


@pytest.mark.parametrize("size", [1, 511, CLUSTER - 1, 2 * CLUSTER + 1, 16 * CLUSTER + 77])
def test_odd_sizes(scene, size):
    base = content(2 * CLUSTER + 300, 2)
    scene.create(content(size, 3), base)
    with scene.open() as image:
        assert image.stream()
    check(scene, below(base, size))


def test_what_is_set_already_is_kept(scene, revision):
    unit = UNIT[revision]
    base, size = content(40 * unit, 2), 40 * unit
    scene.create(content(size, 3), base, revision=revision)
    want = bytearray(base)
    with scene.open() as image:
        for at in (0, 7 * unit + 5, 8 * unit, 31 * unit, 39 * unit + 1):
            image.write(at, b"\xee" * 100)
            want[at : at + 100] = b"\xee" * 100
        assert image.stream()
    check(scene, want)


def test_qcow2_backing_is_read_through_its_format(scene, revision):
    disk = qcow2_images.mixed()
    guest = qcow2_images.read(qcow2_images.opened(disk), 0, qcow2_images.DISK)
    scene.put(b"img", content(2 * qcow2_images.DISK, 3))
    scene.put(b"base", disk)
    scene.create(content(2 * qcow2_images.DISK, 3), disk, revision=revision, backing_format=None)
    with scene.open() as image:
        assert image.stream()
    check(scene, guest.ljust(2 * qcow2_images.DISK, b"\0"))


def test_stream_twice_does_nothing_more(scene, revision):
    scene.create(3 * CLUSTER, content(CLUSTER, 2), revision=revision)
    with scene.open() as image:
        assert image.stream()
    image, log = scene.recorded()
    with image:
        assert image.stream()
    assert not [event for event in log if not isinstance(event, SyncEvent)]


# -- zeros


def test_zeros_are_not_written_and_holes_stay(scene, revision):
    """Nothing is stored for zeros of the backing file, be they a hole there or not."""
    base = bytearray(8 * CLUSTER)
    base[2 * CLUSTER : 3 * CLUSTER] = content(CLUSTER, 2)
    scene.create(12 * CLUSTER, bytes(base), revision=revision)
    if scene.kind == "files":
        os.truncate(scene.path(b"img"), 0)
        os.truncate(scene.path(b"img"), 12 * CLUSTER)
    else:
        with closing(scene.memory.open(b"img", writable=True)) as file:
            file.truncate(0)
            file.truncate(12 * CLUSTER)
    image, log = scene.recorded()
    with image:
        assert image.stream()
    img = scene.identity(b"img")
    written = [event for event in log if isinstance(event, WriteEvent) and event.file == img]
    assert sum(len(event.data) for event in written) == CLUSTER
    assert not [event for event in log if isinstance(event, ZeroesEvent)]
    if scene.kind == "files":
        assert os.stat(scene.path(b"img")).st_blocks * 512 <= 2 * CLUSTER
    check(scene, bytes(base).ljust(12 * CLUSTER, b"\0"))


@pytest.mark.parametrize("base", [None, bytes(3 * CLUSTER), content(100, 2)])
def test_old_bytes_under_clear_zero_units_are_hidden(scene, revision, base):
    size = 5 * CLUSTER
    scene.create(content(size, 3), base, revision=revision)
    with scene.open() as image:
        assert image.stream()
    check(scene, below(base, size))


# -- stop, go on, tell


def stop_after(calls):
    left = iter(range(calls))
    return lambda: next(left, None) is None


@pytest.mark.parametrize("calls", range(6))
def test_stop_and_go_on(scene, revision, calls, monkeypatch):
    monkeypatch.setattr(_stream, "_PIECE", CLUSTER)
    base, size = content(4 * CLUSTER, 2), 4 * CLUSTER
    scene.create(content(size, 3), base, revision=revision)
    with scene.open() as image:
        done = image.stream(stop=stop_after(calls))
        assert done == (calls == 5)
        assert image.allocated_units() == min(calls, 4) * CLUSTER // UNIT[revision]
        assert image.read(0, size) == base
        image.flush()
        assert len(scene.bits()) == min(calls, 4) * CLUSTER // UNIT[revision]
    with scene.open() as image:
        assert image.stream()
    check(scene, base)


def test_stopped_stream_is_durable(scene):
    scene.create(4 * CLUSTER, content(4 * CLUSTER, 2))
    image, log = scene.recorded()
    with image:
        assert not image.stream(stop=stop_after(1))
        assert log[-1] == SyncEvent(scene.identity(b"x"))
        assert scene.bits() == {0, 1, 2, 3}


def test_progress_never_falls_and_ends_at_the_total(scene, revision, monkeypatch):
    monkeypatch.setattr(_stream, "_PIECE", CLUSTER)
    size = 6 * CLUSTER
    scene.create(size, content(4 * CLUSTER, 2), revision=revision)
    told = []
    with scene.open() as image:
        image.write(CLUSTER, b"a" * CLUSTER)
        image.stream(progress=lambda *state: told.append(state))
        total = image.units
    sets = [units for units, _ in told]
    assert {units for _, units in told} == {total}
    assert sets == sorted(sets)
    assert sets[0] == 2 * CLUSTER // UNIT[revision]
    assert sets[-1] == total
    assert len(told) >= 5


def test_progress_ends_at_the_total_though_the_guest_writes(scene, monkeypatch):
    monkeypatch.setattr(_stream, "_PIECE", CLUSTER)
    scene.create(6 * CLUSTER, content(6 * CLUSTER, 2))
    told = []
    with scene.open() as image:

        def progress(*state):
            told.append(state)
            if len(told) == 1:
                image.write(4 * CLUSTER, b"a")

        assert image.stream(progress=progress)
    assert told[-1] == (6, 6)
    assert told == sorted(told)


class Clock:
    """A clock that goes only while somebody sleeps."""

    def __init__(self):
        self.now = 1000.0
        self.naps = []

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        assert seconds > 0
        self.naps.append(seconds)
        self.now += max(seconds, 1e-6)  # as no clock stands still


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(_stream, "time", clock)
    return clock


@pytest.mark.parametrize("limit", [CLUSTER, 3 * CLUSTER, 100 * CLUSTER])
def test_limit_paces_what_is_copied(scene, limit, clock, monkeypatch):
    monkeypatch.setattr(_stream, "_PIECE", CLUSTER)
    scene.create(30 * CLUSTER, content(8 * CLUSTER, 2))
    with scene.open() as image:
        assert image.stream(limit=limit)
    assert clock.now - 1000 == pytest.approx(8 * CLUSTER / limit, abs=1e-3)
    assert max(clock.naps) <= 0.5
    check(scene, below(content(8 * CLUSTER, 2), 30 * CLUSTER))


def test_stop_is_seen_while_the_limit_makes_it_wait(scene, clock, monkeypatch):
    monkeypatch.setattr(_stream, "_PIECE", CLUSTER)
    scene.create(4 * CLUSTER, content(4 * CLUSTER, 2))
    with scene.open() as image:
        assert not image.stream(limit=1, stop=lambda: clock.now > 1002)
        assert image.allocated_units() == 1
    assert clock.now < 1003


@pytest.mark.parametrize("limit", [0, -1])
def test_limit_below_1_is_refused(scene, limit):
    scene.create(CLUSTER, content(CLUSTER, 2))
    with scene.open() as image, pytest.raises(UsageError):
        image.stream(limit=limit)


def test_no_limit_never_sleeps(scene, clock):
    scene.create(CLUSTER, content(CLUSTER, 2))
    with scene.open() as image:
        assert image.stream()
    assert clock.naps == []


# -- while in use


def test_guest_writes_keep_the_guests_data(scene, revision):
    """Each thread writes bytes of its own, all over the disk, while it is streamed."""
    size = 24 * UNIT[V10]
    base = content(size, 2)
    scene.create(content(size, 3), base, revision=revision)
    want = bytearray(base)
    places = [(at, bytes([1 + at % 251]) * 300) for at in range(100, size - 300, 5003)]
    for at, data in places:
        want[at : at + 300] = data
    failed = []

    def work(image, mine):
        try:
            for at, data in places[mine::3]:
                image.write(at, data)
                assert image.read(at, 300) == data
        except BaseException as error:  # noqa: BLE001 - told by the main thread
            failed.append(error)

    with scene.open(cache_size=4096) as image:
        threads = [threading.Thread(target=work, args=(image, mine)) for mine in range(3)]
        for thread in threads:
            thread.start()
        assert image.stream()
        for thread in threads:
            thread.join(60)
        assert not failed
        assert image.read(0, size) == want
    check(scene, want)


class Slow(RecordingStorage):
    """A storage that holds one write to the image file until something is done meanwhile."""

    def __init__(self, storage, log, state=None):
        super().__init__(storage, log)
        self.state = state or {"held": threading.Event(), "go": threading.Event(), "data": b""}

    def open(self, name, *, writable=False):
        return Slow(self.storage.open(name, writable=writable), self.log, self.state)

    def write(self, offset, *buffers):
        if self.path.endswith(b"img") and b"".join(buffers).startswith(self.state["data"]):
            self.state["held"].set()
            assert self.state["go"].wait(30)
        super().write(offset, *buffers)


def test_unit_that_is_being_copied_gets_the_guests_data_last(scene):
    base = content(2 * CLUSTER, 2)
    scene.create(2 * CLUSTER, base)
    storage = Slow(scene.storage(), [])
    storage.state["data"] = base[:16]
    with open_image(storage, writable=True) as image:
        stream = threading.Thread(target=image.stream)
        stream.start()
        assert storage.state["held"].wait(30)
        guest = threading.Thread(target=image.write, args=(5, b"guest"))
        guest.start()
        guest.join(0.05)
        assert guest.is_alive()
        assert image.read(0, 20) == base[:20]
        storage.state["go"].set()
        guest.join(30)
        stream.join(30)
        assert not guest.is_alive()
        assert not stream.is_alive()
    check(scene, base[:5] + b"guest" + base[10:])


def resizing(image, *sizes):
    """A progress function that resizes at its first call."""
    left = [sizes]

    def progress(*_):
        for size in left.pop() if left else ():
            image.resize(size)

    return progress


@pytest.mark.parametrize("sizes", [(2,), (9,), (0,), (0, 6), (1, 9), (9, 3), (1, 2, 6)])
def test_resize_while_streaming(scene, revision, sizes, monkeypatch):
    """What a resize brings is streamed too, also before the place that the stream had reached."""
    unit = UNIT[revision]
    monkeypatch.setattr(_stream, "_PIECE", 3 * unit)
    base = content(12 * unit, 2)
    scene.create(content(6 * unit, 3), base, revision=revision)
    with scene.open() as image:
        assert image.stream(progress=resizing(image, *(size * unit for size in sizes)))
        assert image.allocated_units() == image.units == sizes[-1]
    check(scene, base[: sizes[-1] * unit])


def test_close_ends_a_stream(scene, monkeypatch):
    monkeypatch.setattr(_stream, "_PIECE", CLUSTER)
    scene.create(6 * CLUSTER, content(6 * CLUSTER, 2))
    image = scene.open()
    with pytest.raises(UsageError):
        image.stream(progress=lambda *_: image.close())
    assert scene.bits() == {0}


# -- cut off, failing


def test_killed_stream_goes_on_from_the_last_flush(tmp_path, monkeypatch):
    """The image is abandoned, not closed: what was flushed is there, and nothing else was lost."""
    monkeypatch.setattr(_stream, "_PIECE", CLUSTER)
    monkeypatch.setattr(_stream, "_FLUSH_EVERY", 3 * CLUSTER)
    scene = Scene("files", tmp_path)
    base = content(9 * CLUSTER, 2)
    scene.create(content(9 * CLUSTER, 3), base)

    class Killed(Exception):
        pass

    def progress(done, _):
        if done == 5:
            raise Killed

    abandoned = scene.open()
    with pytest.raises(Killed):
        abandoned.stream(progress=progress)
    assert scene.bits() == {0, 1, 2}
    with open_image(scene.path(), lock=False) as reader:
        assert reader.read(0, 9 * CLUSTER) == base
    copies = Scene("files", tmp_path / "after")
    os.mkdir(copies.directory)
    for name in (b"x", b"img", b"base"):
        copies.put(name, scene.get(name))
    with copies.open() as image:
        told = []
        assert image.stream(progress=lambda *state: told.append(state))
    assert told[0] == (4, 9)
    check(copies, base)
    abandoned.close()


def test_flushes_come_as_data_does(scene, monkeypatch):
    monkeypatch.setattr(_stream, "_PIECE", CLUSTER)
    monkeypatch.setattr(_stream, "_FLUSH_EVERY", 3 * CLUSTER)
    scene.create(20 * CLUSTER, content(10 * CLUSTER, 2))
    image, log = scene.recorded()
    with image:
        image.stream()
        bitmap = scene.identity(b"x")
        assert sum(event == SyncEvent(bitmap) for event in log) == 4


@pytest.mark.parametrize("operation", [Operation.READ, Operation.WRITE, Operation.SYNC, Operation.ZEROES])
@pytest.mark.parametrize("name", [b"x", b"img", b"base"])
def test_failing_stream_keeps_the_disk_and_goes_on(scene, revision, operation, name, monkeypatch):
    monkeypatch.setattr(_stream, "_PIECE", CLUSTER)
    monkeypatch.setattr(_stream, "_FLUSH_EVERY", 2 * CLUSTER)
    base, size = content(4 * CLUSTER, 2), 6 * CLUSTER
    for after in range(100):
        scene.create(content(size, 3), base, revision=revision, overwrite=True)
        image, plan = scene.faulty()
        fault = plan.arm(operation, name=name, after=after, times=1, partial=700)
        try:
            assert image.stream()
        except StorageError:
            assert not fault.times
        plan.disarm()
        assert image.read(0, size) == below(base, size)
        if operation is Operation.SYNC and not fault.times:
            with pytest.raises(StorageError):
                image.stream()
            with pytest.raises(StorageError):
                image.close()
        else:
            assert image.stream()
            image.close()
        with scene.open() as image:
            assert image.stream()
        assert scene.get(b"img") == below(base, size)
        if fault.times:
            break
    else:
        pytest.fail("it never came to an end")
    check(scene, below(base, size))


# -- cost


@pytest.mark.parametrize("streamed", [False, True])
def test_cost_follows_data(tmp_path, streamed):
    """A terabyte with three pieces of data: calls by the gigabyte of holes, and by the data."""
    scene = Scene("memory", tmp_path)
    size, pieces = 1 << 40, (0, 700 << 30, (1 << 40) - CLUSTER)
    scene.create(0, b"")
    for name, data in ((b"img", ()), (b"base", pieces)):
        with closing(scene.memory.open(name, writable=True)) as file:
            file.truncate(size)
            for at in data:
                file.write(at, content(CLUSTER, 2))
    with closing(scene.memory.open(b"x", writable=True)) as file:
        file.truncate(Geometry(V10, size).bitmap_end)
    plan = FaultPlan()
    with open_image(FaultyStorage(scene.storage(), plan), writable=True) as image:
        assert image.stream()
        if streamed:
            plan.calls.clear()
            assert image.stream()
        assert image.allocated_units() == image.units
        for at in pieces:
            assert image.read(at, CLUSTER) == content(CLUSTER, 2)
    count = plan.calls
    assert sum(count.values()) < (2000 if streamed else 12000)
    assert count[Operation.ZEROES, b"img"] == 0
    assert count[Operation.READ, b"base"] <= 3
    assert count[Operation.WRITE, b"img"] <= (0 if streamed else 3)
    assert count[Operation.SYNC, b"img"] < 10
