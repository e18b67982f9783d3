"""Where bytes are kept: the protocol that the engine does all its I/O through, and its errors.

A `Storage` is one open file and the way to the files that it names. `FileStorage` is the real one;
`MemoryStorage` and the wrappers of `addcow_ref.testing` stand in for it, so that faults, power cuts and disks
of a pebibyte can be tried without a disk.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol, TypeAlias

from addcow_spec.errors import StorageError

__all__ = ["Identity", "OpenFailed", "OpenReason", "ReadableBuffer", "Storage", "WritableBuffer"]

ReadableBuffer: TypeAlias = bytes | bytearray | memoryview
WritableBuffer: TypeAlias = bytearray | memoryview

# What makes two paths the same file: device and inode, or what stands for them.
Identity: TypeAlias = tuple[int, int]


class OpenReason(StrEnum):
    """Why a file was not opened."""

    ABSENT = "absent"
    UNREADABLE = "unreadable"
    IRREGULAR = "irregular"
    OUTSIDE = "outside"


class OpenFailed(StorageError):
    """A file was not opened; ``reason`` says why, and ``path`` which one."""

    def __init__(self, message: str, *, reason: OpenReason, path: bytes) -> None:
        super().__init__(message)
        self.reason = reason
        self.path = path


class Storage(Protocol):
    """One open file. Offsets and lengths are bytes, 0 or more; every method may be called from any thread.

    Whatever goes wrong is a ``StorageError`` whose cause is the ``OSError``. Short reads and writes are
    completed by the storage, and interrupted calls repeated.
    """

    @property
    def path(self) -> bytes:
        """The path that was opened, symbolic links unresolved; names are relative to its directory."""

    @property
    def identity(self) -> Identity:
        """Equal for two storages exactly if they are one file, whatever the paths."""

    @property
    def writable(self) -> bool:
        """Whether it was opened for writing."""

    def length(self) -> int:
        """The file's present length."""

    def read_into(self, offset: int, buffer: WritableBuffer) -> None:
        """Fill ``buffer`` from ``offset``; a file that ends before is an error."""

    def write(self, offset: int, *buffers: ReadableBuffer) -> None:
        """Write the buffers one after the other from ``offset`` on."""

    def write_zeroes(self, offset: int, length: int, *, unmap: bool = True) -> None:
        """Make the range read as zeros: a hole with ``unmap`` where that can be had, else written zeros.

        A range that ends beyond the file's end lengthens the file.
        """

    def truncate(self, length: int) -> None:
        """Cut the file to ``length`` bytes, or lengthen it by zeros."""

    def sync(self) -> None:
        """Return when everything that was written is durable, the length included."""

    def next_data(self, offset: int, end: int) -> int:
        """The first offset from ``offset`` on that is not in a hole; ``end`` where none comes before it."""

    def next_hole(self, offset: int, end: int) -> int:
        """The first offset from ``offset`` on that is in a hole; ``end`` where none comes before it."""

    def lock(self, *, exclusive: bool) -> None:
        """Keep other processes from writing, and with ``exclusive`` from reading too, until `close`.

        Raises:
            ImageInUse: another opener has a lock that forbids it (ACW-DYN-014).
        """

    def open(self, name: bytes, *, writable: bool = False) -> Storage:
        """Open the file that this one calls ``name``: relative to its directory, never the working directory.

        Raises:
            OpenFailed: with the reason.
        """

    def close(self) -> None:
        """Give the file and its lock back; a second call does nothing."""
