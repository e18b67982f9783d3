"""Files in memory, with the semantics of `FileStorage`: for tests, and for disks larger than any disk.

They are sparse by blocks of 64 KiB, so that a disk of a pebibyte costs what is written to it.
"""

from __future__ import annotations

import errno
import os
import posixpath
from itertools import count
from threading import Lock
from typing import TYPE_CHECKING

from addcow_ref._locks import in_use
from addcow_ref.storage import OpenFailed, OpenReason
from addcow_spec.errors import StorageError
from addcow_spec.text import printable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from addcow_ref.storage import Identity, ReadableBuffer, WritableBuffer

__all__ = ["MemoryFiles", "MemoryStorage"]

_BLOCK = 64 << 10
_LARGEST = (1 << 63) - 1
_HOLE = bytes(_BLOCK)

# No device of the real file system has this number.
_DEVICE = -2
_numbers = count(1)


class _File:
    """What an inode is: the blocks that are not holes by number, and who has it locked."""

    def __init__(self) -> None:
        self.number = next(_numbers)
        self.length = 0
        self.blocks: dict[int, bytearray] = {}
        self.readers: set[MemoryStorage] = set()
        self.writer: MemoryStorage | None = None
        self.guard = Lock()


class MemoryFiles:
    """A tree of files, by name. Directories are there as soon as they are named; there are no links.

    Args:
        contents: the files to begin with.
    """

    def __init__(self, contents: Mapping[bytes, ReadableBuffer] | None = None) -> None:
        self._files: dict[bytes, _File] = {}
        for name, data in (contents or {}).items():
            file = self.create(name)
            file.write(0, data)
            file.close()

    def open(self, name: bytes, *, writable: bool = False) -> MemoryStorage:
        """Open a file.

        Raises:
            OpenFailed: there is none (ABSENT).
        """
        file = self._files.get(name) or self._files.get(posixpath.normpath(name))
        if file is None:
            message = f"{printable(name)}: {os.strerror(errno.ENOENT)}"
            raise OpenFailed(message, reason=OpenReason.ABSENT, path=name)
        return MemoryStorage(self, file, name, writable=writable)

    def create(self, name: bytes) -> MemoryStorage:
        """Make an empty file and open it for writing. One that had the name loses it, and stays open."""
        file = self._files[posixpath.normpath(name)] = _File()
        return MemoryStorage(self, file, name, writable=True)

    def contents(self, name: bytes) -> bytes:
        """All bytes of a file, holes included; for files that fit.

        Raises:
            OpenFailed: there is none.
        """
        return self.open(name).contents()


