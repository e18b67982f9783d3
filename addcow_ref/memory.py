"""Files in memory: as sparse as what was written to them, for tests, models and fuzzers."""

from __future__ import annotations

import os
from itertools import count
from threading import RLock
from typing import TYPE_CHECKING

from addcow_ref.storage import Identity, OpenFailed, OpenReason, ReadableBuffer, WritableBuffer
from addcow_spec.errors import ImageInUse, StorageError
from addcow_spec.text import printable

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["MemoryFiles", "MemoryStorage"]

_BLOCK = 4096
_EMPTY = bytes(_BLOCK)
_numbers = count(1)


class _File:
    """The bytes of a file: blocks that were written to, zeros between them."""

    def __init__(self) -> None:
        self.blocks: dict[int, bytearray] = {}
        self.length = 0
        self.identity: Identity = (-2, next(_numbers))
        self.lock = RLock()
        self.openers: dict[int, bool] = {}

    def write(self, offset: int, data: memoryview) -> None:
        done = 0
        while done < len(data):
            index, at = divmod(offset + done, _BLOCK)
            piece = data[done : done + _BLOCK - at]
            self.blocks.setdefault(index, bytearray(_BLOCK))[at : at + len(piece)] = piece
            done += len(piece)
        self.length = max(self.length, offset + len(data))

    def read_into(self, offset: int, view: memoryview) -> None:
        done = 0
        while done < len(view):
            index, at = divmod(offset + done, _BLOCK)
            size = min(_BLOCK - at, len(view) - done)
            view[done : done + size] = self.blocks.get(index, _EMPTY)[at : at + size]
            done += size

    def punch(self, start: int, end: int) -> None:
        """Make a range zeros, blocks that it covers holes."""
        for index in [i for i in self.blocks if start < (i + 1) * _BLOCK and i * _BLOCK < end]:
            low, high = max(start - index * _BLOCK, 0), min(end - index * _BLOCK, _BLOCK)
            if high - low == _BLOCK:
                del self.blocks[index]
            else:
                self.blocks[index][low:high] = bytes(high - low)


class MemoryFiles:
    """A flat name space of files; names are bytes, compared as they are.

    Args:
        contents: files to start with, by name.
    """

    def __init__(self, contents: Mapping[bytes, bytes] | None = None) -> None:
        self._files: dict[bytes, _File] = {}
        for name, data in (contents or {}).items():
            self.create(name).write(0, data)

    def create(self, name: bytes) -> MemoryStorage:
        """A new, empty file that is open for writing; one of that name before it is replaced."""
        self._files[os.path.normpath(name)] = _File()
        return self.open(name, writable=True)

    def open(self, name: bytes, *, writable: bool = False) -> MemoryStorage:
        """Open a file.

        Raises:
            OpenFailed: there is none of that name.
        """
        file = self._files.get(os.path.normpath(name))
        if file is None:
            raise OpenFailed(f"{printable(name)}: no such file", reason=OpenReason.ABSENT, path=name)
        return MemoryStorage(self, file, name, writable=writable)

    def contents(self, name: bytes) -> bytes:
        """All bytes of a file; KeyError where there is none."""
        file = self._files[os.path.normpath(name)]
        data = bytearray(file.length)
        file.read_into(0, memoryview(data))
        return bytes(data)


class MemoryStorage:
    """An open file of `MemoryFiles`; see `Storage`."""

    def __init__(self, files: MemoryFiles, file: _File, path: bytes, *, writable: bool) -> None:
        self.path = path
        self.writable = writable
        self._files = files
        self._file = file

    @property
    def identity(self) -> Identity:
        """Equal for storages of one file."""
        return self._file.identity

    def length(self) -> int:
        """The file's present length."""
        return self._file.length

    def read_into(self, offset: int, buffer: WritableBuffer) -> None:
        """Fill ``buffer``."""
        view = memoryview(buffer).cast("B")
        with self._file.lock:
            if offset + len(view) > self._file.length:
                raise StorageError(f"{printable(self.path)} ends at byte {self._file.length}")
            self._file.read_into(offset, view)

    def write(self, offset: int, *buffers: ReadableBuffer) -> None:
        """Write the buffers."""
        self._check_writable()
        with self._file.lock:
            for buffer in buffers:
                view = memoryview(buffer).cast("B")
                self._file.write(offset, view)
                offset += len(view)

    def write_zeroes(self, offset: int, length: int, *, unmap: bool = True) -> None:
        """Zero a range."""
        self._check_writable()
        with self._file.lock:
            self._file.punch(offset, offset + length)
            self._file.length = max(self._file.length, offset + length)
            if not unmap:
                for index in range(offset // _BLOCK, -(-(offset + length) // _BLOCK)):
                    self._file.blocks.setdefault(index, bytearray(_BLOCK))

    def truncate(self, length: int) -> None:
        """Cut or lengthen the file."""
        self._check_writable()
        with self._file.lock:
            self._file.punch(length, max(length, -(-self._file.length // _BLOCK) * _BLOCK))
            self._file.length = length

    def sync(self) -> None:
        """Nothing to do: there is no power to lose."""

    def next_data(self, offset: int, end: int) -> int:
        """See `Storage.next_data`; a hole has whole blocks of 4,096 bytes."""
        with self._file.lock:
            end = min(end, self._file.length) if offset < self._file.length else end
            starts = [index * _BLOCK for index in self._file.blocks if (index + 1) * _BLOCK > offset]
        return max(offset, min([end, *starts]))

    def next_hole(self, offset: int, end: int) -> int:
        """See `Storage.next_hole`."""
        with self._file.lock:
            while offset < end and offset // _BLOCK in self._file.blocks:
                offset = (offset // _BLOCK + 1) * _BLOCK
        return min(offset, end)

    def lock(self, *, exclusive: bool) -> None:
        """Lock the file against other openers of it."""
        with self._file.lock:
            others = [held for opener, held in self._file.openers.items() if opener != id(self)]
            if any(others) or (exclusive and others):
                raise ImageInUse(f"{printable(self.path)} is locked by another opener", path=self.path)
            self._file.openers[id(self)] = exclusive

    def open(self, name: bytes, *, writable: bool = False) -> MemoryStorage:
        """Open a file that this one names."""
        return self._files.open(os.path.join(os.path.dirname(self.path), name), writable=writable)

    def close(self) -> None:
        """Give the lock back."""
        with self._file.lock:
            self._file.openers.pop(id(self), None)

    def _check_writable(self) -> None:
        if not self.writable:
            raise StorageError(f"{printable(self.path)} is open for reading only")
