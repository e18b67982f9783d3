"""ACW-DYN-012 beside a guest, a resize, a kill and failing storage."""

from __future__ import annotations

import os
import threading

import pytest

from addcow_ref import _stream, open_image
from addcow_ref.testing import (
    Operation,
    RecordingStorage,
    SyncEvent,
)
from addcow_spec.errors import StorageError, UsageError
from tests.ref.scenes import CLUSTER, UNIT, Scene
from tests.ref.streamed import V10, below, check, content

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
