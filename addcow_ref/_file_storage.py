"""Files of the real file system as storages.

Reads and writes name their offset, so that threads do not disturb one another. `lseek` alone moves the
description's offset, when it looks for holes and for the end; nothing else here depends on where that is.

`FileStorage.read_into` and `FileStorage.write` are the project's most frequent calls: one system call each,
and all that is unusual is left to functions of their own. Interrupted calls are repeated by the interpreter
(PEP 475).
"""

from __future__ import annotations

import errno
import fcntl
import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple

from addcow_ref._linux import (
    PUNCH_HOLE,
    ZERO_RANGE,
    directory_of,
    fallocate,
    identity_of,
    open_judged,
    open_refusal,
)
from addcow_ref._locks import lock_file
from addcow_spec.errors import StorageError
from addcow_spec.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from addcow_ref.storage import Identity, ReadableBuffer, WritableBuffer

__all__ = ["FileStorage"]

_IOV_MAX = os.sysconf("SC_IOV_MAX")
_ZEROES = bytes(1 << 20)
# No file has this descriptor, and no function takes it for a mistake of its caller: the kernel says EBADF.
_CLOSED = (1 << 31) - 1

# EINVAL: block devices want whole blocks. Where it says something else, writing zeros fails as well.
_NO_FALLOCATE = frozenset({errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL})

# An offset that the kernel's type cannot hold never reaches the kernel.
_FAILURES = (OSError, OverflowError)


class _Names(NamedTuple):
    """How a file's names are resolved; the fields are arguments of `open_judged`."""

    directory: bytes
    root: bytes | None
    allow_block_devices: bool

    def of(self, name: bytes) -> _Names:
        """The same for the file called ``name``, wherever the process goes.

        Raises:
            OSError: its directory has gone.
        """
        if self.directory != b"." and b"/" not in name:
            return self
        return self._replace(directory=directory_of(name, self.directory))


