"""Locks that QEMU looks at, too (ACW-DYN-014): which bytes stand for what, and who excludes whom.

QEMU's file driver locks single bytes of the file, each shared, by open file description: 100 + i for each
permission i that an opener has, 200 + i for each that it does not share. Having them, it looks for locks of
others that speak against it. So do we: whoever comes second sees the first, whichever of the two it is. Two
that come at once may see each other, and then neither gets in.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

from addcow_ref._linux import is_byte_locked, lock_byte, unlock_bytes
from addcow_spec.errors import ImageInUse, StorageError
from addcow_spec.text import printable

__all__ = ["in_use", "lock_file"]

_HAS = 100
_REFUSES = 200
_END = 300


class _Permission(IntEnum):
    """QEMU's, by its number."""

    READ = 0
    WRITE = 1
    WRITE_UNCHANGED = 2
    RESIZE = 3


class _Opener(NamedTuple):
    """What an opener does to a file, and what it lets nobody else do."""

    has: tuple[_Permission, ...]
    refuses: tuple[_Permission, ...]


_ALL_THAT_CHANGES = (_Permission.WRITE, _Permission.RESIZE)

# Writing what is there already, as QEMU's streaming does, harms nobody. A writer lets nobody read: its bits
# and clusters are in memory, and what a reader finds in the files is not one state of the disk.
_READER = _Opener((_Permission.READ,), _ALL_THAT_CHANGES)
_WRITER = _Opener((_Permission.READ, *_ALL_THAT_CHANGES), (_Permission.READ, *_ALL_THAT_CHANGES))


def lock_file(descriptor: int, path: bytes, *, exclusive: bool) -> None:
    """Lock an open file, for as long as its description is open.

    Args:
        descriptor: the file.
        path: its path, for messages.
        exclusive: whether to be its writer, who excludes everybody; else a reader, who excludes writers.

    Raises:
        ImageInUse: another opener, of this process or any other, excludes this one. No lock is left.
        StorageError: the file system has no such locks.
    """
    opener = _WRITER if exclusive else _READER
    try:
        if not _take(descriptor, opener):
            unlock_bytes(descriptor, _HAS, _END - _HAS)
            raise in_use(path)
    except OSError as error:
        raise StorageError(f"{printable(path)}: it cannot be locked: {error.strerror}") from error


def in_use(path: bytes) -> ImageInUse:
    """The error that says so."""
    return ImageInUse(f"{printable(path)} is in use: another opener has it locked", path=path)


def _take(descriptor: int, opener: _Opener) -> bool:
    """Lock first and look afterwards: of two that did it the other way round, neither would see the other."""
    own = [_HAS + permission for permission in opener.has]
    own += [_REFUSES + permission for permission in opener.refuses]
    against = [_REFUSES + permission for permission in opener.has]
    against += [_HAS + permission for permission in opener.refuses]
    return all(lock_byte(descriptor, at) for at in own) and not any(
        is_byte_locked(descriptor, at) for at in against
    )
