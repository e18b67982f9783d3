"""Wrong about what a write changes."""
# ruff: noqa: ARG002 - what a fault overlooks is often an argument

from tests.conformance.miniatures._image import Image
from tests.conformance.miniatures._right import Opener
from tests.conformance.miniatures._table import breaks


@breaks("ACW-DYN-003")
class RestIsNotCopied(Image):
    """Whoever reads in v10 that a write sets the bit, and no more."""

    def rest(self, offset, length):
        return b"", b""


@breaks("ACW-DYN-003")
class RestAfterTheDataIsNotCopied(Image):
    """Whoever thinks of writes that begin within a cluster, and not of those that end there."""

    def rest(self, offset, length):
        return super().rest(offset, length)[0], b""


@breaks("ACW-DYN-003")
class RestIsZeros(Image):
    """Whoever clears the buffer of a cluster, and does not fill it from below."""

    def rest(self, offset, length):
        head, tail = super().rest(offset, length)
        return bytes(len(head)), bytes(len(tail))


@breaks("ACW-DYN-003")
class RestIsCopiedOverWhatIsThere(Image):
    """Whoever copies the rest of the cluster on every write, whatever its bit."""

    def rest(self, offset, length):
        end, unit = offset + length, self.header.unit
        start, stop = offset // unit * unit, min(-(-end // unit) * unit, self.size)
        return self.below(start, offset - start), self.below(end, stop - end)


@breaks("ACW-DYN-004")
class WritesGoToTheBackingFileToo(Image):
    """Whoever keeps all copies up to date."""

    def store(self, offset, data):
        super().store(offset, data)
        if self.backing and offset + len(data) <= self.backing.size:
            below = self.file.open(self.header.backing, writable=True)
            below.write(offset, data)
            below.close()


@breaks("ACW-DYN-004")
class OpeningSetsTheLengthOfTheImageFile(Opener):
    """Whoever makes sure on opening that the image file has the size that it should, as v6's text has it."""

    def size_of(self, header, length):
        size = super().size_of(header, length)
        self.image_file.truncate(size)
        return size

    def open_named(self, file, name, missing, *, writable=False):
        own = missing == "ACW-ENV-001"
        found = super().open_named(file, name, missing, writable=writable or own)
        if own:
            self.image_file = found
        return found


@breaks("ACW-DYN-004")
class WritesForReadingAreSwallowed(Image):
    """Whoever protects an image that is open for reading, and tells nobody."""

    def write(self, offset, data, *, fua=False):
        if self.writable:
            super().write(offset, data, fua=fua)


@breaks("ACW-DYN-007")
class WritePastTheEndGrowsTheDisk(Image):
    """Whoever thinks of write(2), which makes a file longer."""

    def write(self, offset, data, *, fua=False):
        if self.writable and offset + len(data) > self.size:
            self.resize(-(-(offset + len(data)) // 512) * 512)
        super().write(offset, data, fua=fua)


@breaks("ACW-DYN-007")
class WritePastTheEndIsCut(Image):
    """Whoever writes what fits, and does not say how much that was."""

    def write(self, offset, data, *, fua=False):
        offset = min(offset, self.size)
        super().write(offset, data[: self.size - offset], fua=fua)


@breaks("ACW-DYN-003")
class ZeroesTakeWholeUnits(Image):
    """Whoever makes holes, and rounds to what can be one."""

    def store_zeroes(self, offset, length, *, unmap):
        unit = self.header.unit
        start, end = offset // unit * unit, min(-(-(offset + length) // unit) * unit, self.size)
        self.raw_file.write_zeroes(start, end - start, unmap=unmap)


@breaks("ACW-DYN-002")
class ZeroesClearNoUnit(Image):
    """Whoever takes clear units for zeros already, and writes none there."""

    def mark(self, offset, length):
        if not self.zeroing:
            super().mark(offset, length)

    zeroing = False

    def write_zeroes(self, offset, length, *, unmap=True, fua=False):
        self.zeroing = True
        try:
            super().write_zeroes(offset, length, unmap=unmap, fua=fua)
        finally:
            self.zeroing = False


@breaks("ACW-DYN-002")
class EmptyWriteSetsABit(Image):
    """Whoever sets the bit of the first unit in any case, and then those of the others."""

    def write(self, offset, data, *, fua=False):
        super().write(offset, data, fua=fua)
        if not data and offset < self.size:
            self.mark(offset, 1)


@breaks("ACW-DYN-002")
class NextBitIsSetToo(Image):
    """Whoever counts units from the first to (offset + length) div U, that one included."""

    def mark(self, offset, length):
        unit = self.header.unit
        self.bitmap.set(offset // unit, min((offset + length) // unit + 1, self.units))


@breaks("ACW-DYN-002")
class LastBitIsNotSet(Image):
    """Whoever counts units from the first to (offset + length) div U, that one left out."""

    def mark(self, offset, length):
        unit = self.header.unit
        self.bitmap.set(offset // unit, (offset + length) // unit)
