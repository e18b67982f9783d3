"""Wrong about what is durable when."""

from tests.conformance.miniatures._bitmap import Bitmap
from tests.conformance.miniatures._image import Image
from tests.conformance.miniatures._table import breaks


@breaks("ACW-DYN-005")
class BitsGoBeforeTheirData(Bitmap):
    """Whoever updates what is known of the data first, as v4's driver did."""

    def write_back(self):
        self.unsynced = self.unsynced or bool(self.dirty)
        for index in sorted(self.dirty):
            self.store(index)
            self.dirty.discard(index)
        self.barrier()


@breaks("ACW-DYN-005")
class PageLeavesTheCacheAtOnce(Bitmap):
    """Whoever has an order for the flush, and forgets that a full cache writes as well."""

    def make_room(self):
        if len(self.pages) >= self.capacity:
            index = next(iter(self.pages))
            if index in self.dirty:
                self.unsynced = True
                self.store(index)
                self.dirty.discard(index)
            del self.pages[index]


@breaks("ACW-DYN-005")
class PagesThatFailedAreForgotten(Bitmap):
    """Whoever marks a page as written when the write begins."""

    def write_back(self):
        self.barrier()
        self.unsynced = self.unsynced or bool(self.dirty)
        pages, self.dirty = sorted(self.dirty), set()
        for index in pages:
            self.store(index)


@breaks("ACW-DYN-005")
class ImageFileIsNotSynced(Image):
    """Whoever flushes the file that was opened, and not the one beside it."""

    def sync_data(self):
        pass


@breaks("ACW-DYN-005")
class AddCowFileIsNotSynced(Image):
    """Whoever flushes the data, and thinks of bits as something that can be had again."""

    def make_durable(self):
        self.bitmap.write_back()


@breaks("ACW-DYN-005")
class FlushKeepsBitsInMemory(Image):
    """Whoever writes the bitmap when the image is closed."""

    def flush(self):
        with self.lock:
            self.check_range(0, 0)
            if self.writable:
                self.sync_data()


@breaks("ACW-DYN-005")
class FuaIsIgnored(Image):
    """Whoever leaves an argument out that makes no difference in tests."""

    def write(self, offset, data, *, fua=False):  # noqa: ARG002 - that is the fault
        super().write(offset, data)


@breaks("ACW-DYN-005")
class ClosingDoesNotFlush(Image):
    """Whoever trusts that a guest has flushed before it ends."""

    def finish(self):
        pass


@breaks("ACW-DYN-005")
class BitsOfAKilledProcessAreNotSynced(Image):
    """Whoever syncs what this process has changed; the reference engine did, until its explorer found it."""

    def __init__(self, *files, **how):
        super().__init__(*files, **how)
        self.bitmap.unsynced = False


@breaks("ACW-DYN-005")
class FailedSyncIsForgotten(Image):
    """Whoever tries again, and believes the second answer."""

    def sync(self, file):
        file.sync()
