"""Wrong about requests that run in parallel, and about other processes."""

from tests.conformance.miniatures._bitmap import PAGE
from tests.conformance.miniatures._image import Image
from tests.conformance.miniatures._right import Opener
from tests.conformance.miniatures._table import breaks


@breaks("ACW-DYN-014")
class NothingIsLocked(Opener):
    """Whoever has one process."""

    def lock(self, file, *, exclusive):
        pass


@breaks("ACW-DYN-014")
class ImageFileIsNotLocked(Opener):
    """Whoever locks the file that was opened, and not the one beside it."""

    def lock(self, file, *, exclusive):
        if file.identity in self.layers:
            super().lock(file, exclusive=exclusive)


@breaks("ACW-DYN-014")
class ReadersTakeNoLock(Opener):
    """Whoever thinks that reading does no harm."""

    def lock(self, file, *, exclusive):
        if exclusive:
            super().lock(file, exclusive=exclusive)


@breaks("ACW-DYN-006")
class TwoWritersCopyOneRest(Image):
    """Whoever holds the lock while looking at the bits, and lets it go for the writing, which takes long."""

    def write(self, offset, data, *, fua=False):
        with self.lock:
            self.check_writing(offset, len(data))
            head, tail = self.rest(offset, len(data)) if data else (b"", b"")
        if data:
            self.raw_file.write(offset - len(head), head, data, tail)
            with self.lock:
                self.mark(offset, len(data))
        if fua:
            self.flush()


@breaks("ACW-DYN-006")
class BitOfTheOtherWriterIsLost(Image):
    """Whoever reads a byte of the bitmap, makes the data durable, and writes the byte with a bit more."""

    def write(self, offset, data, *, fua=False):
        with self.lock:
            self.check_writing(offset, len(data))
            if data:
                self.store(offset, data)
        if data:
            index = offset // self.header.unit // (8 * PAGE)
            before = bytes(self.bitmap.page(index))
            self.sync_data()
            with self.lock:
                self.bitmap.page(index, to_change=True)[:] = before
                self.mark(offset, len(data))
        if fua:
            self.flush()
