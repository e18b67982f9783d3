"""A file of the file system as a storage."""

from __future__ import annotations

import errno
import os
import stat
from functools import cache
from typing import Self

from addcow_ref._linux import PUNCH_HOLE, ZERO_RANGE, fallocate
from addcow_ref._locks import lock_file
from addcow_ref.storage import Identity, OpenFailed, OpenReason, ReadableBuffer, WritableBuffer
from addcow_spec.errors import StorageError
from addcow_spec.text import printable

__all__ = ["FileStorage"]

_ABSENT = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG})
_OURS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})
_PSEUDO = ("/proc", "/sys", "/sys/kernel/debug", "/sys/kernel/tracing", "/sys/fs/cgroup")
_UNSUPPORTED = frozenset({errno.EOPNOTSUPP, errno.ENOSYS, errno.ENODEV, errno.EINVAL})
_FLAGS = os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_ZEROES = bytes(1 << 20)
_MOST_BUFFERS = 512


class FileStorage:
    """An open file; see `Storage`. Use `open_path`.

    All reading and writing is positional, so that threads need no lock; what seeks, the search for holes, moves
    an offset that nothing else looks at.
    """

    def __init__(
        self, descriptor: int, path: bytes, *, writable: bool, confine: bytes | None, devices: bool
    ) -> None:
        status = os.fstat(descriptor)
        block = stat.S_ISBLK(status.st_mode)
        self.path = path
        self.writable = writable
        self.identity: Identity = (-1, status.st_rdev) if block else (status.st_dev, status.st_ino)
        self._descriptor = descriptor
        self._confine = confine
        self._devices = devices
        self._closed = False

    @classmethod
    def open_path(
        cls,
        path: bytes,
        *,
        writable: bool = False,
        confine: bytes | None = None,
        allow_block_devices: bool = False,
    ) -> Self:
        """Open the regular file, or where that is allowed the block device, that ``path`` leads to.

        The path is pinned first, without opening what it leads to: no FIFO is waited for and no driver runs.
        What it is, and where, is then judged on the pinned file, and that very file is opened.

        Raises:
            OpenFailed: with the reason.
            StorageError: descriptors or memory ran out.
        """
        pin = -1
        try:
            pin = os.open(path, os.O_PATH | os.O_CLOEXEC)
            _judge(pin, path, confine, allow_block_devices)
            descriptor = os.open(b"/proc/self/fd/%d" % pin, _FLAGS | (os.O_RDWR if writable else os.O_RDONLY))
        except (OSError, ValueError) as error:
            if confine is not None and pin < 0 and not _is_beneath(os.path.realpath(path), confine):
                raise _outside(path, confine) from error
            raise _refused(path, error) from error
        finally:
            if pin >= 0:
                os.close(pin)
        return cls(descriptor, path, writable=writable, confine=confine, devices=allow_block_devices)

    @classmethod
    def adopt(cls, descriptor: int, path: bytes, *, confine: bytes | None = None) -> Self:
        """Take over a descriptor that is open for reading and writing."""
        return cls(descriptor, path, writable=True, confine=confine, devices=False)

    def length(self) -> int:
        """The file's present length; that of a block device is its size."""
        try:
            status = os.fstat(self._descriptor)
            if stat.S_ISBLK(status.st_mode):
                return os.lseek(self._descriptor, 0, os.SEEK_END)
        except OSError as error:
            raise self._failed("asking for the length", error) from error
        return status.st_size

    def read_into(self, offset: int, buffer: WritableBuffer) -> None:
        """Fill ``buffer``; see `Storage.read_into`."""
        try:
            done = os.preadv(self._descriptor, (buffer,), offset)
        except OSError as error:
            raise self._failed(f"reading at byte {offset}", error) from error
        if done != len(buffer):
            self._read_rest(offset, memoryview(buffer).cast("B"), done)

    def _read_rest(self, offset: int, view: memoryview, done: int) -> None:
        while done < len(view):
            try:
                got = os.preadv(self._descriptor, (view[done:],), offset + done)
            except OSError as error:
                raise self._failed(f"reading at byte {offset + done}", error) from error
            if not got:
                message = (
                    f"{printable(self.path)} ends at byte {offset + done}, and was longer when it was opened"
                )
                raise StorageError(message)
            done += got

    def write(self, offset: int, *buffers: ReadableBuffer) -> None:
        """Write the buffers; see `Storage.write`."""
        try:
            done = os.pwritev(self._descriptor, buffers, offset)
        except OSError as error:
            raise self._failed(f"writing at byte {offset}", error) from error
        if done != sum(map(len, buffers)):
            self._write_rest(offset, b"".join(buffers), done)

    def _write_rest(self, offset: int, data: bytes, done: int) -> None:
        view = memoryview(data)
        while done < len(view):
            try:
                done += os.pwrite(self._descriptor, view[done:], offset + done)
            except OSError as error:
                raise self._failed(f"writing at byte {offset + done}", error) from error

    def write_zeroes(self, offset: int, length: int, *, unmap: bool = True) -> None:
        """Zero a range; see `Storage.write_zeroes`."""
        if offset + length > self.length():
            self.truncate(offset + length)
        try:
            fallocate(self._descriptor, PUNCH_HOLE if unmap else ZERO_RANGE, offset, length)
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                raise self._failed(f"zeroing at byte {offset}", error) from error
            for start in range(offset, offset + length, len(_ZEROES)):
                self.write(start, _ZEROES[: offset + length - start])

    def truncate(self, length: int) -> None:
        """Cut or lengthen the file."""
        try:
            os.ftruncate(self._descriptor, length)
        except OSError as error:
            raise self._failed(f"changing the length to {length}", error) from error

    def sync(self) -> None:
        """Make everything durable; the length is part of what fdatasync covers."""
        try:
            os.fdatasync(self._descriptor)
        except OSError as error:
            raise self._failed("syncing", error) from error

    def next_data(self, offset: int, end: int) -> int:
        """See `Storage.next_data`; a file system without holes has data everywhere."""
        return self._seek(offset, end, os.SEEK_DATA, offset)

    def next_hole(self, offset: int, end: int) -> int:
        """See `Storage.next_hole`."""
        return self._seek(offset, end, os.SEEK_HOLE, end)

    def _seek(self, offset: int, end: int, whence: int, unknown: int) -> int:
        if offset >= end:
            return end
        try:
            return min(os.lseek(self._descriptor, offset, whence), end)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return end
            if error.errno == errno.EINVAL:
                return unknown
            raise self._failed(f"looking for holes at byte {offset}", error) from error

    def lock(self, *, exclusive: bool) -> None:
        """Lock the file; see `Storage.lock`."""
        lock_file(self._descriptor, self.path, exclusive=exclusive)

    def open(self, name: bytes, *, writable: bool = False) -> FileStorage:
        """Open a file that this one names; confinement and block devices as for this one."""
        path = os.path.join(os.path.dirname(self.path), name)
        return type(self).open_path(
            path, writable=writable, confine=self._confine, allow_block_devices=self._devices
        )

    def close(self) -> None:
        """Close the file."""
        if not self._closed:
            self._closed = True
            os.close(self._descriptor)

    def _failed(self, doing: str, error: OSError) -> StorageError:
        return StorageError(f"{printable(self.path)}: {doing} failed: {error.strerror}")


