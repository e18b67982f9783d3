"""The disk of an opened image: requests, durability, resizing, streaming. One lock serialises them all."""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from threading import RLock
from typing import NamedTuple

from addcow_spec.errors import StorageError, UsageError
from addcow_spec.model import Revision
from tests.conformance.miniatures._header import bytes_of

# Units that a stream copies in one go; then it asks whether it is to stop.
_STEP = 4
_LARGEST = (1 << 63) - 1


class Extent(NamedTuple):
    start: int
    length: int
    depth: int
    present: bool
    zero: bool


class Raw:
    """A raw backing file."""

    def __init__(self, file):
        self.file = file
        self.size = file.length()

    def read(self, offset, length):
        return bytes_of(self.file, offset, length)

    def extents(self):
        return [Extent(0, self.size, 0, present=True, zero=False)] if self.size else []


class Image:
    """An add-cow disk.

    Args:
        bitmap: the class of its bitmap.
        file, image_file: the two files.
        header: what the header says.
        size: bytes of the disk.
        backing: the layer below, None without one.
        writable: whether it may be changed.
        cache_size: bytes of bitmap in memory.

    Attributes:
        files: closes all files of the chain; its opener gives it to the image on top.
    """

    def __init__(self, bitmap, file, image_file, header, size, backing, *, writable, cache_size):
        self.new_bitmap = partial(bitmap, file, header.length, cache_size=cache_size, barrier=self.sync_data)
        self.file = file
        self.raw_file = image_file
        self.header = header
        self.backing = backing
        self.files = None
        self.writable = writable
        self.lock = RLock()
        self.closed = False
        self.failure = None
        self.adopt(size)
        # A process that was killed may have written bits that a reader has acted on since.
        self.bitmap.unsynced = writable

    def adopt(self, size):
        self.size = size
        self.units = self.header.units(size)
        self.bitmap = self.new_bitmap(units=self.units)

    # --- what it is

    @property
    def revision(self):
        return self.header.revision

    @property
    def image_file(self):
        return self.header.image

    @property
    def backing_file(self):
        return self.header.backing

    # --- refusals

    def check_range(self, offset, length):
        if self.closed:
            raise UsageError("the image is closed")
        if not 0 <= offset <= offset + length <= self.size:
            message = f"{length} bytes at {offset} are not on a disk of {self.size}"
            raise UsageError(message, rule="ACW-DYN-007")

    def check_writing(self, offset=0, length=0):
        if not (self.closed or self.writable):
            raise UsageError("the image is open for reading only")
        self.check_range(offset, length)
        if self.failure:
            raise StorageError("a sync has failed: open the image anew") from self.failure

    # --- reading

    def read(self, offset, length):
        with self.lock:
            self.check_range(offset, length)
            return self.read_units(offset, length)

    def read_units(self, offset, length):
        end, unit, parts = offset + length, self.header.unit, []
        for first, stop, is_set in self.bitmap.runs(offset // unit, -(-end // unit)) if length else ():
            start, after = max(first * unit, offset), min(stop * unit, end)
            read = partial(bytes_of, self.raw_file) if is_set else self.below
            parts.append(read(start, after - start))
        return b"".join(parts)

    def below(self, offset, length):
        """What clear units show."""
        inside = min(max(self.backing.size - offset, 0), length) if self.backing else 0
        return (self.backing.read(offset, inside) if inside else b"") + bytes(length - inside)

    def extents(self):
        with self.lock:
            self.check_range(0, 0)
            lower = list(self.backing.extents()) if self.backing else []
            found, unit = [], self.header.unit
            for first, stop, is_set in self.bitmap.runs(0, self.units):
                start, end = first * unit, min(stop * unit, self.size)
                own = [Extent(start, end - start, 0, present=True, zero=False)]
                found += own if is_set else self.extents_below(lower, start, end)
            return found

    def extents_below(self, lower, start, end):
        found = []
        for extent in lower:
            first, stop = max(extent.start, start), min(extent.start + extent.length, end)
            if first < stop:
                found.append(extent._replace(start=first, length=stop - first, depth=extent.depth + 1))
        reached = max(start, min(self.backing.size if self.backing else 0, end))
        if reached < end:
            found.append(Extent(reached, end - reached, 0, present=False, zero=True))
        return found

    # --- writing

    def write(self, offset, data, *, fua=False):
        with self.lock:
            self.check_writing(offset, len(data))
            if data:
                self.store(offset, data)
                self.mark(offset, len(data))
            if fua:
                self.make_durable()

    def store(self, offset, data):
        head, tail = self.rest(offset, len(data))
        self.raw_file.write(offset - len(head), head, data, tail)

    def write_zeroes(self, offset, length, *, unmap=True, fua=False):
        with self.lock:
            self.check_writing(offset, length)
            if length:
                self.store_zeroes(offset, length, unmap=unmap)
                self.mark(offset, length)
            if fua:
                self.make_durable()

    def store_zeroes(self, offset, length, *, unmap):
        head, tail = self.rest(offset, length)
        if head:
            self.raw_file.write(offset - len(head), head)
        self.raw_file.write_zeroes(offset, length, unmap=unmap)
        if tail:
            self.raw_file.write(offset + length, tail)

    def rest(self, offset, length):
        """What has to be copied before and after a write: the rest of units whose bit is clear."""
        end, unit = offset + length, self.header.unit
        start, stop = offset // unit * unit, min(-(-end // unit) * unit, self.size)
        before = start < offset and not self.bitmap.is_set(start // unit)
        after = end < stop and not self.bitmap.is_set(end // unit)
        head = self.below(start, offset - start) if before else b""
        return head, self.below(end, stop - end) if after else b""

    def mark(self, offset, length):
        unit = self.header.unit
        self.bitmap.set(offset // unit, -(-(offset + length) // unit))

    # --- durability

    def sync(self, file):
        if self.failure:
            raise StorageError("an earlier sync has failed") from self.failure
        try:
            file.sync()
        except StorageError as error:
            self.failure = error
            raise

    def sync_data(self):
        self.sync(self.raw_file)

    def sync_bits(self):
        self.sync(self.file)

    def make_durable(self):
        self.bitmap.write_back()
        if self.bitmap.unsynced:
            self.sync_bits()
            self.bitmap.unsynced = False

    def flush(self):
        with self.lock:
            self.check_range(0, 0)
            if self.writable:
                self.make_durable()

    def close(self):
        with self.lock:
            if not self.closed:
                self.closed = True
                with self.files:
                    self.finish()

    def finish(self):
        """What closing does before the files are closed."""
        if self.writable:
            self.make_durable()

    # --- resizing

    def resize(self, size):
        with self.lock:
            self.check_size(size)
            self.check_writing()
            if size != self.size:
                self.make_durable()
                (self.grow if size > self.size else self.shrink)(size)

    def check_size(self, size):
        if not 0 <= size <= _LARGEST:
            raise UsageError(f"no disk has {size} bytes")
        if self.revision is not Revision.V10 and size % 512:
            raise UsageError(f"{size} bytes are no whole sectors", rule="ACW-SIZ-007")

    @contextmanager
    def undone(self, *steps):
        """Where the body fails, the steps are done; where they fail as well, nothing is written any more."""
        try:
            yield
        except StorageError:
            try:
                for step in steps:
                    step()
            except StorageError as error:
                self.failure = self.failure or error
            raise

    def grow(self, size):
        old, end = self.size, self.header.bitmap_end(self.size)
        back = (
            partial(self.raw_file.truncate, old),
            partial(self.store_size, old),
            self.sync_data,
            partial(self.file.truncate, end),
            self.sync_bits,
        )
        with self.undone(*back):
            self.lengthen_bitmap(end, self.header.bitmap_end(size))
            self.sync_bits()
            self.raw_file.truncate(size)
            self.sync_data()
            self.store_size(size)
            self.sync_bits()
        self.adopt(size)

    def lengthen_bitmap(self, old_end, new_end):
        self.file.truncate(old_end)
        self.file.truncate(new_end)

    def shrink(self, size):
        end, unused = self.header.bitmap_end(size), self.header.unused_bits(size)
        last = bytes_of(self.file, end - 1, 1)
        back = (
            partial(self.store_size, self.size),
            partial(self.file.write, end - 1, last),
            self.sync_bits,
        )
        with self.undone(*back):
            self.clear_bits(end - 1, last[0], unused)
            self.store_size(size)
            self.sync_bits()
            self.raw_file.truncate(size)
        self.adopt(size)
        self.sync_data()
        self.shorten_bitmap(end)
        self.sync_bits()

    def clear_bits(self, offset, byte, bits):
        if byte & bits:
            self.file.write(offset, bytes([byte & ~bits]))

    def shorten_bitmap(self, end):
        self.file.truncate(end)

    def store_size(self, size):
        """Write the size field of v4 and v6."""
        if self.revision is not Revision.V10:
            self.file.write(2060, size.to_bytes(8, "big"))

    # --- streaming

    def stream(self, *, stop=None):
        with self.lock:
            self.check_writing()
        while not (stop and stop()):
            with self.lock:
                self.check_writing()
                if not self.stream_piece():
                    self.make_durable()
                    return True
        self.flush()
        return False

    def stream_piece(self):
        """Copy the first clear units; whether there were any."""
        piece = self.next_clear()
        if piece:
            self.copy(*piece)
            self.bitmap.set(*piece)
        return piece is not None

    def next_clear(self):
        """The first clear units, no more than are copied in one go; None where all are set."""
        unit, reach = self.header.unit, self.backing.size if self.backing else 0
        for first, stop, is_set in self.bitmap.runs(0, self.units):
            if not is_set:
                return first, min(stop, first + _STEP) if first * unit < reach else stop
        return None

    def copy(self, first, stop):
        start, end = first * self.header.unit, min(stop * self.header.unit, self.size)
        if start < (self.backing.size if self.backing else 0):
            self.raw_file.write(start, self.below(start, end - start))
        else:
            self.raw_file.write_zeroes(start, end - start)
