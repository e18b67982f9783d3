"""An opened image: what the format says that a disk is, behind one class."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from addcow_ref._extents import disk_extents
from addcow_ref._layer import LayerInfo
from addcow_ref._resize import resize_disk
from addcow_ref._stream import stream_disk
from addcow_spec.model import Role

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from addcow_ref._disk import Disk
    from addcow_ref._judge import Note
    from addcow_ref._layer import Extent, Layer
    from addcow_ref.storage import Identity, ReadableBuffer, WritableBuffer
    from addcow_spec.model import Header, Revision

__all__ = ["Image"]


class Image:
    """The disk of an add-cow image. Use `open_image` to get one.

    Requests may have any alignment and length, and may come from any number of threads. Every method but
    `close` raises UsageError on an image that is closed.

    Attributes:
        header: the header as it was when the image was opened; only `size` follows a resize.
        notes: what was found on opening and does not keep the image from being used: rule and message.
    """

    def __init__(self, disk: Disk, header: Header, notes: tuple[Note, ...]) -> None:
        self._disk = disk
        self.header = header
        self.notes = notes

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- what it is

    @property
    def path(self) -> bytes:
        """The add-cow file, as it was opened."""
        return self._disk.file.path

    @property
    def identity(self) -> Identity:
        """What the add-cow file is, whatever its path leads to by now: device and inode."""
        return self._disk.file.identity

    @property
    def image_path(self) -> bytes:
        """The image file's path."""
        return self._disk.image_file.path

    @property
    def image_file(self) -> bytes:
        """The image file's name as the header has it."""
        return self.header.name(Role.IMAGE) or b""

    @property
    def backing_file(self) -> bytes | None:
        """The backing file's name as the header has it, None without one."""
        return self.header.name(Role.BACKING)

    @property
    def revision(self) -> Revision:
        """The revision of the format."""
        return self.header.revision

    @property
    def size(self) -> int:
        """Bytes of the disk."""
        return self._disk.size

    @property
    def writable(self) -> bool:
        """Whether the image was opened for writing."""
        return self._disk.writable

    @property
    def unit_size(self) -> int:
        """Bytes that one bit stands for: 65,536 in v10, 512 in v4 and v6."""
        return self._disk.unit_size

    @property
    def units(self) -> int:
        """Number of units, a short last one included."""
        return self._disk.geometry.units

    @property
    def chain(self) -> tuple[LayerInfo, ...]:
        """The layers that the disk is made of: this image, then its backing files, top down."""
        own = LayerInfo(self.path, "add-cow", str(self.revision), self.size, self.image_path)
        return (own, *(self.below.chain if self.below else ()))

    @property
    def below(self) -> Layer | None:
        """The layer of the backing file, None without one; the image closes it."""
        return self._disk.backing

    def allocated_units(self) -> int:
        """Number of units whose bit is set.

        Raises:
            StorageError: reading the bitmap failed.
        """
        return self._disk.allocated_units()

    # --- requests

    def read(self, offset: int, length: int) -> bytes:
        """``length`` bytes of the disk from ``offset`` on (ACW-DYN-001).

        Raises:
            UsageError: the range is not on the disk; rule ACW-DYN-007.
            StorageError: reading failed.
            ImageError: the tables of a qcow2 layer below are broken.
        """
        self._disk.check_range(offset, length)  # before memory is asked for
        buffer = bytearray(length)
        self._disk.read_into(offset, buffer)
        return bytes(buffer)

    def read_into(self, offset: int, buffer: WritableBuffer) -> None:
        """Fill ``buffer`` from ``offset`` on; as `read`, without a copy."""
        self._disk.read_into(offset, buffer)

    def write(self, offset: int, data: ReadableBuffer, *, fua: bool = False) -> None:
        """Write ``data`` at ``offset`` (ACW-DYN-002, ACW-DYN-003).

        Args:
            offset: first byte on the disk.
            data: what to write; nothing happens where it is empty.
            fua: whether to return only when it is durable (forced unit access).

        Raises:
            UsageError: the range is not on the disk (rule ACW-DYN-007), or the image is open read-only.
            StorageError: writing failed; the range then reads old or new, the rest of the disk as before.
            ImageError: the tables of a qcow2 layer below are broken.
        """
        self._disk.write(offset, data)
        if fua:
            self._disk.flush()

    def write_zeroes(self, offset: int, length: int, *, unmap: bool = True, fua: bool = False) -> None:
        """Make a range read as zeros; as `write` of that many zeros.

        Args:
            offset: first byte on the disk.
            length: number of bytes.
            unmap: whether the image file may get a hole there.
            fua: whether to return only when it is durable.
        """
        self._disk.write_zeroes(offset, length, unmap=unmap)
        if fua:
            self._disk.flush()

    def flush(self) -> None:
        """Return when every write that had returned is durable, data and bits (ACW-DYN-005).

        Raises:
            StorageError: it failed, now or in an earlier sync: what a sync has lost cannot be flushed again.
        """
        self._disk.flush()

    def extents(self, offset: int = 0, length: int | None = None) -> Iterator[Extent]:
        """A range of the disk cut up by where its bytes come from, in order and without gaps.

        Args:
            offset: first byte of the range.
            length: its length in bytes; None for the rest of the disk.

        A disk that shrinks meanwhile ends the extents early.

        Raises:
            UsageError: the range is not on the disk; rule ACW-DYN-007.
            StorageError: reading failed.
        """
        length = max(self.size - offset, 0) if length is None else length
        return disk_extents(self._disk, offset, length)

    # --- the disk as a whole

    def resize(self, size: int) -> None:
        """Change the size of the disk to ``size`` bytes (ACW-DYN-011); requests wait meanwhile.

        Raises:
            UsageError: the size is negative, no multiple of 512 in v4 and v6 (ACW-SIZ-007), or too large for
                the format; or the image is open for reading only.
            StorageError: it failed; the size is the old one, or the new one where the disk was cut already
                and only making that durable failed.
        """
        resize_disk(self._disk, size)

    def stream(
        self,
        *,
        limit: int | None = None,
        progress: Callable[[int, int], None] | None = None,
        stop: Callable[[], bool] | None = None,
    ) -> bool:
        """Copy every unit whose bit is clear from below and set its bit, while in use (ACW-DYN-012).

        Progress is made durable from time to time, so that a stream that is cut off goes on where it was.

        Args:
            limit: bytes a second to copy at most, 1 or more; None for as fast as it goes.
            progress: told the number of units that are set and of all units, now and then.
            stop: asked now and then whether to stop early.

        Returns:
            Whether every bit is set.

        Raises:
            UsageError: the image is open for reading only, or the limit is below 1.
            StorageError: reading or writing failed; what was copied stays.
        """
        return stream_disk(self._disk, limit=limit, progress=progress, stop=stop)

    def close(self) -> None:
        """Flush, and close every file; a second call does nothing.

        Raises:
            StorageError: flushing failed; the files are closed all the same.
        """
        self._disk.close()
