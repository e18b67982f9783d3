"""Streaming: making the image file independent of what is below it, while in use (ACW-DYN-012)."""

from __future__ import annotations

import time
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

from addcow_ref._extents import below
from addcow_ref._zero import HOLE_GRAIN, is_zero
from addcow_spec.errors import UsageError
from addcow_spec.geometry import ceil_div

if TYPE_CHECKING:
    from collections.abc import Callable

    from addcow_ref._bitmap import Bitmap
    from addcow_ref._disk import Disk
    from addcow_ref._layer import Extent

__all__ = ["stream_disk"]

# Copied in one go, with the units held: small enough that a guest's write does not wait long.
_PIECE = 1 << 20
# Nothing is copied of a range that is known to be zeros below; its bits are set in pieces of this many bytes.
_ZERO_PIECE = 1 << 30
# Zeros that are fewer are copied with the data before them.
_LONG = 64 << 10
# Copied between two flushes: what a stream that is cut off loses at most.
_FLUSH_EVERY = 64 << 20
_NAP = 0.1


class _Piece(NamedTuple):
    """Clear units from ``first`` up to ``stop``; ``zero`` where they are known to be zeros below."""

    first: int
    stop: int
    zero: bool


def stream_disk(
    disk: Disk,
    *,
    limit: int | None,
    progress: Callable[[int, int], None] | None,
    stop: Callable[[], bool] | None,
) -> bool:
    """Stream the disk; see `Image.stream`."""
    if limit is not None and limit < 1:
        raise UsageError(f"a limit is 1 byte a second or more, not {limit}")
    return _Stream(disk, limit, progress, stop).run()


class _Stream:
    def __init__(
        self,
        disk: Disk,
        limit: int | None,
        progress: Callable[[int, int], None] | None,
        stop: Callable[[], bool] | None,
    ) -> None:
        self._disk = disk
        self._limit = limit
        self._progress = progress
        self._stop = stop or (lambda: False)
        self._bitmap: Bitmap | None = None
        self._set = 0
        self._units = 0
        self._copied = 0
        self._unflushed = 0
        self._buffer = memoryview(b"")
        self._started = time.monotonic()

    def run(self) -> bool:
        disk = self._disk
        with disk.gate:
            disk.check_writable()  # however soon it is stopped
        unit = 0
        while not self._stop():
            with disk.gate:
                disk.check_writable()
                if disk.bitmap is not self._bitmap:
                    # The first time, and after a resize, which may have brought clear units anywhere.
                    self._begin()
                    unit = 0
                piece = self._next_piece(unit)
                if piece is not None:
                    self._copy(piece)
            if piece is None or self._unflushed >= _FLUSH_EVERY:
                disk.flush()
                self._unflushed = 0
            if piece is None:
                self._set = self._units  # others set bits, too
                self._tell()
                return True
            unit = piece.stop
            self._tell()
            self._pace()
        disk.flush()
        return False

    def _begin(self) -> None:
        self._bitmap = self._disk.bitmap
        self._units = self._disk.geometry.units
        self._set = self._bitmap.count() if self._progress else 0

    def _next_piece(self, unit: int) -> _Piece | None:
        """The next clear units from ``unit`` on, no more than are done in one go."""
        for first, stop, is_set in self._disk.bitmap.runs(unit, self._units):
            if not is_set:
                return self._cut(first, stop)
        return None

    def _cut(self, first: int, stop: int) -> _Piece:
        """Units that are zeros below, or those before the next that are; no more than are done in one go."""
        size, end = self._disk.unit_size, self._disk.size
        start, limit = first * size, min(stop, first + _PIECE // size)
        for extent in below(self._disk, start, min(stop * size, end, start + _ZERO_PIECE)):
            zeros = self._zeros(extent)
            if zeros and zeros.start == first:
                return _Piece(first, zeros.stop, zero=True)
            if zeros and extent.length >= _LONG:
                return _Piece(first, min(zeros.start, limit), zero=False)
            if extent.start + extent.length >= limit * size:
                break
        return _Piece(first, limit, zero=False)

    def _zeros(self, extent: Extent) -> range:
        """The units that lie in an extent of zeros; the disk's last one may be short."""
        size, end = self._disk.unit_size, extent.start + extent.length
        stop = ceil_div(end, size) if end == self._disk.size else end // size
        return range(ceil_div(extent.start, size), stop) if extent.zero else range(0)

    def _copy(self, piece: _Piece) -> None:
        disk = self._disk
        size = disk.unit_size
        with disk.locks.holding(piece.first, piece.stop):
            for first, stop, is_set in list(disk.bitmap.runs(piece.first, piece.stop)):
                if is_set:
                    continue
                start, end = first * size, min(stop * size, disk.size)
                if piece.zero:
                    disk.store_zeroes(start, end - start)
                else:
                    self._copy_data(start, self._room(end - start))
                disk.bitmap.set(first, stop)
                self._set += stop - first

    def _room(self, length: int) -> memoryview:
        if length > len(self._buffer):
            self._buffer = memoryview(bytearray(length))
        return self._buffer[:length]

    def _copy_data(self, start: int, view: memoryview) -> None:
        """Copy from below what is not all zeros; of that, no data is written."""
        self._disk.read_below(start, view)
        self._copied += len(view)
        self._unflushed += len(view)
        grain = max(self._disk.unit_size, HOLE_GRAIN)
        pieces = ((at, view[at : at + grain]) for at in range(0, len(view), grain))
        for zero, group in groupby(pieces, lambda piece: is_zero(piece[1])):
            parts = list(group)
            at, length = parts[0][0], sum(len(part) for _, part in parts)
            if zero:
                self._disk.store_zeroes(start + at, length)
            else:
                self._disk.image_file.write(start + at, view[at : at + length])

    def _tell(self) -> None:
        if self._progress:
            self._progress(self._set, self._units)

    def _pace(self) -> None:
        """Wait until the limit allows what was copied so far; a stop is seen meanwhile."""
        while self._limit:
            ahead = self._copied / self._limit - (time.monotonic() - self._started)
            if ahead <= 0 or self._stop():
                return
            time.sleep(min(ahead, _NAP))
