"""What the kernel is asked for: a file pinned and judged before it is opened, holes made, bytes locked.

A path is first pinned with ``O_PATH``, which waits for no peer and runs no driver. What was pinned is judged,
and that very inode is opened, so that a link that changes in between changes nothing.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import struct
from functools import cache
from typing import TYPE_CHECKING

from addcow_ref.storage import OpenFailed, OpenReason
from addcow_spec.errors import StorageError
from addcow_spec.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable

    from addcow_ref.storage import Identity

__all__ = [
    "PUNCH_HOLE",
    "ZERO_RANGE",
    "directory_of",
    "fallocate",
    "identity_of",
    "is_byte_locked",
    "lock_byte",
    "open_judged",
    "open_refusal",
    "unlock_bytes",
]

# linux/falloc.h: a hole is made within the file only, so that PUNCH_HOLE goes with KEEP_SIZE.
PUNCH_HOLE = 0x02 | 0x01
ZERO_RANGE = 0x10

_LARGEST = (1 << 63) - 1
_REOPEN = os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC

_ABSENT = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG})
_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})
_LOCKED = frozenset({errno.EAGAIN, errno.EACCES})

_KINDS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a character device",
    stat.S_IFBLK: "a block device",
}

# File systems whose regular files are conversations with the kernel.
_PSEUDO = frozenset(
    b"binder binfmt_misc bpf cgroup cgroup2 configfs debugfs efivarfs fusectl mqueue nfsd nsfs proc pstore "
    b"resctrl rpc_pipefs securityfs selinuxfs smackfs sysfs tracefs".split()
)

# struct flock: type, whence, start, length, process; padded to its alignment.
_FLOCK = struct.Struct("hhqqi4x")


# --- opening


def open_judged(
    path: bytes,
    shown: bytes,
    *,
    directory: bytes,
    writable: bool,
    root: bytes | None,
    allow_block_devices: bool,
) -> tuple[int, Identity]:
    """Open the regular file, or where allowed the block device, that ``path`` leads to.

    Args:
        path: the path to open, symbolic links followed.
        shown: the path for messages and for the error's ``path``.
        directory: the path is relative to it.
        writable: whether to open it for writing, too.
        root: real path of the directory that the file must lie beneath; None for anywhere.
        allow_block_devices: whether a block device will do.

    Returns:
        A descriptor, and the file's identity.

    Raises:
        OpenFailed: with the reason.
        StorageError: descriptors or memory ran out.
    """
    if b"\0" in path:
        raise _refused(shown, OpenReason.ABSENT, "no file has a NUL byte in its name")
    pin = _pin(path, shown, directory, root)
    try:
        status = _judge(pin, shown, root, allow_block_devices=allow_block_devices)
        flags = _REOPEN | (os.O_RDWR if writable else os.O_RDONLY)
        return os.open(_link(pin), flags), identity_of(status)
    except OSError as error:
        # The file is there, whatever the error: a missing /proc must not look like a missing file.
        raise open_refusal(shown, error, absent=OpenReason.UNREADABLE) from error
    finally:
        os.close(pin)


def directory_of(path: bytes, directory: bytes) -> bytes:
    """Real path of the directory in which ``path``, relative to ``directory``, has its last component.

    Raises:
        OSError: it cannot be reached.
    """
    at = _open_at(os.path.dirname(path) or b".", os.O_PATH | os.O_DIRECTORY, directory)
    try:
        return os.readlink(_link(at))
    finally:
        os.close(at)


def identity_of(status: os.stat_result) -> Identity:
    """Device and inode; of a block device what it stands for, which nodes of any name and place share."""
    if stat.S_ISBLK(status.st_mode):
        return -1, status.st_rdev
    return status.st_dev, status.st_ino


def open_refusal(
    path: bytes, error: OSError, *, absent: OpenReason = OpenReason.ABSENT
) -> OpenFailed | StorageError:
    """What a failed open is raised as; of descriptors and memory running out the file has no share."""
    detail = os.strerror(error.errno or 0)
    if error.errno in _EXHAUSTED:
        return StorageError(f"{printable(path)}: {detail}")
    return _refused(path, absent if error.errno in _ABSENT else OpenReason.UNREADABLE, detail)


def _refused(path: bytes, reason: OpenReason, detail: str) -> OpenFailed:
    return OpenFailed(f"{printable(path)}: {detail}", reason=reason, path=path)


def _pin(path: bytes, shown: bytes, directory: bytes, root: bytes | None) -> int:
    try:
        return _open_at(path, os.O_PATH, directory)
    except OSError as error:
        # Whether something exists outside is nobody's business who is confined.
        where = _real_path(os.path.join(directory, path))
        if error.errno not in _EXHAUSTED and not _beneath(where, root):
            raise _outside(shown, root) from error
        raise open_refusal(shown, error) from error


def _open_at(path: bytes, flags: int, directory: bytes) -> int:
    """Open from a directory: a name of full length would be too long with the directory before it."""
    # An absolute name needs no directory, which may have gone.
    start = b"/" if path.startswith(b"/") else directory
    at = os.open(start, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return os.open(path, flags | os.O_CLOEXEC, dir_fd=at)
    finally:
        os.close(at)


def _judge(pin: int, shown: bytes, root: bytes | None, *, allow_block_devices: bool) -> os.stat_result:
    # Where the pinned inode lies is what counts. openat2's RESOLVE_BENEATH judges the way instead, and would
    # refuse absolute names and links that lead inside, which the format allows.
    if root is not None and not _beneath(os.readlink(_link(pin)), root):
        raise _outside(shown, root)
    status = os.fstat(pin)
    kind = stat.S_IFMT(status.st_mode)
    if kind != stat.S_IFREG and not (kind == stat.S_IFBLK and allow_block_devices):
        raise _refused(shown, OpenReason.IRREGULAR, f"it is {_KINDS.get(kind, 'no regular file')}")
    if kind == stat.S_IFREG and _is_pseudo(status.st_dev):
        raise _refused(shown, OpenReason.IRREGULAR, "it is a file of a pseudo file system")
    return status


def _real_path(path: bytes) -> bytes:
    """The path, its links followed as far as they go; empty, so beneath nothing, if it changed meanwhile."""
    try:
        return os.path.realpath(path)
    except OSError:
        return b""


def _link(descriptor: int) -> bytes:
    return b"/proc/self/fd/%d" % descriptor


def _beneath(path: bytes, root: bytes | None) -> bool:
    return root is None or path.startswith(root.rstrip(b"/") + b"/")


def _outside(path: bytes, root: bytes | None) -> OpenFailed:
    return _refused(path, OpenReason.OUTSIDE, f"it leads outside {printable(root or b'')}")


def _is_pseudo(device: int) -> bool:
    """Whether the device belongs to a mounted pseudo file system; none of these has a major number."""
    if os.major(device):
        return False
    wanted = b"%d:%d" % (os.major(device), os.minor(device))
    with open("/proc/self/mountinfo", "rb") as mounts:
        for line in mounts:
            mount, _, file_system = line.partition(b" - ")
            if mount.split()[2] == wanted:
                return file_system.split()[0] in _PSEUDO
    return False


# --- holes


@cache
def _c_fallocate() -> Callable[[int, int, int, int], int]:
    """The C library's function, made to return the errno, 0 for success."""
    import ctypes  # noqa: PLC0415 - takes its time, and only who writes zeros needs it

    library = ctypes.CDLL(None, use_errno=True)
    # A library without the one has 64-bit offsets in the other.
    function = getattr(library, "fallocate64", None) or library.fallocate
    function.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)

    def call(descriptor: int, mode: int, offset: int, length: int) -> int:
        return ctypes.get_errno() if function(descriptor, mode, offset, length) else 0

    return call


