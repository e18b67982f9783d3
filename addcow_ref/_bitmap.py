"""The bitmap behind a bounded cache of pages (ACW-DYN-008).

A page holds 4,096 bytes of the bitmap. A page that changed stays in memory until it is written back, and
before the first of a batch is written the barrier makes the data durable that its bits vouch for
(ACW-DYN-005). Bits are set only after their data was written, so that a copy of a page, taken before the
barrier, holds no bit that the barrier does not cover.

A page is looked up without a lock. Bits only go from clear to set while requests run, so that a stale page at
worst shows a bit as it was a moment ago; bits are set with the lock held, on the page that is in the cache.
"""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING

from bitarray import bitarray

from addcow_spec.errors import StorageError
from addcow_spec.geometry import Geometry, ceil_div

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from addcow_ref.storage import Storage

__all__ = ["DEFAULT_CACHE_SIZE", "PAGE_BITS", "PAGE_SIZE", "Bitmap", "Page"]

PAGE_SIZE = 4096
PAGE_BITS = PAGE_SIZE * 8
DEFAULT_CACHE_SIZE = 4 << 20

_SCAN = 256 * PAGE_SIZE


class Page:
    """A page of the bitmap. ``clear`` counts its clear bits, those that stand for no unit left out."""

    __slots__ = ("bits", "clear", "dirty", "used", "writing")

    def __init__(self, data: bytearray, units: int) -> None:
        self.bits = bitarray(buffer=data, endian="little")
        self.clear = units - self.bits.count(1, 0, units)
        self.dirty = False
        self.writing = False
        self.used = True


