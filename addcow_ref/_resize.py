"""Changing the size of a disk (ACW-DYN-011).

The size is the image file's length, and in v4 and v6 a field of the header besides. The steps are in an
order that leaves the image sound after each of them, as far as the revision allows
(`spec/07-crash-consistency.md`): the bitmap is complete before the disk grows, and is cut only after the disk
has shrunk. In v4 and v6 the field is the last to grow and the first to shrink; between the two writes
ACW-SIZ-006 is broken in any order. When a step fails, those before it are undone; only what is cut off the
image file cannot be had back, so that from there on the size is the new one.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from addcow_spec.codec import LAYOUTS
from addcow_spec.errors import StorageError, UsageError
from addcow_spec.geometry import SECTOR_SIZE, Geometry
from addcow_spec.model import Revision

if TYPE_CHECKING:
    from collections.abc import Iterator

    from addcow_ref._disk import Disk

__all__ = ["LARGEST_SIZE", "check_size", "resize_disk"]

# What a file offset can say.
LARGEST_SIZE = (1 << 63) - 1


def check_size(size: int, revision: Revision) -> None:
    """Refuse a size that a disk of the revision cannot have.

    Raises:
        UsageError: negative or beyond 2**63 - 1; ACW-SIZ-007 where v4 or v6 need a multiple of 512.
    """
    if not 0 <= size <= LARGEST_SIZE:
        raise UsageError(f"a disk has 0 to {LARGEST_SIZE} bytes, not {size}")
    if revision is not Revision.V10 and size % SECTOR_SIZE:
        raise UsageError(
            f"{revision} wants a multiple of {SECTOR_SIZE} bytes, not {size}", rule="ACW-SIZ-007"
        )


def resize_disk(disk: Disk, size: int) -> None:
    """Change the size of the disk; see `Image.resize`."""
    check_size(size, disk.geometry.revision)
    with disk.gate.alone():
        disk.check_writable()
        old, new = disk.geometry, disk.geometry._replace(virtual_size=size)
        if new == old:
            return
        disk.make_durable()
        change = _grow if size > old.virtual_size else _shrink
        change(disk, old, new)


@contextmanager
def _undone_on_failure(disk: Disk) -> Iterator[ExitStack]:
    """Steps that are undone, last first, if the body fails; the error is the body's."""
    undo = ExitStack()
    try:
        yield undo
    except BaseException as error:
        try:
            undo.close()
        except StorageError as second:
            disk.give_up(second)
            raise error from error.__cause__
        raise


def _grow(disk: Disk, old: Geometry, new: Geometry) -> None:
    with _undone_on_failure(disk) as undo:
        undo.callback(disk.file.truncate, old.bitmap_end)
        # Whatever follows the bitmap must not become bits, nor the unused bits of its last byte.
        disk.file.truncate(old.bitmap_end)
        disk.file.truncate(new.bitmap_end)
        _clear_after(disk, old, undo)
        disk.sync_bits()
        undo.pop_all()
        undo.callback(_cut_again, disk, old)
        disk.image_file.truncate(new.virtual_size)
        disk.sync_data()
        _store_size(disk, old, new, undo)
        undo.pop_all()
    disk.adopt(new)


def _cut_again(disk: Disk, old: Geometry) -> None:
    """Undo growing. While the image file may be long after a crash, the bitmap has to be."""
    disk.image_file.truncate(old.virtual_size)
    disk.sync_data()
    disk.file.truncate(old.bitmap_end)
    disk.sync_bits()


def _shrink(disk: Disk, old: Geometry, new: Geometry) -> None:
    with _undone_on_failure(disk) as undo:
        # The bits that are set again vouch for data that was flushed.
        undo.callback(disk.sync_bits)
        _clear_after(disk, new, undo)
        disk.sync_bits()
        _store_size(disk, old, new, undo)
        disk.image_file.truncate(new.virtual_size)
        undo.pop_all()
    disk.adopt(new)
    disk.sync_data()
    disk.file.truncate(new.bitmap_end)
    disk.sync_bits()


def _clear_after(disk: Disk, geometry: Geometry, undo: ExitStack) -> None:
    """Clear the bits of the bitmap's last byte that stand for nothing in ``geometry``."""
    if not geometry.trailing_mask:
        return
    last = bytearray(1)
    disk.file.read_into(geometry.bitmap_end - 1, last)
    if last[0] & geometry.trailing_mask:
        undo.callback(disk.file.write, geometry.bitmap_end - 1, bytes(last))
        last[0] &= ~geometry.trailing_mask & 0xFF
        disk.file.write(geometry.bitmap_end - 1, last)


def _store_size(disk: Disk, old: Geometry, new: Geometry, undo: ExitStack) -> None:
    """Write the size field of v4 and v6."""
    if new.revision is Revision.V10:
        return
    offset = LAYOUTS[new.revision].field("size").offset
    undo.callback(disk.file.write, offset, old.virtual_size.to_bytes(8, "big"))
    disk.file.write(offset, new.virtual_size.to_bytes(8, "big"))
    disk.sync_bits()
