"""Opening files whose names are hostile: never blocks, never opens what is not a plain file.

A path is first pinned with ``O_PATH``, which runs no driver and waits for no peer; what it turned out to be
is then judged on the pinned inode, and only that very inode is opened for reading. A symbolic link that
changes in between changes nothing.
"""

from __future__ import annotations

import errno
import os
import stat
from enum import StrEnum
from functools import cache
from typing import NamedTuple, Protocol, Self

from addcow_spec.errors import StorageError
from addcow_spec.text import printable

__all__ = ["Identity", "OpenFailed", "OpenFile", "Opener", "Refusal", "open_file"]

_PSEUDO = ("/proc", "/sys", "/sys/kernel/debug", "/sys/kernel/tracing", "/sys/fs/cgroup")
_KINDS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a character device",
    stat.S_IFBLK: "a block device",
}

_ABSENT = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG})
_OURS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})


class Refusal(StrEnum):
    """Why a file was not opened."""

    ABSENT = "absent"
    UNREADABLE = "unreadable"
    IRREGULAR = "irregular"
    OUTSIDE = "outside"


class OpenFailed(Exception):
    """A file was not opened: why, and a few words for people."""

    def __init__(self, refusal: Refusal, detail: str) -> None:
        super().__init__(detail)
        self.refusal = refusal
        self.detail = detail


class Identity(NamedTuple):
    """What makes two paths the same file: device and inode, or the device that a node stands for."""

    device: int
    inode: int


class OpenFile:
    """A file opened for reading. ``length`` bounds every read, so that a pseudo file is never waited for."""

    def __init__(self, descriptor: int, path: bytes, identity: Identity, length: int) -> None:
        self.descriptor = descriptor
        self.path = path
        self.identity = identity
        self.length = length

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.descriptor)

    def read(self, offset: int, size: int) -> bytes:
        """Up to ``size`` bytes at ``offset``; fewer only where the file ends.

        Raises:
            StorageError: reading failed.
        """
        size = min(size, self.length - offset)
        if size <= 0:
            return b""
        try:
            data = os.pread(self.descriptor, size, offset)
            while data and len(data) < size:
                more = os.pread(self.descriptor, size - len(data), offset + len(data))
                if not more:
                    break
                data += more
        except OSError as error:
            raise self.failure(offset, error) from error
        return data

    def byte(self, offset: int) -> int:
        """The byte at ``offset``.

        Raises:
            StorageError: reading failed, or the file has become shorter than it was when it was opened.
        """
        data = self.read(offset, 1)
        if not data:
            raise StorageError(f"it shrank to {offset} bytes or fewer while it was read")
        return data[0]

    def read_into(self, buffer: memoryview, offset: int) -> None:
        """Fill ``buffer`` from ``offset``.

        Raises:
            StorageError: reading failed, or the file has become shorter than it was when it was opened.
        """
        done = 0
        while done < len(buffer):
            try:
                got = os.preadv(self.descriptor, [buffer[done:]], offset + done)
            except OSError as error:
                raise self.failure(offset + done, error) from error
            if not got:
                raise StorageError(f"it shrank to {offset + done} bytes while it was read")
            done += got

    def next_data(self, offset: int, end: int) -> int:
        """The first offset from ``offset`` on that is not in a hole; ``end`` where there is none before it.

        Raises:
            StorageError: the file system failed.
        """
        if offset >= end:
            return end
        try:
            return min(os.lseek(self.descriptor, offset, os.SEEK_DATA), end)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return end
            if error.errno == errno.EINVAL:
                return offset
            raise self.failure(offset, error) from error

    @staticmethod
    def failure(offset: int, error: OSError) -> StorageError:
        """A StorageError that says where reading failed; raise it from ``error``."""
        return StorageError(f"reading at byte {offset} failed: {error.strerror}")


class Opener(Protocol):
    """Opens files for the checker as `open_file` does; raises OpenFailed and StorageError as it does."""

    def __call__(self, path: bytes, *, confine: bytes | None, allow_block_devices: bool) -> OpenFile:
        """Open ``path`` for reading."""


@cache
def _pseudo_devices() -> frozenset[int]:
    found = set()
    for path in _PSEUDO:
        try:
            found.add(os.stat(path).st_dev)
        except OSError:
            continue
    return frozenset(found)


def open_file(path: bytes, *, confine: bytes | None = None, allow_block_devices: bool = False) -> OpenFile:
    """Open ``path`` for reading if it leads to a regular file, or to a block device where that is allowed.

    Args:
        path: the path, symbolic links followed.
        confine: a directory; a path that leads to a file not beneath it is not opened.
        allow_block_devices: whether a block device will do.

    Raises:
        OpenFailed: with the reason.
        StorageError: descriptors or memory ran out.
    """
    try:
        pin = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError as error:
        if confine is not None and not _beneath(_real_path(path), confine):
            raise OpenFailed(Refusal.OUTSIDE, f"it leads outside {printable(confine)}") from error
        raise _failed(error) from error
    try:
        if confine is not None and not _beneath(os.readlink(b"/proc/self/fd/%d" % pin), confine):
            raise OpenFailed(Refusal.OUTSIDE, f"it leads outside {printable(confine)}")
        status = os.fstat(pin)
        kind = stat.S_IFMT(status.st_mode)
        if kind != stat.S_IFREG and not (kind == stat.S_IFBLK and allow_block_devices):
            raise OpenFailed(Refusal.IRREGULAR, f"it is {_KINDS.get(kind, 'no regular file')}")
        if status.st_dev in _pseudo_devices():
            raise OpenFailed(Refusal.IRREGULAR, "it is a file of a pseudo file system")
        return _reopen(pin, path, status)
    finally:
        os.close(pin)


def _reopen(pin: int, path: bytes, status: os.stat_result) -> OpenFile:
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    try:
        descriptor = os.open(b"/proc/self/fd/%d" % pin, flags)
    except OSError as error:
        raise _failed(error) from error
    if stat.S_ISBLK(status.st_mode):
        length = os.lseek(descriptor, 0, os.SEEK_END)
        return OpenFile(descriptor, path, Identity(-1, status.st_rdev), length)
    return OpenFile(descriptor, path, Identity(status.st_dev, status.st_ino), status.st_size)


def _failed(error: OSError) -> OpenFailed:
    """The outcome of a failed open.

    Raises:
        StorageError: it was the checker that ran out of something, which says nothing of the file.
    """
    reason = os.strerror(error.errno or 0)
    if error.errno in _OURS:
        raise StorageError(reason) from error
    return OpenFailed(Refusal.ABSENT if error.errno in _ABSENT else Refusal.UNREADABLE, reason)


def _real_path(path: bytes) -> bytes:
    """The path with its links followed as far as they go; empty, thus nowhere, if it changed meanwhile."""
    try:
        return os.path.realpath(path)
    except OSError:
        return b""


def _beneath(path: bytes, directory: bytes) -> bool:
    root = os.path.realpath(directory).rstrip(b"/") + b"/"
    return path.startswith(root)
