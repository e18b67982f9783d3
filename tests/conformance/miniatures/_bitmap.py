"""The bitmap, a few pages of it in memory at a time."""

from __future__ import annotations

import re
from collections import OrderedDict

from addcow_spec.errors import StorageError
from tests.conformance.miniatures._header import bytes_of

PAGE = 4096
_BITS = PAGE * 8
_EXPANDED = [bytes(byte >> bit & 1 for bit in range(8)) for byte in range(256)]
_RUN = re.compile(rb"\x00+|\x01+")


class Bitmap:
    """The bits of a disk's units.

    Args:
        file: the add-cow file.
        start: where the bitmap begins in it.
        units: number of units.
        cache_size: bytes that may be held in memory.
        barrier: makes the data durable that the bits vouch for.

    Attributes:
        unsynced: whether the file has to be synced before its bits are durable.
    """

    def __init__(self, file, start, units, cache_size, barrier):
        self.file = file
        self.start = start
        self.length = -(-units // 8)
        self.capacity = max(cache_size // PAGE, 1)
        self.barrier = barrier
        self.unsynced = False
        self.pages = OrderedDict()
        self.dirty = set()

    def runs(self, first, stop):
        """Units of one kind in a row: the first, the one after the last, whether they are set."""
        while first < stop:
            page = self.page(first // _BITS)
            base = first // 8 * 8
            end = min(stop, (first // _BITS + 1) * _BITS)
            held = page[base // 8 % PAGE : (end - 1) // 8 % PAGE + 1]
            bits = b"".join(map(_EXPANDED.__getitem__, held))
            for run in _RUN.finditer(bits, first - base, end - base):
                yield base + run.start(), base + run.end(), run[0][0] == 1
            first = end

    def is_set(self, unit):
        return next(self.runs(unit, unit + 1))[2]

    def set(self, first, stop):
        while first < stop:
            index, low = divmod(first, _BITS)
            high = min(stop - index * _BITS, _BITS)
            page = self.page(index, to_change=True)
            bits = int.from_bytes(page, "little") | (1 << high) - (1 << low)
            page[:] = bits.to_bytes(len(page), "little")
            self.dirty.add(index)
            first = index * _BITS + high

    # --- pages

    def page(self, index, *, to_change=False):
        if index in self.pages:
            self.pages.move_to_end(index)
            return self.pages[index]
        try:
            self.make_room()
        except StorageError:
            if to_change:
                raise
            return self.load(index)
        page = self.pages[index] = self.load(index)
        return page

    def make_room(self):
        if len(self.pages) >= self.capacity:
            if next(iter(self.pages)) in self.dirty:
                self.write_back()
            self.pages.popitem(last=False)

    def load(self, index):
        return bytearray(
            bytes_of(self.file, self.start + index * PAGE, min(PAGE, self.length - index * PAGE))
        )

    def store(self, index):
        self.file.write(self.start + index * PAGE, self.pages[index])

    def write_back(self):
        """Write what has changed, after the data that it vouches for."""
        self.barrier()
        self.unsynced = self.unsynced or bool(self.dirty)
        for index in sorted(self.dirty):
            self.store(index)
            self.dirty.discard(index)
