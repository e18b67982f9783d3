"""The files of an input, in memory: storages for the engine, and opened files for the checker.

They are read only, and leaner than `addcow_ref.memory`, which allocates blocks: an execution is over in a
third of a millisecond. What is read is counted, and bounded: who reads on and on is stopped.
"""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from addcow_conformance.checker import Identity, OpenFailed, OpenFile, Refusal
from addcow_fuzz._packing import name_of
from addcow_fuzz.invariants import Finding
from addcow_ref.storage import OpenFailed as NotOpened
from addcow_ref.storage import OpenReason
from addcow_spec.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from addcow_fuzz._packing import Record
    from addcow_ref.storage import ReadableBuffer, WritableBuffer

__all__ = ["InputFiles", "InputStorage"]

# No input of 64 KiB, with 256 layers, needs a tenth of it.
_MOST_READS = 100_000
_MOST_BYTES = 1 << 28
# Most reads are of headers and bitmaps; those are put together once.
_HEAD = 8192


class _Budget:
    """What may be read of an input."""

    __slots__ = ("_bytes", "_reads")

    def __init__(self) -> None:
        self._reads = _MOST_READS
        self._bytes = _MOST_BYTES

    def spend(self, length: int) -> None:
        """Count a read.

        Raises:
            Finding: too much is read.
        """
        self._reads -= 1
        self._bytes -= length
        if self._reads < 0 or self._bytes < 0:
            raise Finding("strict", "it reads on and on", operation="read", site="bound")


class _Content:
    """The bytes of a file: its records, in order. What is read of it is counted but by `get`."""

    __slots__ = ("_head", "_spend", "identity", "length", "records")

    def __init__(self, number: int, spend: Callable[[int], None]) -> None:
        self.identity = Identity(0, number)
        self.length = 0
        self.records: list[tuple[int, bytes]] = []
        self._spend = spend
        self._head: bytes | None = None

    def get(self, offset: int, length: int) -> bytes:
        """Bytes with zeros where there are none, beyond the end too."""
        end = offset + length
        if end <= _HEAD:
            if self._head is None:
                self._head = self._collect(0, _HEAD)
            return self._head[offset:end]
        return self._collect(offset, length)

    def _collect(self, offset: int, length: int) -> bytes:
        buffer = bytearray(length)
        for at, data in self.records:
            start = at - offset
            if start < 0:
                start, data = 0, data[-start:]  # noqa: PLW2901 - what of it is in the range
            if start < length:
                buffer[start : start + len(data)] = data  # perhaps beyond the end
        return bytes(buffer[:length])

    def read(self, offset: int, length: int) -> bytes:
        self._spend(length)
        return self.get(offset, length)

    def read_into(self, offset: int, buffer: WritableBuffer) -> None:
        view = memoryview(buffer).cast("B")
        length = len(view)
        self._spend(length)
        if length and offset + length > self.length:
            raise StorageError(f"bytes up to {offset + length} are missing")
        view[:] = self.get(offset, length)

    def next_data(self, offset: int, end: int) -> int:
        self._spend(0)
        for at, data in self.records:
            if at + len(data) > offset:
                end = min(end, max(at, offset))
        return end

    def next_hole(self, offset: int, end: int) -> int:
        self._spend(0)
        if offset >= self.length:
            return end
        for at, data in sorted(self.records):
            if at <= offset < at + len(data):
                offset = at + len(data)
        return min(offset, end)


