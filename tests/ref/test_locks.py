"""Locks that the project, the checker and QEMU see of one another (ACW-DYN-014)."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
from contextlib import contextmanager

import pytest

from addcow_conformance.checker._files import open_file
from addcow_conformance.checker.repair import _locked
from addcow_ref import FileStorage
from addcow_ref._linux import is_byte_locked
from addcow_spec.errors import ImageInUse, StorageError

system = pytest.mark.system

# A sound command answers at once; only a hang comes near this.
HANG = 60


@pytest.fixture
def path(tmp_path):
    made = tmp_path / "disk.raw"
    made.write_bytes(bytes(1 << 20))
    return bytes(made)


@contextmanager
def holding(path, *, exclusive):
    storage = FileStorage.open_path(path, writable=exclusive)
    try:
        storage.lock(exclusive=exclusive)
        yield storage
    finally:
        storage.close()


@contextmanager
def closing(path):
    storage = FileStorage.open_path(path)
    yield storage
    storage.close()


def held_bytes(path):
    """The bytes that anybody has locked."""
    with closing(path) as file:
        return {at for at in range(90, 310) if is_byte_locked(file._fd, at)}


def test_bytes_are_those_of_qemu(path):
    with holding(path, exclusive=False):
        assert held_bytes(path) == {100, 201, 203}
    with holding(path, exclusive=True):
        assert held_bytes(path) == {100, 101, 103, 200, 201, 203}
    assert held_bytes(path) == set()


@pytest.mark.parametrize("exclusive", [False, True])
def test_other_processes_are_refused(path, exclusive):
    program = (
        "import sys\n"
        "from addcow_ref import FileStorage\n"
        "from addcow_spec.errors import ImageInUse\n"
        "for exclusive in (False, True):\n"
        "    file = FileStorage.open_path(sys.argv[1].encode(), writable=True)\n"
        "    try:\n"
        "        file.lock(exclusive=exclusive)\n"
        "        print('in')\n"
        "    except ImageInUse as refused:\n"
        "        print(refused.rule)\n"
        "    file.close()\n"
    )
    with holding(path, exclusive=exclusive):
        command = [sys.executable, "-c", program, path]
        done = subprocess.run(command, capture_output=True, text=True, timeout=HANG, check=True)
    assert done.stdout.split() == ["ACW-DYN-014" if exclusive else "in", "ACW-DYN-014"]


@pytest.mark.parametrize("exclusive", [False, True])
def test_repair_of_the_checker_is_kept_out(path, exclusive):
    with open_file(path) as checked:
        with holding(path, exclusive=exclusive), pytest.raises(StorageError), _locked(checked):
            pass
        with _locked(checked):
            before = held_bytes(path)
            with pytest.raises(ImageInUse) as caught, holding(path, exclusive=exclusive):
                pass
            assert held_bytes(path) == before
        with holding(path, exclusive=exclusive):
            pass
    assert caught.value.path == path


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_file_system_without_locks_says_so(path, monkeypatch, code):
    def refusing(*_):
        raise OSError(code, os.strerror(code))

    with closing(path) as file:
        monkeypatch.setattr(fcntl, "fcntl", refusing)
        with pytest.raises(StorageError) as caught:
            file.lock(exclusive=False)
        monkeypatch.undo()
    assert caught.value.__cause__.errno == code


def test_lock_is_given_back_where_it_is_refused(path):
    with holding(path, exclusive=False):
        before = held_bytes(path)
        with pytest.raises(ImageInUse), holding(path, exclusive=True):
            pass
        late = FileStorage.open_path(path, writable=True)
        with pytest.raises(ImageInUse):
            late.lock(exclusive=True)
        # It is still open, and keeps nobody out.
        assert held_bytes(path) == before
        with holding(path, exclusive=False):
            pass
        late.close()


# -- a real QEMU


def qemu_io(path, *options):
    command = ["qemu-io", "-f", "raw", *options, "-c", "read 0 512", path]
    return subprocess.run(
        command, capture_output=True, stdin=subprocess.DEVNULL, timeout=HANG, check=False
    ).returncode


@contextmanager
def qemu_holding(path, *options):
    """A qemu-io that has the file open, and has answered a command."""
    command = ["qemu-io", "-f", "raw", *options, path]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            process.stdin.write(b"read 0 512\n")
            process.stdin.flush()
            answer = b""
            while b"ops" not in answer:
                got = process.stdout.read1()
                assert got, answer
                answer += got
            yield
        finally:
            process.stdin.close()
            process.wait(HANG)


@system
def test_qemu_is_kept_out_by_a_writer(path):
    with holding(path, exclusive=True):
        assert qemu_io(path) == qemu_io(path, "-r") == 1
        convert = ["qemu-img", "convert", "-f", "raw", "-O", "raw", path, path + b".copy"]
        assert subprocess.run(convert, capture_output=True, timeout=HANG, check=False).returncode == 1
    assert qemu_io(path) == qemu_io(path, "-r") == 0


@system
def test_qemu_reads_beside_a_reader_and_does_not_write(path):
    with holding(path, exclusive=False):
        assert qemu_io(path, "-r") == 0
        assert qemu_io(path) == 1


@system
@pytest.mark.parametrize("exclusive", [False, True])
def test_writing_qemu_keeps_everybody_out(path, exclusive):
    with qemu_holding(path):
        with pytest.raises(ImageInUse) as caught, holding(path, exclusive=exclusive):
            pass
        assert caught.value.path == path
    with holding(path, exclusive=exclusive):
        pass


@system
def test_reading_qemu_keeps_writers_out_only(path):
    with qemu_holding(path, "-r"):
        with holding(path, exclusive=False):
            pass
        with pytest.raises(ImageInUse), holding(path, exclusive=True):
            pass
