"""Real files whose system calls do less than they were asked to, or something else."""

from __future__ import annotations

import errno
import os
import signal

import pytest

from addcow_ref import FileStorage, _file_storage, _linux
from addcow_spec.errors import StorageError


@pytest.fixture
def path(tmp_path):
    made = tmp_path / "x"
    made.write_bytes(b"0123456789" * 100)
    return made


@pytest.fixture
def file(path):
    storage = FileStorage.open_path(bytes(path), writable=True)
    yield storage
    storage.close()


def test_short_reads_are_continued(file, monkeypatch):
    real, calls = os.preadv, []

    def short(descriptor, buffers, offset):
        calls.append(offset)
        return real(descriptor, [memoryview(buffers[0])[:7]], offset)

    monkeypatch.setattr(os, "preadv", short)
    buffer = bytearray(30)
    file.read_into(3, buffer)
    assert buffer == b"3456789012" * 3
    assert calls == [3, 10, 17, 24, 31]


def test_short_writes_are_continued_across_buffers(file, path, monkeypatch):
    real, calls = os.pwritev, []

    def short(descriptor, buffers, offset):
        calls.append(offset)
        return real(descriptor, [b"".join(buffers)[:7]], offset)

    monkeypatch.setattr(os, "pwritev", short)
    file.write(3, b"abcdefghi", b"", b"jklm", b"", b"nopqrstuvwxyz", b"")
    assert path.read_bytes()[:30] == b"012abcdefghijklmnopqrstuvwxyz9"
    assert calls == [3, 10, 17, 24]


def test_write_that_gets_nowhere_ends(file, monkeypatch):
    monkeypatch.setattr(os, "pwritev", lambda *_: 0)
    with pytest.raises(StorageError):
        file.write(0, b"data")


@pytest.mark.parametrize("after", [0, 1])
@pytest.mark.parametrize("call", ["preadv", "pwritev"])
def test_failure_carries_its_cause(file, monkeypatch, call, after):
    real, calls = getattr(os, call), []

    def failing(descriptor, buffers, offset):
        calls.append(offset)
        if len(calls) > after:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(descriptor, [memoryview(buffers[0])[:4]], offset)

    monkeypatch.setattr(os, call, failing)
    with pytest.raises(StorageError) as caught:
        file.read_into(0, bytearray(10)) if call == "preadv" else file.write(0, bytes(10))
    assert caught.value.__cause__.errno == errno.EIO
    assert len(calls) == after + 1


def test_signals_during_a_read_leave_it_whole(monkeypatch):
    """The kernel cuts reads of this device short when a signal comes, and Python runs its handler."""
    file = FileStorage.adopt(os.open("/dev/zero", os.O_RDONLY), b"/dev/zero")
    real, calls, signals = os.preadv, [], []

    def counting(*arguments):
        calls.append(None)
        return real(*arguments)

    monkeypatch.setattr(os, "preadv", counting)
    previous = signal.signal(signal.SIGALRM, lambda *_: signals.append(None))
    signal.setitimer(signal.ITIMER_REAL, 0.002, 0.002)
    try:
        for reads in range(1, 200):
            buffer = bytearray(b"\xff") * (16 << 20)
            file.read_into(0, buffer)
            assert not any(buffer[:: 1 << 12])
            assert buffer.count(0) == len(buffer)
            if len(calls) > reads:
                break
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
        file.close()
    assert signals
    assert len(calls) > reads


@pytest.mark.parametrize("unmap", [True, False])
@pytest.mark.parametrize("code", [errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL])
def test_zeros_are_written_where_there_are_no_holes(file, path, monkeypatch, unmap, code):
    monkeypatch.setattr(_linux, "_c_fallocate", lambda: lambda *_: code)
    monkeypatch.setattr(_file_storage, "_ZEROES", bytes(100))
    file.write_zeroes(950, 333, unmap=unmap)
    assert path.read_bytes() == (b"0123456789" * 95).ljust(950 + 333, b"\0")


def test_zeros_are_written_in_pieces(file, monkeypatch):
    monkeypatch.setattr(_linux, "_c_fallocate", lambda: lambda *_: errno.EOPNOTSUPP)
    real, lengths = os.pwritev, []

    def counting(descriptor, buffers, offset):
        lengths.append(sum(map(len, buffers)))
        return real(descriptor, buffers, offset)

    monkeypatch.setattr(os, "pwritev", counting)
    file.write_zeroes(0, (2 << 20) + 1, unmap=False)
    assert lengths == [1 << 20, 1 << 20, 1]


@pytest.mark.parametrize("unmap", [True, False])
def test_failure_to_zero_carries_its_cause(file, monkeypatch, unmap):
    monkeypatch.setattr(_linux, "_c_fallocate", lambda: lambda *_: errno.ENOSPC)
    with pytest.raises(StorageError) as caught:
        file.write_zeroes(0, 10, unmap=unmap)
    assert caught.value.__cause__.errno == errno.ENOSPC


def test_interrupted_fallocate_is_repeated(file, path, monkeypatch):
    real, answers = _linux._c_fallocate(), [errno.EINTR, errno.EINTR]
    monkeypatch.setattr(
        _linux, "_c_fallocate", lambda: lambda *call: answers.pop() if answers else real(*call)
    )
    file.write_zeroes(10, 10)
    assert answers == []
    assert path.read_bytes()[:30] == b"0123456789" + bytes(10) + b"0123456789"


def test_zeros_never_cut_what_another_thread_appends(file, monkeypatch):
    """The file grows between looking at its length and making the hole."""
    real = FileStorage.length

    def racing(storage):
        length = real(storage)
        monkeypatch.undo()
        storage.write(5000, b"appended")
        return length

    monkeypatch.setattr(FileStorage, "length", racing)
    file.write_zeroes(500, 2000)
    tail = bytearray(8)
    file.read_into(5000, tail)
    assert (file.length(), tail) == (5008, b"appended")


@pytest.mark.parametrize(("code", "data", "hole"), [(errno.ENXIO, 900, 900), (errno.EINVAL, 10, 900)])
def test_file_systems_that_tell_no_holes(file, monkeypatch, code, data, hole):
    def refusing(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "lseek", refusing)
    assert (file.next_data(10, 900), file.next_hole(10, 900)) == (data, hole)


def test_other_failures_to_seek_are_errors(file, monkeypatch):
    def failing(*_):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "lseek", failing)
    for call in (lambda: file.next_data(0, 9), lambda: file.next_hole(0, 9), file.length):
        with pytest.raises(StorageError) as caught:
            call()
        assert caught.value.__cause__.errno == errno.EIO


@pytest.mark.parametrize(("call", "method"), [("fdatasync", "sync"), ("close", "close")])
def test_failed_sync_and_close_are_errors(path, monkeypatch, call, method):
    file, real = FileStorage.open_path(bytes(path), writable=True), getattr(os, call)

    def failing(descriptor):
        real(descriptor)
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, call, failing)
    with pytest.raises(StorageError) as caught:
        getattr(file, method)()
    assert caught.value.__cause__.errno == errno.EIO
    monkeypatch.undo()
    file.close()
