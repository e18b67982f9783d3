"""Wrong about changing the size of a disk."""
# ruff: noqa: ARG002 - what a fault overlooks is often an argument

from contextlib import contextmanager
from functools import partial

from tests.conformance.miniatures._header import bytes_of
from tests.conformance.miniatures._image import Image
from tests.conformance.miniatures._table import breaks


@breaks("ACW-DYN-011")
class UnusedBitsStaySet(Image):
    """Whoever cuts the bitmap by bytes."""

    def clear_bits(self, offset, byte, bits):
        pass


@breaks("ACW-DYN-011")
class BitsThatWereCutOffComeBack(Image):
    """Whoever leaves the bitmap as long as it is, as it may be needed again."""

    def shorten_bitmap(self, end):
        pass

    def lengthen_bitmap(self, old_end, new_end):
        self.file.truncate(max(self.file.length(), new_end))


@breaks("ACW-DYN-013")
class SizeFieldIsKept(Image):
    """Whoever forgets that v4 and v6 say the size twice."""

    def store_size(self, size):
        pass


@breaks("ACW-DYN-005")
class ImageFileGrowsFirst(Image):
    """Whoever does the data first everywhere, as v6's driver did."""

    def grow(self, size):
        with self.undone(partial(self.raw_file.truncate, self.size), self.sync_data):
            self.raw_file.truncate(size)
            self.sync_data()
            super().grow(size)


@breaks("ACW-DYN-005")
class ResizeIsNotSynced(Image):
    """Whoever leaves it to the next flush."""

    def grow(self, size):
        self.lengthen_bitmap(self.header.bitmap_end(self.size), self.header.bitmap_end(size))
        self.raw_file.truncate(size)
        self.store_size(size)
        self.adopt(size)

    def shrink(self, size):
        end = self.header.bitmap_end(size)
        self.clear_bits(end - 1, bytes_of(self.file, end - 1, 1)[0], self.header.unused_bits(size))
        self.store_size(size)
        self.raw_file.truncate(size)
        self.shorten_bitmap(end)
        self.adopt(size)


@breaks("ACW-DYN-011")
class FailedResizeIsNotUndone(Image):
    """Whoever returns the error from where it is."""

    @contextmanager
    def undone(self, *steps):
        yield


@breaks("ACW-DYN-011")
class SizeIsRoundedUp(Image):
    """Whoever gives a guest whole clusters, which can do no harm."""

    def resize(self, size):
        super().resize(-(-size // self.header.unit) * self.header.unit)


@breaks("ACW-SIZ-007")
class OddSizeIsTaken(Image):
    """Whoever counts bytes, and never meets a disk that is no whole number of sectors."""

    def check_size(self, size):
        pass
