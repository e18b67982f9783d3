"""The system's own ways: transfers in parts, signals, files that shrink while they are open."""

from __future__ import annotations

import errno
import os
import signal
from itertools import count

import pytest

from addcow_ref import _linux
from addcow_spec.errors import StorageError
from tests.ref.scenes import CLUSTER, SECTOR, noise

SIZE = 3 * CLUSTER + SECTOR
GARBAGE = b"\xdd" * SIZE
BASE = noise(2 * CLUSTER + 1000)


class Partial:
    """Stands for `os.preadv` or `os.pwritev`, and transfers no more than some bytes at once."""

    def __init__(self, call, most):
        self.call = call
        self.most = most
        self.cut = 0

    def __call__(self, descriptor, buffers, offset):
        whole = [memoryview(buffer).cast("B") for buffer in buffers]
        first = next((view for view in whole if len(view)), whole[0])
        self.cut += sum(map(len, whole)) > self.most
        return self.call(descriptor, [first[: self.most]], offset)


@pytest.mark.parametrize("most", [1, 511, 4097])
def test_transfers_in_parts_are_completed(files, revision, most, monkeypatch):
    size = 9000 // SECTOR * SECTOR
    files.create(b"\xdd" * size, noise(5000), revision=revision)
    read, write = Partial(os.preadv, most), Partial(os.pwritev, most)
    monkeypatch.setattr(os, "preadv", read)
    monkeypatch.setattr(os, "pwritev", write)
    want = bytearray(noise(5000).ljust(size, b"\0"))
    want[300:5300] = noise(5000, 9)
    with files.open() as image:
        image.write(300, noise(5000, 9))
        assert image.read(0, size) == want
        image.stream()
    with files.open() as image:
        assert image.read(0, size) == want
    assert files.get(b"img") == want
    assert read.cut
    assert write.cut


def test_signals_interrupt_no_transfer(files):
    """An interval timer strikes all the time while megabytes are copied."""
    size = 2 << 20
    files.create(size, noise(size))
    struck = []
    before = signal.signal(signal.SIGALRM, lambda *_: struck.append(1))
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
    try:
        with files.open() as image:
            for turn in count():
                image.write(100, noise(size // 2, turn))
                image.write_zeroes(size - 2 * CLUSTER, CLUSTER)
                assert image.read(100, size // 2) == noise(size // 2, turn)
                if len(struck) > 5:
                    break
            image.stream()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert (
        files.get(b"img")[-3 * CLUSTER :]
        == noise(size)[-3 * CLUSTER : -2 * CLUSTER] + bytes(CLUSTER) + noise(size)[-CLUSTER:]
    )


def test_interrupted_fallocate_is_repeated(files, monkeypatch):
    """The one call that goes past the interpreter, which repeats all others."""
    files.create(GARBAGE)
    real = _linux._c_fallocate()
    answers = [errno.EINTR, errno.EINTR]
    monkeypatch.setattr(
        _linux, "_c_fallocate", lambda: lambda *arguments: answers.pop() if answers else real(*arguments)
    )
    with files.open() as image:
        image.write_zeroes(0, CLUSTER)
    assert not answers
    assert files.get(b"img")[:CLUSTER] == bytes(CLUSTER)


@pytest.mark.parametrize("shrunk", ["img", "base", "x"])
def test_file_that_shrinks_underneath_is_told(files, revision, shrunk):
    files.create(GARBAGE, BASE, revision=revision)
    with files.open() as image:
        image.write(0, b"\xee" * CLUSTER)
    image = files.open(writable=False)
    os.truncate(files.path(os.fsencode(shrunk)), 0)
    place = {"img": 0, "base": CLUSTER, "x": 0}[shrunk]
    for _ in range(2):
        with pytest.raises(StorageError):
            image.read(place, 1)
    image.close()


def test_copy_from_a_backing_file_that_shrinks_sets_no_bit(files, revision):
    files.create(GARBAGE, BASE, revision=revision)
    with files.open() as image:
        os.truncate(files.path(b"base"), 100)
        with pytest.raises(StorageError):
            image.write(300, b"\xee")
        with pytest.raises(StorageError):
            image.stream()
        assert image.allocated_units() == 0
        image.write(0, b"\xee" * CLUSTER)
        assert image.read(0, CLUSTER) == b"\xee" * CLUSTER
