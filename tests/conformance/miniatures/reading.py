"""Wrong about what a read shows, and about where it says that bytes come from."""
# ruff: noqa: ARG002 - what a fault overlooks is often an argument

from tests.conformance.miniatures._header import bytes_of
from tests.conformance.miniatures._image import Image
from tests.conformance.miniatures._table import breaks


@breaks("ACW-DYN-001")
class ClearUnitsAreZeros(Image):
    """Whoever tries images without a backing file only."""

    def below(self, offset, length):
        return bytes(length)


@breaks("ACW-SIZ-001")
class ImageFileShowsBeyondTheBackingFile(Image):
    """Whoever asks the other file where the first one has nothing to say."""

    def below(self, offset, length):
        reach = max(self.backing.size - offset, 0) if self.backing else length
        rest = bytes_of(self.raw_file, offset + reach, length - reach) if reach < length else b""
        return super().below(offset, min(reach, length)) + rest


@breaks("ACW-DYN-001")
class ImageFileShowsWithoutABackingFile(Image):
    """Whoever leaves the buffer as it is where there is no backing file, as v6's driver did."""

    def below(self, offset, length):
        return super().below(offset, length) if self.backing else bytes_of(self.raw_file, offset, length)


@breaks("ACW-DYN-001")
class FirstBitDecidesForAll(Image):
    """Whoever looks up the bit of a request, and forgets that it may span several units."""

    def read_units(self, offset, length):
        if length and self.bitmap.is_set(offset // self.header.unit):
            return bytes_of(self.raw_file, offset, length)
        return self.below(offset, length)


@breaks("ACW-DYN-010")
class PathIsToldForTheName(Image):
    """Whoever keeps the path that was opened, and no longer knows what was stored."""

    @property
    def image_file(self):
        return self.raw_file.path


@breaks("ACW-DYN-007")
class ReadPastTheEndIsShort(Image):
    """Whoever thinks of read(2), which gives what there is."""

    def read(self, offset, length):
        return super().read(min(offset, self.size), max(min(length, self.size - offset), 0))


@breaks("ACW-DYN-004")
class ReadingCopies(Image):
    """Whoever streams by copy-on-read, and nobody has asked for a stream."""

    def read(self, offset, length):
        data = super().read(offset, length)
        if self.writable and not self.failure:
            self.write(offset, data)
        return data


@breaks("ACW-DYN-001")
class ExtentsKnowTwoLayers(Image):
    """Whoever never looks below the backing file."""

    def extents_below(self, lower, start, end):
        found = super().extents_below(lower, start, end)
        return [extent._replace(depth=min(extent.depth, 1)) for extent in found]


@breaks("ACW-DYN-001")
class ExtentsCallWhatIsBelowZeros(Image):
    """Whoever takes a hole of the image file for zeros on the disk."""

    def extents_below(self, lower, start, end):
        return [extent._replace(zero=True) for extent in super().extents_below(lower, start, end)]


@breaks("ACW-DYN-002")
class ExtentsAreRemembered(Image):
    """Whoever finds extents costly, and keeps them."""

    kept = None

    def extents(self):
        if self.kept is None or self.kept[0] != self.size:
            self.kept = self.size, super().extents()
        return self.kept[1]
