"""ACW-DYN-012: a stream makes the image file the disk, whatever happens meanwhile."""

from __future__ import annotations

import os
from contextlib import closing

import pytest

from addcow_ref import _stream, open_image
from addcow_ref.testing import (
    FaultPlan,
    FaultyStorage,
    Operation,
    SyncEvent,
    WriteEvent,
    ZeroesEvent,
)
from addcow_spec.errors import UsageError
from addcow_spec.geometry import Geometry
from tests.ref import qcow2_images
from tests.ref.scenes import CLUSTER, UNIT, Scene
from tests.ref.streamed import V10, below, check, content, stop_after


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


@pytest.mark.parametrize("long", [512, 2 * CLUSTER, 1 << 30])
def test_holes_of_any_length_between_data(scene, revision, long, monkeypatch):
    """Wherever a piece ends, at a hole or beyond it, the disk is the same; its last unit may be short."""
    monkeypatch.setattr(_stream, "_LONG", long)
    base = bytearray(19 * CLUSTER)
    scene.create(20 * CLUSTER + 512, b"", revision=revision)
    with closing(scene.storage()) as add_cow, closing(add_cow.open(b"base", writable=True)) as file:
        file.truncate(len(base))
        for at, length in ((0, 100), (CLUSTER - 9, 9), (4 * CLUSTER + 5000, CLUSTER), (9 * CLUSTER, 1)):
            base[at : at + length] = content(length, 3)
            file.write(at, base[at : at + length])
    with scene.open() as image:
        assert image.stream()
    check(scene, bytes(base).ljust(20 * CLUSTER + 512, b"\0"))


# -- stop, go on, tell


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