class Bitmap:
    """The bits of one image.

    Args:
        file: the add-cow file.
        geometry: where its bitmap lies.
        cache_size: bytes of the bitmap to keep in memory, 4,096 or more.
        barrier: makes all data durable that was written to the image file so far.

    Attributes:
        pages: the cache, by number of the page.
        unsynced: whether pages were written since the add-cow file was synced; the owner clears it.
    """

    def __init__(
        self, file: Storage, geometry: Geometry, *, cache_size: int, barrier: Callable[[], None]
    ) -> None:
        self.pages: dict[int, Page] = {}
        self.unsynced = False
        self._file = file
        self._offset = geometry.bitmap_offset
        self._size = geometry.bitmap_size
        self._units = geometry.units
        self._capacity = max(cache_size // PAGE_SIZE, 1)
        self._barrier = barrier
        self._lock = Lock()
        self._writing_back = Lock()

    # --- looking

    def runs(self, first: int, stop: int) -> Iterator[tuple[int, int, bool]]:
        """Cut the units from ``first`` up to ``stop`` into runs: first unit, unit after the last, bit.

        Neighbouring runs may be equal where a page ends.

        Raises:
            StorageError: reading failed.
        """
        while first < stop:
            index, bit = divmod(first, PAGE_BITS)
            page = self.pages.get(index)
            if page is None:
                clear = self._end_of_hole(first, stop) if stop - first > PAGE_BITS else first
                if clear > first:
                    yield first, clear, False
                    first = clear
                    continue
                page = self._page(index, looking=True)
            page.used = True
            bits, base = page.bits, first - bit
            end = min(stop - base, PAGE_BITS)
            while bit < end:
                value = bits[bit]
                after = bits.find(not value, bit, end)
                if after < 0:
                    after = end
                yield base + bit, base + after, bool(value)
                bit = after
            first = base + end

    def _end_of_hole(self, first: int, stop: int) -> int:
        """The end of the clear units from ``first`` on that lie in a hole of the file; ``first`` without one.

        The cache is looked at before the file, as a page goes to the file before it leaves the cache.
        """
        index = first // PAGE_BITS
        cached = min((other for other in list(self.pages) if other > index), default=self._units)
        end = min(cached, ceil_div(stop, PAGE_BITS))
        data = self._file.next_data(self._offset + index * PAGE_SIZE, self._offset + self._size)
        if data < self._offset + self._size:
            end = min(end, (data - self._offset) // PAGE_SIZE)
        return max(first, min(end * PAGE_BITS, stop))

    def is_set(self, first: int, stop: int) -> bool:
        """Whether the bits of all units from ``first`` up to ``stop`` are set."""
        index, bit = divmod(first, PAGE_BITS)
        page, end = self.pages.get(index), bit + stop - first
        if page is None or end > PAGE_BITS:
            return all(value for _, _, value in self.runs(first, stop))
        page.used = True
        return page.bits.find(0, bit, end) < 0

    def count(self) -> int:
        """Number of bits set; reads all of the bitmap that is not in a hole.

        Raises:
            StorageError: reading failed.
        """
        return sum(after - first for first, after, value in self.scan() if value)

    def scan(self) -> Iterator[tuple[int, int, bool]]:
        """As `runs` of all units, past the cache: pages that it lacks are read in one go and not kept.

        Raises:
            StorageError: reading failed.
        """
        first = 0
        while first < self._units:
            index = first // PAGE_BITS
            clear = self._end_of_hole(first, self._units) if index not in self.pages else first
            if clear > first:
                yield first, clear, False
                first = clear
                continue
            start = index * PAGE_SIZE
            data = bytearray(min(_SCAN, self._size - start))
            pages = range(index, index + ceil_div(len(data), PAGE_SIZE))
            cached = [(i, page.bits.tobytes()) for i in pages if (page := self.pages.get(i))]
            self._file.read_into(self._offset + start, data)
            for i, held in cached:
                at = (i - index) * PAGE_SIZE
                data[at : at + PAGE_SIZE] = held
            stop = min(self._units, first + len(data) * 8)
            yield from _runs(bitarray(buffer=data, endian="little"), first, stop)
            first = stop

    # --- changing

    def set(self, first: int, stop: int) -> None:
        """Set the bits of the units from ``first`` up to ``stop``; their data must be written already.

        Raises:
            StorageError: reading or writing back a page failed; some of the bits may be set.
        """
        while first < stop:
            index, bit = divmod(first, PAGE_BITS)
            end = min(bit + stop - first, PAGE_BITS)
            while True:
                self._page(index)
                with self._lock:
                    page = self.pages.get(index)
                    if page is None:
                        continue  # evicted in between
                    clear = page.bits.count(0, bit, end)
                    if clear:
                        page.bits[bit:end] = True
                        page.dirty = True
                        page.clear -= clear
                    break
            first += end - bit

    def write_back(self) -> bool:
        """Write the changed pages behind the barrier; whether there were any. They are not yet durable.

        Raises:
            StorageError: the barrier or a write failed; the pages stay marked as changed.
        """
        with self._writing_back:
            with self._lock:
                batch = [(index, page) for index, page in self.pages.items() if page.dirty]
                copies = [(index, page.bits.tobytes()) for index, page in batch]
                for _, page in batch:
                    page.dirty, page.writing = False, True
            if not batch:
                return False
            written = False
            try:
                self._barrier()
                for index, data in copies:
                    self._file.write(self._offset + index * PAGE_SIZE, data)
                written = True
            finally:
                # Not before: a sync of the file that ran meanwhile covers only some of the batch.
                self.unsynced = True
                with self._lock:
                    for _, page in batch:
                        page.writing = False
                        page.dirty = page.dirty or not written
            return True

    # --- pages

    def _page(self, index: int, *, looking: bool = False) -> Page:
        """The page, read from the file if it is not in the cache.

        Where no page can leave the cache, as none can be written, one that is not kept will do for looking.
        """
        page = self.pages.get(index)
        while page is None:
            with self._lock:
                page = self.pages.get(index)
                if page is None and (len(self.pages) < self._capacity or self._evict()):
                    page = self.pages[index] = self._load(index)
            if page is None:
                try:
                    self.write_back()
                except StorageError:
                    if not looking:
                        raise
                    return self._load(index)
        page.used = True
        return page

    def _load(self, index: int) -> Page:
        start = index * PAGE_SIZE
        data = bytearray(min(PAGE_SIZE, self._size - start))
        self._file.read_into(self._offset + start, data)
        return Page(data, min(PAGE_BITS, self._units - index * PAGE_BITS))

    def _evict(self) -> bool:
        """Drop unchanged pages, an eighth of the cache at once, those not used lately first."""
        unchanged = [index for index, page in self.pages.items() if not (page.dirty or page.writing)]
        idle = [index for index in unchanged if not self.pages[index].used]
        for page in self.pages.values():
            page.used = False
        for index in (idle or unchanged)[: max(self._capacity // 8, 1)]:
            del self.pages[index]
        return bool(unchanged)


def _runs(bits: bitarray, first: int, stop: int) -> Iterator[tuple[int, int, bool]]:
    """The runs of ``bits``, whose first bit stands for unit ``first``."""
    bit, end = 0, stop - first
    while bit < end:
        value = bits[bit]
        after = bits.find(not value, bit, end)
        after = end if after < 0 else after
        yield first + bit, first + after, bool(value)
        bit = after