class MemoryStorage:
    """One opened file of `MemoryFiles`; see `Storage` for the promises."""

    def __init__(self, files: MemoryFiles, file: _File, path: bytes, *, writable: bool) -> None:
        self.path = path
        self.identity: Identity = (_DEVICE, file.number)
        self.writable = writable
        self._files = files
        self._file: _File | None = file

    # --- opening

    def open(self, name: bytes, *, writable: bool = False) -> MemoryStorage:
        """Open the file that this one calls ``name``.

        Raises:
            OpenFailed: there is none (ABSENT).
        """
        return self._files.open(posixpath.join(posixpath.dirname(self.path), name), writable=writable)

    def close(self) -> None:
        """Close it, which ends its lock; a second call does nothing."""
        file, self._file = self._file, None
        if file:
            with file.guard:
                file.readers.discard(self)
                file.writer = None if file.writer is self else file.writer

    def lock(self, *, exclusive: bool) -> None:
        """Lock it against other openers until `close`: one writer, or any number of readers.

        Raises:
            ImageInUse: another opener excludes this one (ACW-DYN-014).
        """
        file = self._open_file()
        with file.guard:
            others = file.readers - {self} if exclusive else ()
            if others or file.writer not in {None, self}:
                raise in_use(self.path)
            if exclusive:
                file.writer = self
            else:
                file.readers.add(self)

    # --- reading

    def read_into(self, offset: int, buffer: WritableBuffer) -> None:
        """Fill ``buffer`` from ``offset``.

        Raises:
            StorageError: the file ends before.
        """
        view = memoryview(buffer).cast("B")
        file = self._open_file()
        with file.guard:
            if offset + len(view) > file.length and len(view):
                missing = f"bytes up to {offset + len(view)} are missing"
                raise StorageError(f"{printable(self.path)}: it shrank to {file.length} bytes; {missing}")
            done = 0
            for index, start, stop in _pieces(offset, len(view)):
                block = file.blocks.get(index, _HOLE)
                view[done : done + stop - start] = memoryview(block)[start:stop]
                done += stop - start

    def contents(self) -> bytes:
        """All bytes of the file, holes included; for files that fit."""
        file = self._open_file()
        with file.guard:
            found = _pieces(0, file.length)
            return b"".join([memoryview(file.blocks.get(index, _HOLE))[:stop] for index, _, stop in found])

    def length(self) -> int:
        """The file's present length."""
        return self._open_file().length

    def next_data(self, offset: int, end: int) -> int:
        """The first offset from ``offset`` on that is not in a hole; ``end`` where none comes before it."""
        file = self._open_file()
        if offset >= end:
            return end
        with file.guard:
            first = offset // _BLOCK
            if first not in file.blocks:
                following = min((index for index in file.blocks if index > first), default=None)
                offset = _LARGEST if following is None else following * _BLOCK
            return min(offset, end) if offset < file.length else end

    def next_hole(self, offset: int, end: int) -> int:
        """The first offset from ``offset`` on that is in a hole; ``end`` where none comes before it.

        The file's end counts as a hole, what lies beyond it does not.
        """
        file = self._open_file()
        if offset >= end:
            return end
        with file.guard:
            if offset >= file.length:
                return end
            index = offset // _BLOCK
            while index in file.blocks:
                index += 1
            return min(max(index * _BLOCK, offset), file.length, end)

    # --- writing

    def write(self, offset: int, *buffers: ReadableBuffer) -> None:
        """Write the buffers one after the other from ``offset`` on.

        Raises:
            StorageError: it is open for reading only, or the file would become too large.
        """
        data = memoryview(buffers[0] if len(buffers) == 1 else b"".join(buffers)).cast("B")
        file = self._writable_file(offset + len(data))
        with file.guard:
            done = 0
            for index, start, stop in _pieces(offset, len(data)):
                part = data[done : done + stop - start]
                done += stop - start
                if len(part) == _BLOCK:
                    file.blocks[index] = bytearray(part)
                    continue
                block = file.blocks.get(index)
                if block is None:
                    block = file.blocks[index] = bytearray(_BLOCK)
                block[start:stop] = part
            if done:
                file.length = max(file.length, offset + done)

    def write_zeroes(self, offset: int, length: int, *, unmap: bool = True) -> None:
        """Make the range read as zeros: whole blocks become holes with ``unmap``, else zeros are written.

        A range that ends beyond the file's end lengthens the file.

        Raises:
            StorageError: as `write`.
        """
        if not unmap:
            for start in range(offset, offset + length, _BLOCK):
                self.write(start, bytes(min(_BLOCK, offset + length - start)))
            return
        file = self._writable_file(offset + length)
        with file.guard:
            _punch(file, offset, length)
            if length:
                file.length = max(file.length, offset + length)

    def truncate(self, length: int) -> None:
        """Cut the file to ``length`` bytes, or lengthen it by a hole.

        Raises:
            StorageError: as `write`.
        """
        file = self._writable_file(length)
        with file.guard:
            if length < file.length:
                _punch(file, length, -(-file.length // _BLOCK) * _BLOCK - length)
            file.length = length

    def sync(self) -> None:
        """All that memory can promise holds already.

        Raises:
            StorageError: it is closed.
        """
        self._open_file()

    # --- refusals

    def _open_file(self) -> _File:
        if self._file is None:
            raise self._failed(errno.EBADF)
        return self._file

    def _writable_file(self, end: int) -> _File:
        file = self._open_file()
        if not self.writable:
            raise self._failed(errno.EBADF)
        if end > _LARGEST:
            raise self._failed(errno.EFBIG)
        return file

    def _failed(self, code: int) -> StorageError:
        cause = OSError(code, os.strerror(code))
        error = StorageError(f"{printable(self.path)}: {cause.strerror}")
        error.__cause__ = cause
        return error


def _pieces(offset: int, length: int) -> list[tuple[int, int, int]]:
    """The blocks that a range touches: number of the block, where in it the range starts and stops."""
    index, start = divmod(offset, _BLOCK)
    stop = start + length
    if stop <= _BLOCK:
        return [(index, start, stop)] if length else []
    last, end = divmod(offset + length, _BLOCK)
    whole = [(at, 0, _BLOCK) for at in range(index + 1, last)]
    return [(index, start, _BLOCK), *whole, *([(last, 0, end)] if end else [])]


def _punch(file: _File, offset: int, length: int) -> None:
    """Make a range read as zeros; the work is that of the blocks that are there, not of the range."""
    end = offset + length
    first, last = offset // _BLOCK, -(-end // _BLOCK)
    few = last - first < len(file.blocks)
    touched = range(first, last) if few else [index for index in file.blocks if first <= index < last]
    for index in touched:
        block = file.blocks.get(index)
        start, stop = max(offset - index * _BLOCK, 0), min(end - index * _BLOCK, _BLOCK)
        if block is not None and stop - start == _BLOCK:
            del file.blocks[index]
        elif block is not None and start < stop:
            block[start:stop] = bytes(stop - start)
