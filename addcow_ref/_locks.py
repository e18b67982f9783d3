"""Locks that other programs see: those that QEMU's file driver takes on raw files (ACW-DYN-014).

An opener holds a shared lock on the byte ``100 + i`` for each permission i that it has, and on ``200 + i`` for
each that it does not share. Then it looks whether somebody else has what it does not share, or does not share
what it has. Taking before looking leaves no moment in which two openers miss each other. The locks belong to
the open file description, so that two openers of one process exclude each other too.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct

from addcow_spec.errors import ImageInUse, StorageError
from addcow_spec.text import printable

__all__ = ["lock_file"]

_HAVE, _REFUSE = 100, 200
_READ, _WRITE, _REWRITE, _RESIZE = range(4)

_GET, _SET = 36, 37  # F_OFD_GETLK, F_OFD_SETLK
_FLOCK = struct.Struct("hhqqi4x")

# What a reader and a writer have, and what they do not share.
_READER = ((_READ,), (_WRITE, _RESIZE))
_WRITER = ((_READ, _WRITE, _RESIZE), (_READ, _WRITE, _REWRITE, _RESIZE))


def lock_file(descriptor: int, path: bytes, *, exclusive: bool) -> None:
    """Take a writer's or a reader's locks; they last until the file is closed, or replaced by another call.

    Raises:
        ImageInUse: another opener has the file.
        StorageError: the file system has no such locks.
    """
    have, refuse = _WRITER if exclusive else _READER
    try:
        for base, permissions in ((_HAVE, have), (_REFUSE, refuse)):
            for permission in range(4):
                kind = fcntl.F_RDLCK if permission in permissions else fcntl.F_UNLCK
                _call(descriptor, _SET, kind, base + permission)
        taken = [_HAVE + permission for permission in refuse] + [_REFUSE + permission for permission in have]
        free = all(_is_free(descriptor, byte) for byte in taken)
    except OSError as error:
        if error.errno in {errno.EAGAIN, errno.EACCES}:
            free = False
        else:
            raise StorageError(
                f"{printable(path)} cannot be locked: {os.strerror(error.errno or 0)}"
            ) from error
    if not free:
        _release(descriptor)
        raise ImageInUse(f"{printable(path)} is locked: another program has it open", path=path)


def _release(descriptor: int) -> None:
    for base in (_HAVE, _REFUSE):
        _call(descriptor, _SET, fcntl.F_UNLCK, base, 4)


def _is_free(descriptor: int, byte: int) -> bool:
    kind: int = _FLOCK.unpack(_call(descriptor, _GET, fcntl.F_WRLCK, byte))[0]
    return kind == fcntl.F_UNLCK


def _call(descriptor: int, command: int, kind: int, start: int, length: int = 1) -> bytes:
    return fcntl.fcntl(descriptor, command, _FLOCK.pack(kind, os.SEEK_SET, start, length, 0))
