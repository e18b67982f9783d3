"""A raw file as a layer: its bytes are the guest's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from addcow_ref._layer import Extent, LayerInfo
from addcow_spec.errors import StorageError
from addcow_spec.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from addcow_ref.storage import Storage, WritableBuffer

__all__ = ["RawLayer", "file_extents"]


class RawLayer:
    """The layer of a raw file, as long as it was when it was opened."""

    def __init__(self, file: Storage) -> None:
        self.size = file.length()
        self._file = file

    @property
    def chain(self) -> tuple[LayerInfo, ...]:
        """The one layer."""
        return (LayerInfo(self._file.path, "raw", "", self.size),)

    @property
    def below(self) -> None:
        """Nothing: a raw file names no other."""
        return None

    def read_into(self, offset: int, buffer: WritableBuffer) -> None:
        """Fill ``buffer``; a file that has become shorter is a StorageError."""
        self._file.read_into(offset, buffer)

    def extents(self, offset: int, length: int) -> Iterator[Extent]:
        """Data and holes, as the file system tells them."""
        return file_extents(self._file, offset, length)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def file_extents(file: Storage, offset: int, length: int) -> Iterator[Extent]:
    """Data and holes of a range of a raw file, as extents of depth 0.

    Raises:
        StorageError: the file system failed, or the file has become shorter than the range.
    """
    end = offset + length
    while offset < end:
        data = file.next_data(offset, end)
        if data == end and file.length() < end:
            # What was cut off looks like a hole.
            raise StorageError(f"{printable(file.path)}: it shrank to {file.length()} bytes")
        if data > offset:
            yield _extent(file, offset, data, zero=True)
            offset = data
        hole = file.next_hole(offset, end) if offset < end else end
        if hole > offset:
            yield _extent(file, offset, hole, zero=False)
            offset = hole


def _extent(file: Storage, start: int, end: int, *, zero: bool) -> Extent:
    # By place: of a file with many holes, names would take half the time.
    return Extent(start, end - start, 0, True, zero, not zero, False, start, file.path)  # noqa: FBT003
