"""Random access to the disk of one image: reading, writing, zeroing, flushing.

Theory of operation
===================

A disk is cut into *units*: clusters in v10, sectors in v4 and v6. A unit whose bit is set is in the image
file; any other is read from the layer below, as zeros where there is none.

**Order of durability.** Data, then barrier, then bits (ACW-DYN-005). A write puts its data into the image
file and then sets bits in memory; nothing is synced. On a flush, or when a changed page of the bitmap has to
leave the cache, the image file is synced first, and then the pages that had changed *before* that sync are
written. The pages of a flush are synced too; those that left the cache are made durable by the next flush. So
a durable bit has durable data, and what has no durable bit reads as it did before: the image file's bytes
below a clear bit are never looked at, not even to complete a partial write.

**Who waits for whom.** A request that meets only set bits takes no lock: bits never become clear while
requests run, and requests of one client that overlap in time have no order. A write that meets a clear bit
holds its units (`UnitLocks`), looks at the bits again, completes the units at its two edges from below,
writes, and sets the bits while it still holds them. A second write to such a unit waits, finds the bit set,
and copies nothing. Reads never wait: until the bit is set they see the old data, which they may, as the write
has not returned. What changes the disk as a whole, resizing and closing, passes the `Gate` alone.

**Failure.** A write that fails sets no bit that it has not reached, and the bytes outside its range read as
before. Pages that could not be written stay marked as changed, and the next flush tries again. A failed
*sync* is another matter: the kernel drops what it could not write and reports it once, so a later sync that
succeeds proves nothing. After one, the disk refuses to write and to flush until it is opened anew.
"""

from __future__ import annotations

from contextlib import ExitStack
from functools import cached_property
from threading import Lock, local
from typing import TYPE_CHECKING

from addcow_ref._bitmap import PAGE_BITS, Bitmap
from addcow_ref._serial import Gate, UnitLocks
from addcow_ref._zero import fill_zeroes, is_zero
from addcow_spec.errors import StorageError, UsageError
from addcow_spec.geometry import CLUSTER_SIZE, Geometry, ceil_div, round_up
from addcow_spec.text import printable

if TYPE_CHECKING:
    from addcow_ref._layer import Layer
    from addcow_ref.storage import ReadableBuffer, Storage, WritableBuffer

__all__ = ["Disk"]

_CLOSED = -1


class _Scratch(local):
    """Room for a unit that is completed, for each thread: asking for it anew takes longer than filling it.

    Many images are opened that complete none.
    """

    @cached_property
    def unit(self) -> memoryview:
        return memoryview(bytearray(CLUSTER_SIZE))