class FileStorage:
    """One open file. Made by `open_path`, `adopt` and `open`; see `Storage` for the promises.

    Closing it while another thread uses it is the owner's mistake: the descriptor's number may be another
    file's by then.
    """

    __slots__ = ("_fd", "_names", "identity", "path", "writable")

    def __init__(
        self, descriptor: int, path: bytes, identity: Identity, names: _Names, *, writable: bool
    ) -> None:
        self.path = path
        self.identity = identity
        self.writable = writable
        self._fd = descriptor
        self._names = names

    # --- opening

    @classmethod
    def open_path(
        cls,
        path: bytes,
        *,
        writable: bool = False,
        confine: bytes | None = None,
        allow_block_devices: bool = False,
    ) -> FileStorage:
        """Open a regular file whose path may be hostile: nothing blocks, no driver is run.

        Args:
            path: the path, symbolic links followed. Names are resolved from its directory as it is now, even
                if the working directory changes later.
            writable: whether to open it for writing.
            confine: a directory; this file, and all that it names, must lie beneath it.
            allow_block_devices: whether a block device will do, here and for all that it names.

        Raises:
            OpenFailed: ABSENT, UNREADABLE, IRREGULAR (no regular file, or one of a pseudo file system) or
                OUTSIDE of ``confine``.
            StorageError: descriptors or memory ran out.
        """
        names = _Names(b".", _real_root(confine), allow_block_devices)
        return cls._opened(path, path, names, writable=writable)

    @classmethod
    def adopt(cls, descriptor: int, path: bytes, *, confine: bytes | None = None) -> FileStorage:
        """Take over the descriptor of a file that the caller made at ``path``.

        Args:
            descriptor: it is closed with the storage, and also if this fails.
            path: names are resolved from its directory.
            confine: as in `open_path`, for what the file names.

        Raises:
            OpenFailed, StorageError: the system failed.
        """
        with _kept(descriptor, path):
            names = _Names(b".", _real_root(confine), allow_block_devices=False)
            writable = fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE != os.O_RDONLY
            return cls(descriptor, path, identity_of(os.fstat(descriptor)), names.of(path), writable=writable)

    def open(self, name: bytes, *, writable: bool = False) -> FileStorage:
        """Open the file that this one calls ``name``; confined as this one is.

        Raises:
            OpenFailed, StorageError: as `open_path`.
        """
        path = os.path.join(os.path.dirname(self.path), name)
        return self._opened(name, path, self._names, writable=writable)

    @classmethod
    def _opened(cls, name: bytes, path: bytes, names: _Names, *, writable: bool) -> FileStorage:
        # The directory first, and the file from there: a link that changes must not part the two.
        try:
            own = names if b"\0" in name else names.of(name)
        except OSError as error:
            descriptor, _ = open_judged(name, path, writable=False, **names._asdict())  # says why
            os.close(descriptor)
            raise open_refusal(path, error) from error
        # What ends in a slash is the directory itself; the empty name stays empty, which is nothing.
        base = os.path.basename(name) or (name and b".")
        descriptor, identity = open_judged(base, path, writable=writable, **own._asdict())
        return cls(descriptor, path, identity, own, writable=writable)

    def close(self) -> None:
        """Close the file, which ends its lock; a second call does nothing.

        Raises:
            StorageError: the file system failed; the file is closed all the same.
        """
        descriptor, self._fd = self._fd, _CLOSED
        if descriptor == _CLOSED:
            return
        try:
            os.close(descriptor)
        except OSError as error:
            raise self._failed("closing it", error) from error

    def lock(self, *, exclusive: bool) -> None:
        """Lock the file against other openers, QEMU among them, until `close`. Once for each storage.

        Raises:
            ImageInUse: another opener excludes this one (ACW-DYN-014).
            StorageError: the file system has no locks.
        """
        lock_file(self._fd, self.path, exclusive=exclusive)

    # --- reading

    def read_into(self, offset: int, buffer: WritableBuffer) -> None:
        """Fill ``buffer`` from ``offset``.

        Raises:
            StorageError: reading failed, or the file ends before.
        """
        try:
            done = os.preadv(self._fd, (buffer,), offset)
        except _FAILURES as error:
            raise self._failed(f"reading at byte {offset}", error) from _os_error(error)
        if done != len(buffer):
            self._read_rest(offset, memoryview(buffer).cast("B"), done)

    def _read_rest(self, offset: int, view: memoryview, done: int) -> None:
        while done < len(view):
            try:
                got = os.preadv(self._fd, (view[done:],), offset + done)
            except _FAILURES as error:
                raise self._failed(f"reading at byte {offset + done}", error) from _os_error(error)
            if not got:
                missing = f"bytes up to {offset + len(view)} are missing"
                raise StorageError(f"{printable(self.path)}: it shrank to {self.length()} bytes; {missing}")
            done += got

    def length(self) -> int:
        """The file's present length, or the size of the block device.

        Raises:
            StorageError: the file system failed.
        """
        try:
            return os.lseek(self._fd, 0, os.SEEK_END)
        except OSError as error:
            raise self._failed("finding its end", error) from error

    def next_data(self, offset: int, end: int) -> int:
        """The first offset from ``offset`` on that may hold other than zeros; ``end`` without one before it.

        Raises:
            StorageError: the file system failed.
        """
        return self._seek(os.SEEK_DATA, offset, end, untold=offset)

    def next_hole(self, offset: int, end: int) -> int:
        """The first offset from ``offset`` on that is in a hole; ``end`` where none comes before it.

        The file's end counts as a hole, what lies beyond it does not.

        Raises:
            StorageError: the file system failed.
        """
        return self._seek(os.SEEK_HOLE, offset, end, untold=end)

    def _seek(self, whence: int, offset: int, end: int, *, untold: int) -> int:
        """Where the kernel finds it; ``untold`` where all is data, as the file system tells no holes."""
        if offset >= end:
            return end
        try:
            return min(os.lseek(self._fd, offset, whence), end)
        except OverflowError:
            return end
        except OSError as error:
            if error.errno == errno.ENXIO:
                return end
            if error.errno == errno.EINVAL:
                return untold
            raise self._failed(f"looking for holes at byte {offset}", error) from error

    # --- writing

    def write(self, offset: int, *buffers: ReadableBuffer) -> None:
        """Write the buffers one after the other from ``offset`` on.

        Raises:
            StorageError: writing failed; some of it may be written.
        """
        try:
            done = os.pwritev(self._fd, buffers[:_IOV_MAX], offset)
        except _FAILURES as error:
            raise self._failed(f"writing at byte {offset}", error) from _os_error(error)
        if done != sum(map(len, buffers)):
            self._write_rest(offset, [memoryview(buffer).cast("B") for buffer in buffers], done)

    def _write_rest(self, offset: int, views: list[memoryview], done: int) -> None:
        views.reverse()
        while True:
            offset += done
            while views and done >= len(views[-1]):
                done -= len(views.pop())
            if not views:
                return
            views[-1] = views[-1][done:]
            try:
                done = os.pwritev(self._fd, views[: -_IOV_MAX - 1 : -1], offset)
                if not done:
                    # A kernel that takes nothing and gives no reason would be asked for ever.
                    raise OSError(errno.EIO, os.strerror(errno.EIO))
            except _FAILURES as error:
                raise self._failed(f"writing at byte {offset}", error) from _os_error(error)

    def write_zeroes(self, offset: int, length: int, *, unmap: bool = True) -> None:
        """Make the range read as zeros; one that ends beyond the file's end lengthens the file.

        Args:
            offset: where to start.
            length: in bytes.
            unmap: whether to make a hole; else the room stays the file's own, as far as the file system can.

        Raises:
            StorageError: writing failed; some of it may be written.
        """
        if not length:
            return
        end = offset + length
        if unmap and self.length() < end:
            # A hole does not lengthen. Truncating would, but could cut off what another thread writes there.
            self.write(end - 1, b"\0")
        try:
            fallocate(self._fd, PUNCH_HOLE if unmap else ZERO_RANGE, offset, length)
        except OSError as error:
            if error.errno not in _NO_FALLOCATE:
                raise self._failed(f"writing zeros at byte {offset}", error) from error
            for start in range(offset, end, len(_ZEROES)):
                self.write(start, memoryview(_ZEROES)[: end - start])

    def truncate(self, length: int) -> None:
        """Cut the file to ``length`` bytes, or lengthen it by a hole.

        Raises:
            StorageError: the file system failed.
        """
        try:
            os.ftruncate(self._fd, length)
        except _FAILURES as error:
            raise self._failed(f"setting its length to {length}", error) from _os_error(error)

    def sync(self) -> None:
        """Return when what was written is durable, and the length that is needed to read it.

        Raises:
            StorageError: it failed; what was written since the last sync may be lost.
        """
        try:
            os.fdatasync(self._fd)
        except OSError as error:
            raise self._failed("syncing it", error) from error

    def _failed(self, action: str, error: OSError | OverflowError) -> StorageError:
        return StorageError(f"{printable(self.path)}: {action} failed: {_os_error(error).strerror}")


def _real_root(confine: bytes | None) -> bytes | None:
    """The directory to confine names to, as it is now.

    Raises:
        OpenFailed: it is out of reach.
    """
    if confine is not None and b"\0" in confine:
        raise open_refusal(confine, OSError(errno.ENOENT, os.strerror(errno.ENOENT)))
    try:
        return None if confine is None else os.path.realpath(confine)
    except OSError as error:
        raise open_refusal(confine or b"", error) from error


@contextmanager
def _kept(descriptor: int, path: bytes) -> Iterator[None]:
    """Close the descriptor where what follows fails."""
    try:
        yield
    except (OSError, StorageError) as error:
        with suppress(OSError):
            os.close(descriptor)
        if isinstance(error, StorageError):
            raise
        raise open_refusal(path, error) from error


def _os_error(error: OSError | OverflowError) -> OSError:
    return error if isinstance(error, OSError) else OSError(errno.EFBIG, os.strerror(errno.EFBIG))
