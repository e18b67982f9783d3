"""The header of an add-cow file: read and judged, told from others, and built."""

from __future__ import annotations

from typing import NamedTuple

from addcow_spec.errors import InvalidImage
from addcow_spec.model import Revision

MAGIC = b"ADD_COW\xff"
LONGEST = 4096
_NAME = 1024


class Layout(NamedTuple):
    """What a revision has of its own: byte order, bytes of the header, bytes that one bit stands for."""

    order: str
    length: int
    unit: int


LAYOUTS = {
    Revision.V4: Layout("big", 2068, 512),
    Revision.V6: Layout("big", 2560, 512),
    Revision.V10: Layout("little", 4096, 65536),
}


class Header:
    """What a header says, judged as it is read.

    Attributes:
        revision: the revision that it was read as.
        image, backing: the names; None for no backing file.
        raw: whether the backing file is stated to be raw.
        size: the size field of v4 and v6, None in v10.
        unit: bytes that one bit stands for.
    """

    layouts = LAYOUTS
    unchecked = frozenset()

    def __init__(self, data, revision):
        self.revision = revision
        self.order, self.length, self.unit = self.layouts[revision]
        self.data = data.ljust(self.length, b"\0")
        self.require("ACW-HDR-001", data[:8] == MAGIC)
        self.require("ACW-HDR-003", len(data) >= 12)
        self.require("ACW-HDR-002", self.number(8, 4) == 1)
        self.require("ACW-HDR-003", len(data) >= self.length)
        if revision is Revision.V10:
            self._read_v10()
        else:
            self._read_old()

    def require(self, rule, holds):
        if not holds and rule not in self.unchecked:
            raise InvalidImage(f"the header breaks {rule}", rule=rule)

    def number(self, offset, width):
        return int.from_bytes(self.data[offset : offset + width], self.order)

    # --- what it says

    def _read_v10(self):
        place, size, features = self.number(12, 4), self.number(16, 4), self.number(28, 8)
        self.size = None
        self.raw = bool(features & 2)
        self.require("ACW-NAM-004", place or not size)
        self.require("ACW-NAM-005", size or not place)
        self.require("ACW-NAM-006", self.number(20, 4) and self.number(24, 4))
        self.backing = self.name(place, size)
        self.image = self.name(self.number(20, 4), self.number(24, 4))
        self.require("ACW-FEA-001", bool(features & 1) == bool(place))
        self.require("ACW-FEA-002", features & 1 or not features & 2)
        self.require("ACW-FEA-003", not features >> 2)

    def name(self, place, size):
        """A name of v10, None where there is none."""
        if not (place and size):
            return None
        self.require("ACW-NAM-001", place >= 36 and place + size <= LONGEST)
        self.require("ACW-NAM-002", place <= 4094)
        self.require("ACW-NAM-003", size <= 4059)
        name = self.data[place : place + size]
        self.require("ACW-NAM-007", b"\0" not in name)
        return name

    def _read_old(self):
        self.backing = self.field(12) or None
        self.image = self.field(1036)
        self.size = self.number(2060, 8)
        self.raw = False
        self.require("ACW-NAM-006", self.image)
        self.require("ACW-SIZ-007", self.size % 512 == 0)

    def field(self, offset):
        """A name of v4 and v6: all 1,024 bytes where no NUL ends it."""
        return self.data[offset : offset + _NAME].partition(b"\0")[0]

    # --- the bitmap that follows it

    def units(self, size):
        return -(-size // self.unit)

    def bitmap_end(self, size):
        return self.length + -(-self.units(size) // 8)

    def unused_bits(self, size):
        """Those bits of the bitmap's last byte that stand for nothing."""
        return 0xFF << self.units(size) % 8 & 0xFF if self.units(size) % 8 else 0

    def judge_bitmap(self, file, size):
        end = self.bitmap_end(size)
        self.require("ACW-BMP-001", file.length() >= end)
        self.require("ACW-BMP-002", not self._stray_bits(file, size))

    def _stray_bits(self, file, size):
        if file.length() < self.bitmap_end(size) or not self.unused_bits(size):
            return 0
        return bytes_of(file, self.bitmap_end(size) - 1, 1)[0] & self.unused_bits(size)

    # --- which revision

    @classmethod
    def tell(cls, file, data):
        """The revision of a file that nobody has stated; its header may still be wrong."""
        if data[:8] != MAGIC or data[8:12] != b"\0\0\0\1":
            return Revision.V10
        if len(data) < cls.layouts[Revision.V6].length or any(data[2068:2560]):
            return Revision.V4
        size = int.from_bytes(data[2060:2068], "big") // 512 * 512
        both = {
            revision: cls(data[:2060] + size.to_bytes(8, "big") + data[2068:], revision)
            for revision in (Revision.V4, Revision.V6)
        }
        fitting = [revision for revision, header in both.items() if header._fits(file, size)]
        if len(fitting) == 1:
            return fitting[0]
        sound = [revision for revision, header in both.items() if header._is_sound(file, size)]
        return Revision.V4 if sound == [Revision.V4] else Revision.V6

    def _fits(self, file, size):
        end, length = self.bitmap_end(size), file.length()
        padded = length == -(-end // 512) * 512
        return length == end or (padded and not any(bytes_of(file, end, length - end)))

    def _is_sound(self, file, size):
        return file.length() >= self.bitmap_end(size) and not self._stray_bits(file, size)

    # --- building one

    @classmethod
    def build(cls, revision, image, backing, *, raw, size):
        """The bytes of a header."""
        order, length, _ = cls.layouts[revision]

        def number(value, width=4):
            return value.to_bytes(width, order)

        if revision is Revision.V10:
            places = number(36 + len(image) if backing else 0), number(len(backing)), number(36)
            features = number(bool(backing) + 2 * bool(raw), 8)
            parts = (*places, number(len(image)), features, image, backing)
        else:
            parts = backing.ljust(_NAME, b"\0"), image.ljust(_NAME, b"\0"), number(size, 8)
        return b"".join((MAGIC, number(1), *parts)).ljust(length, b"\0")


def bytes_of(file, offset, length):
    buffer = bytearray(length)
    file.read_into(offset, buffer)
    return bytes(buffer)
