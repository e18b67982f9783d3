"""Pure arithmetic of disks, units, bits and offsets. No I/O, no parsing.

A *unit* is what one bit stands for: a 65,536-byte cluster in v10, a 512-byte sector in v4 and v6
(`spec/03-bitmap.md`).
"""

from __future__ import annotations

from typing import NamedTuple

from addcow_spec.model import Revision

__all__ = ["CLUSTER_SIZE", "SECTOR_SIZE", "Geometry", "ceil_div", "round_up"]

SECTOR_SIZE = 512
CLUSTER_SIZE = 128 * SECTOR_SIZE

_UNIT_SIZE = {Revision.V4: SECTOR_SIZE, Revision.V6: SECTOR_SIZE, Revision.V10: CLUSTER_SIZE}
# Bytes of the disk that a byte of the bitmap stands for.
_BYTE_SPAN = {revision: 8 * size for revision, size in _UNIT_SIZE.items()}
_BITMAP_OFFSET = {Revision.V4: 2068, Revision.V6: 2560, Revision.V10: 4096}


def ceil_div(value: int, divisor: int) -> int:
    """The smallest integer not below ``value / divisor``, for ``value >= 0`` and ``divisor > 0``."""
    return -(-value // divisor)


def round_up(value: int, multiple: int) -> int:
    """The smallest multiple of ``multiple`` that is not below ``value``."""
    return ceil_div(value, multiple) * multiple


class Geometry(NamedTuple):
    """Where the bitmap of a disk lies and what its bits stand for.

    Attributes:
        revision: revision of the header.
        virtual_size: length of the disk in bytes, 0 or more.
    """

    revision: Revision
    virtual_size: int

    @property
    def unit_size(self) -> int:
        """Bytes that one bit stands for: 65,536 in v10, 512 in v4 and v6 (ACW-BMP-001)."""
        return _UNIT_SIZE[self.revision]

    @property
    def units(self) -> int:
        """Number of units, a short last one included (ACW-SIZ-003)."""
        return ceil_div(self.virtual_size, _UNIT_SIZE[self.revision])

    @property
    def bitmap_offset(self) -> int:
        """Offset of the bitmap's first byte in the add-cow file."""
        return _BITMAP_OFFSET[self.revision]

    @property
    def bitmap_size(self) -> int:
        """Length of the bitmap in bytes."""
        return ceil_div(self.virtual_size, _BYTE_SPAN[self.revision])

    @property
    def bitmap_end(self) -> int:
        """Offset of the first byte after the bitmap."""
        return _BITMAP_OFFSET[self.revision] + ceil_div(self.virtual_size, _BYTE_SPAN[self.revision])

    @property
    def trailing_mask(self) -> int:
        """Mask of the bits in the bitmap's last byte that stand for no unit (ACW-BMP-002)."""
        used = self.units % 8
        return 0xFF & ~((1 << used) - 1) if used else 0