class InputFiles:
    """The files of an input, by name. Names that differ in ``.``, ``..`` and slashes alone are the same.

    Args:
        records: what is in them.
    """

    def __init__(self, records: Iterable[Record]) -> None:
        contents: dict[int, _Content] = {}
        spend = _Budget().spend
        for file, offset, data in records:
            content = contents.get(file)
            if content is None:
                content = contents[file] = _Content(file, spend)
            end = offset + len(data)
            content.length = max(content.length, end)
            if data:
                content.records.append((offset, data))
        self._contents = {name_of(file): content for file, content in contents.items()}

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._contents)

    def open(self, name: bytes) -> InputStorage:
        """Open a file as a storage.

        Raises:
            OpenFailed: there is none (ABSENT).
        """
        content = self._find(name)
        if content is None:
            raise NotOpened("there is no such file", reason=OpenReason.ABSENT, path=name)
        return InputStorage(self, content, name)

    def opener(self, path: bytes, **_: object) -> OpenFile:
        """Open a file for the checker: an `Opener`.

        Raises:
            OpenFailed: there is none (ABSENT).
        """
        content = self._find(path)
        if content is None:
            raise OpenFailed(Refusal.ABSENT, "there is no such file")
        return _InputFile(content, path)

    def read(self, name: bytes, offset: int, length: int) -> bytes:
        """Bytes of a file, zeros where it has none."""
        content = self._find(name)
        return content.get(offset, length) if content else bytes(length)

    def length(self, name: bytes) -> int:
        """Bytes of a file; 0 where there is none."""
        content = self._find(name)
        return content.length if content else 0

    def _find(self, name: bytes) -> _Content | None:
        return self._contents.get(name) or self._contents.get(posixpath.normpath(name))


class InputStorage:
    """One opened file of an input; see `Storage` for the promises."""

    writable = False

    def __init__(self, files: InputFiles, content: _Content, path: bytes) -> None:
        self.path = path
        self.identity = content.identity
        self._files = files
        self._content = content

    def length(self) -> int:
        """See `Storage.length`."""
        return self._content.length

    def read_into(self, offset: int, buffer: WritableBuffer) -> None:
        """See `Storage.read_into`.

        Raises:
            StorageError: the file ends before.
        """
        self._content.read_into(offset, buffer)

    def next_data(self, offset: int, end: int) -> int:
        """See `Storage.next_data`."""
        return self._content.next_data(offset, end)

    def next_hole(self, offset: int, end: int) -> int:
        """See `Storage.next_hole`."""
        return self._content.next_hole(offset, end)

    def write(self, offset: int, *buffers: ReadableBuffer) -> None:
        """Refused: it is open for reading.

        Raises:
            StorageError: always.
        """
        raise StorageError(f"{len(buffers)} buffers are not written at {offset}: it is open for reading")

    def write_zeroes(self, offset: int, length: int, *, unmap: bool = True) -> None:
        """Refused, as `write`."""
        self.write(offset, bytes([unmap]) * min(length, 1))

    def truncate(self, length: int) -> None:
        """Refused, as `write`."""
        self.write(length)

    def sync(self) -> None:
        """Nothing was written."""

    def lock(self, *, exclusive: bool) -> None:
        """Nobody else is there."""

    def open(self, name: bytes, *, writable: bool = False) -> InputStorage:  # noqa: ARG002 - the protocol's
        """See `Storage.open`; names have no directories."""
        beside = b"/" in self.path
        return self._files.open(posixpath.join(posixpath.dirname(self.path), name) if beside else name)

    def close(self) -> None:
        """Nothing is held."""


class _InputFile(OpenFile):
    """One opened file of an input, as the checker reads files."""

    def __init__(self, content: _Content, path: bytes) -> None:
        super().__init__(-1, path, content.identity, content.length)
        self._content = content

    def __exit__(self, *_: object) -> None:
        pass

    def read(self, offset: int, size: int) -> bytes:
        """See `OpenFile.read`."""
        return self._content.read(offset, max(min(size, self.length - offset), 0))

    def read_into(self, buffer: memoryview, offset: int) -> None:
        """See `OpenFile.read_into`."""
        self._content.read_into(offset, buffer)

    def next_data(self, offset: int, end: int) -> int:
        """See `OpenFile.next_data`."""
        return self._content.next_data(offset, end)