def _judge(pin: int, path: bytes, confine: bytes | None, devices: bool) -> None:  # noqa: FBT001 - private
    if confine is not None and not _is_beneath(os.readlink(b"/proc/self/fd/%d" % pin), confine):
        raise _outside(path, confine)
    status = os.fstat(pin)
    allowed = stat.S_ISREG(status.st_mode) or (stat.S_ISBLK(status.st_mode) and devices)
    if not allowed or status.st_dev in _pseudo_devices():
        message = f"{printable(path)} is no regular file"
        raise OpenFailed(message, reason=OpenReason.IRREGULAR, path=path)


def _outside(path: bytes, confine: bytes) -> OpenFailed:
    message = f"{printable(path)} leads outside {printable(confine)}"
    return OpenFailed(message, reason=OpenReason.OUTSIDE, path=path)


def _refused(path: bytes, error: OSError | ValueError) -> StorageError:
    if not isinstance(error, OSError):  # a NUL byte
        return OpenFailed(f"{printable(path)} is no path", reason=OpenReason.ABSENT, path=path)
    message = f"{printable(path)}: {error.strerror}"
    if error.errno in _OURS:
        return StorageError(message)
    reason = OpenReason.ABSENT if error.errno in _ABSENT else OpenReason.UNREADABLE
    return OpenFailed(message, reason=reason, path=path)


def _is_beneath(path: bytes, directory: bytes) -> bool:
    return path.startswith(os.path.realpath(directory).rstrip(b"/") + b"/")


@cache
def _pseudo_devices() -> frozenset[int]:
    return frozenset(os.stat(path).st_dev for path in _PSEUDO if os.path.exists(path))