def fallocate(descriptor: int, mode: int, offset: int, length: int) -> None:
    """Change how a range is allocated, by ``PUNCH_HOLE`` or ``ZERO_RANGE``.

    Raises:
        OSError: it failed; ``EOPNOTSUPP`` or ``ENOSYS`` where the file system cannot do it.
    """
    if offset + length > _LARGEST:
        raise _os_error(errno.EFBIG)
    # The interpreter repeats its own calls; this one goes past it.
    while (code := _c_fallocate()(descriptor, mode, offset, length)) == errno.EINTR:
        continue
    if code:
        raise _os_error(code)


def _os_error(code: int) -> OSError:
    return OSError(code, os.strerror(code))


# --- locks by open file description: they end with its last descriptor, and hold within a process, too


def lock_byte(descriptor: int, offset: int) -> bool:
    """Take a shared lock on one byte; False where another opener's lock forbids it.

    Raises:
        OSError: the file system has no such locks, or the kernel ran out of them.
    """
    try:
        _flock(descriptor, fcntl.F_OFD_SETLK, fcntl.F_RDLCK, offset, 1)
    except OSError as error:
        if error.errno in _LOCKED:
            return False
        raise
    return True


def is_byte_locked(descriptor: int, offset: int) -> bool:
    """Whether another opener has a lock of any kind on one byte.

    Raises:
        OSError: the file system has no such locks.
    """
    answer = _flock(descriptor, fcntl.F_OFD_GETLK, fcntl.F_WRLCK, offset, 1)
    return bool(_FLOCK.unpack(answer)[0] != fcntl.F_UNLCK)


def unlock_bytes(descriptor: int, offset: int, length: int) -> None:
    """Give back one's own locks in a range."""
    _flock(descriptor, fcntl.F_OFD_SETLK, fcntl.F_UNLCK, offset, length)


def _flock(descriptor: int, command: int, kind: int, offset: int, length: int) -> bytes:
    return fcntl.fcntl(descriptor, command, _FLOCK.pack(kind, os.SEEK_SET, offset, length, 0))