class Disk:
    """The disk of an image whose files are open and judged.

    Args:
        file: the add-cow file.
        image_file: the image file.
        backing: the layer below, None without one.
        geometry: size and units.
        cache_size: bytes of the bitmap to keep in memory.
        writable: whether the files were opened for writing.
    """

    def __init__(
        self,
        file: Storage,
        image_file: Storage,
        backing: Layer | None,
        geometry: Geometry,
        *,
        cache_size: int,
        writable: bool,
    ) -> None:
        self.file = file
        self.image_file = image_file
        self.backing = backing
        self.writable = writable
        self.cache_size = cache_size
        self.gate = Gate()
        self.locks = UnitLocks()
        self._flushing = Lock()
        self._scratch = _Scratch()
        self._failure: StorageError | None = None
        self.adopt(geometry)
        # Bits may be set that a process wrote and did not sync before it was killed. Who has read what they
        # show counts on it after the next flush (ACW-DYN-005).
        self.bitmap.unsynced = writable

    def adopt(self, geometry: Geometry) -> None:
        """Take another size, with a cache that holds nothing yet; the caller has the disk alone."""
        self.geometry = geometry
        self.unit_size = geometry.unit_size
        self.size = geometry.virtual_size
        self.bitmap = Bitmap(self.file, geometry, cache_size=self.cache_size, barrier=self.sync_data)
        self._pages = self.bitmap.pages
        self._page_span = PAGE_BITS * geometry.unit_size
        self._write_limit = self.size if self.writable else _CLOSED

    # --- requests

    def read_into(self, offset: int, buffer: WritableBuffer) -> None:
        """See `Image.read_into`."""
        end = offset + memoryview(buffer).nbytes
        self.gate.enter()
        try:
            if not 0 <= offset <= end <= self.size:
                raise self._refusal(offset, end)
            index = offset // self._page_span
            page = self._pages.get(index)
            if page is not None and not page.clear and end <= (index + 1) * self._page_span:
                page.used = True
                self.image_file.read_into(offset, buffer)
            else:
                self._read(offset, memoryview(buffer).cast("B"), end)
        finally:
            self.gate.leave()

    def write(self, offset: int, data: ReadableBuffer) -> None:
        """See `Image.write`."""
        end = offset + memoryview(data).nbytes
        self.gate.enter()
        try:
            if not 0 <= offset <= end <= self._write_limit:
                raise self._refusal(offset, end, writing=True)
            index = offset // self._page_span
            page = self._pages.get(index)
            if page is not None and not page.clear and end <= (index + 1) * self._page_span:
                page.used = True
                self.image_file.write(offset, data)
            else:
                self._write(offset, memoryview(data).cast("B"), end)
        finally:
            self.gate.leave()

    def write_zeroes(self, offset: int, length: int, *, unmap: bool) -> None:
        """See `Image.write_zeroes`."""
        end = offset + length
        with self.gate:
            if not 0 <= offset <= end <= self._write_limit:
                raise self._refusal(offset, end, writing=True)
            if length:
                self._zero(offset, end, unmap=unmap)

    def flush(self) -> None:
        """See `Image.flush`."""
        with self.gate:
            self.check_range(0, 0)
            if self.writable:
                self.make_durable()

    def close(self) -> None:
        """See `Image.close`."""
        with self.gate.alone():
            if self.size == _CLOSED:
                return
            self.size = self._write_limit = _CLOSED
            with ExitStack() as files:
                if self.backing is not None:
                    files.callback(self.backing.close)
                files.callback(self.file.close)
                files.callback(self.image_file.close)
                if self.writable:
                    self.make_durable()

    def allocated_units(self) -> int:
        """See `Image.allocated_units`."""
        with self.gate:
            self.check_range(0, 0)
            return self.bitmap.count()

    def check_range(self, offset: int, length: int) -> None:
        """Refuse a range that is not on the disk.

        Raises:
            UsageError: it is not (ACW-DYN-007), or the image is closed.
        """
        if not 0 <= offset <= offset + length <= self.size:
            raise self._refusal(offset, offset + length)

    def check_writable(self) -> None:
        """Refuse what changes the disk where that cannot be done.

        Raises:
            UsageError: the image is open for reading only, or closed.
            StorageError: an earlier sync failed.
        """
        if self._write_limit == _CLOSED:
            raise self._refusal(0, 0, writing=True)

    def _refusal(self, offset: int, end: int, *, writing: bool = False) -> UsageError | StorageError:
        """Why a request is refused, as an error to raise."""
        name = printable(self.file.path)
        if self.size == _CLOSED:
            return UsageError(f"{name}: the image is closed")
        if writing and not self.writable:
            return UsageError(f"{name}: the image is open for reading only")
        if writing and self._failure:
            return self._failed()
        reach = f"bytes {offset} to {end}" if offset <= end else f"{end - offset} bytes at {offset}"
        message = f"{name}: {reach} are not on the disk of {self.size} bytes"
        return UsageError(message, rule="ACW-DYN-007")

    # --- reading

    def _read(self, offset: int, view: memoryview, end: int) -> None:
        unit = self.unit_size
        for first, stop, is_set in self.bitmap.runs(offset // unit, ceil_div(end, unit)):
            start, after = max(first * unit, offset), min(stop * unit, end)
            part = view[start - offset : after - offset]
            if is_set:
                self.image_file.read_into(start, part)
            else:
                self.read_below(start, part)

    def read_below(self, offset: int, view: memoryview) -> None:
        """Fill ``view`` with what clear units show at ``offset``.

        Raises:
            StorageError: reading failed.
            ImageError: the tables of a qcow2 layer are broken.
        """
        below = self.backing.size if self.backing else 0
        inside = min(max(below - offset, 0), len(view))
        if self.backing and inside:
            self.backing.read_into(offset, view[:inside])
        if inside < len(view):
            fill_zeroes(view[inside:])

    # --- writing

    def _write(self, offset: int, view: memoryview, end: int) -> None:
        first, stop = offset // self.unit_size, ceil_div(end, self.unit_size)
        if offset == end:
            return
        if self.bitmap.is_set(first, stop):
            self.image_file.write(offset, view)
            return
        with self.locks.holding(first, stop):
            head, tail = self._edges(offset, end)
            self._store(offset, head, view, tail)
            self.bitmap.set(first, stop)

    def _edges(self, offset: int, end: int) -> tuple[memoryview, memoryview]:
        """What clear units show before ``offset`` and after ``end``: the rest of the first and the last."""
        unit = self.unit_size
        start, limit = offset // unit * unit, min(round_up(end, unit), self.size)
        head = start < offset and not self.bitmap.is_set(start // unit, start // unit + 1)
        if limit - start <= unit and head:
            whole = self._scratch.unit[: limit - start]
            self.read_below(start, whole)
            return whole[: offset - start], whole[end - start :]
        tail = end < limit and not self.bitmap.is_set(end // unit, end // unit + 1)
        before = memoryview(bytearray(offset - start if head else 0))
        after = memoryview(bytearray(limit - end if tail else 0))
        self.read_below(start, before)
        self.read_below(end, after)
        return before, after

    def _store(self, offset: int, head: memoryview, data: memoryview, tail: memoryview) -> None:
        """Write data and the rest of its units in one go; rests that are all zeros become holes."""
        start, parts = offset, [data]
        if is_zero(head):
            self.store_zeroes(offset - len(head), len(head))
        else:
            start, parts = offset - len(head), [head, data]
        if is_zero(tail):
            self.store_zeroes(offset + len(data), len(tail))
        else:
            parts.append(tail)
        self.image_file.write(start, *parts)

    def store_zeroes(self, offset: int, length: int, *, unmap: bool = True) -> None:
        """Make the image file read as zeros there; nothing is written where it has a hole.

        Raises:
            StorageError: writing failed.
        """
        end = offset + length
        if length and not (unmap and self.image_file.next_data(offset, end) == end):
            self.image_file.write_zeroes(offset, length, unmap=unmap)

    def _zero(self, offset: int, end: int, *, unmap: bool) -> None:
        first, stop = offset // self.unit_size, ceil_div(end, self.unit_size)
        with self.locks.holding(first, stop):
            head, tail = self._edges(offset, end)
            for at, rest in ((offset - len(head), head), (end, tail)):
                if is_zero(rest):
                    self.store_zeroes(at, len(rest))
                else:
                    self.image_file.write(at, rest)
            self.store_zeroes(offset, end - offset, unmap=unmap)
            self.bitmap.set(first, stop)

    # --- durability

    def make_durable(self) -> None:
        """Data, barrier, bits, and the bits durable as well.

        Raises:
            StorageError: part of it failed, now or in an earlier sync.
        """
        with self._flushing:
            if not self.bitmap.write_back():
                self.sync_data()
            if self.bitmap.unsynced:
                self.bitmap.unsynced = False
                self.sync_bits()

    def sync_data(self) -> None:
        """Make what was written to the image file durable.

        Raises:
            StorageError: it failed, now or earlier.
        """
        self._sync(self.image_file)

    def sync_bits(self) -> None:
        """Make what was written to the add-cow file durable.

        Raises:
            StorageError: it failed, now or earlier.
        """
        self._sync(self.file)

    def _sync(self, file: Storage) -> None:
        if self._failure:
            raise self._failed()
        try:
            file.sync()
        except StorageError as error:
            self.give_up(error)
            raise

    def give_up(self, error: StorageError) -> None:
        """Take no more writes: what the files hold is not known after ``error``."""
        self._failure = error
        self._write_limit = _CLOSED

    def _failed(self) -> StorageError:
        name = printable(self.file.path)
        error = StorageError(
            f"{name}: an earlier failure may have lost what was written since the last flush; open it anew"
        )
        error.__cause__ = self._failure
        return error
