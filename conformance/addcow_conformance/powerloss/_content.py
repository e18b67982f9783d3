"""The bytes of a file, in blocks that do not change, so that what it is and what it was share them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from addcow_conformance._sparse import pieces
from addcow_conformance.oracle import SECTOR

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["SECTORS", "Content"]

# Sectors of a block.
SECTORS = 128
_BLOCK = SECTORS * SECTOR
_HOLE = bytes(_BLOCK)


class Content:
    """An endless row of bytes, which does not change: blocks by number, and zeros where there is none.

    Args:
        blocks: 64 KiB each.
    """

    def __init__(self, blocks: dict[int, bytes]) -> None:
        self._blocks = blocks

    @classmethod
    def of(cls, data: bytes) -> Content:
        """These bytes, and zeros."""
        starts = range(0, len(data), _BLOCK)
        return cls({at // _BLOCK: data[at : at + _BLOCK].ljust(_BLOCK, b"\0") for at in starts})

    def written(self, offset: int, data: bytes) -> Content:
        """With bytes from an offset on."""
        blocks = dict(self._blocks)
        for at, low, high in pieces(offset, len(data), _BLOCK):
            start, old = at * _BLOCK + low - offset, blocks.get(at, _HOLE)
            blocks[at] = b"".join((old[:low], data[start : start + high - low], old[high:]))
        return Content(blocks)

    def zeroed(self, offset: int, length: int) -> Content:
        """With zeros there; of whole blocks nothing is left, and a hole stays one."""
        blocks = dict(self._blocks)
        for at, low, high in self.held(offset, length):
            data = blocks.pop(at)
            if high - low < _BLOCK:
                blocks[at] = b"".join((data[:low], bytes(high - low), data[high:]))
        return Content(blocks)

    def held(self, offset: int, length: int, others: Iterable[int] = ()) -> list[tuple[int, int, int]]:
        """The blocks of a range that are no holes, and some others: number, and where in it the range is."""
        first, stop = offset // _BLOCK, -(-(offset + length) // _BLOCK)
        numbers = sorted(at for at in {*self._blocks, *others} if first <= at < stop) if length else ()
        ends = ((at, offset - at * _BLOCK, offset + length - at * _BLOCK) for at in numbers)
        return [(at, max(low, 0), min(high, _BLOCK)) for at, low, high in ends]

    def cut(self, length: int) -> Content:
        """With zeros from there on."""
        last, rest = divmod(length, _BLOCK)
        blocks = {at: data for at, data in self._blocks.items() if at < last + bool(rest)}
        if rest and last in blocks:
            blocks[last] = blocks[last][:rest].ljust(_BLOCK, b"\0")
        return Content(blocks)

    def sector(self, at: int) -> bytes:
        """A sector."""
        block, low = divmod(at, SECTORS)
        return self._blocks.get(block, _HOLE)[low * SECTOR : (low + 1) * SECTOR]

    def with_sectors(self, sectors: Mapping[int, bytes]) -> Iterable[tuple[int, bytes]]:
        """Number and bytes of each block that is no hole once these sectors are written."""
        changed: dict[int, bytearray] = {}
        for at, data in sectors.items():
            block, low = divmod(at, SECTORS)
            found = changed.get(block)
            if found is None:
                found = changed[block] = bytearray(self._blocks.get(block, _HOLE))
            found[low * SECTOR : (low + 1) * SECTOR] = data
        return sorted((self._blocks | {at: bytes(data) for at, data in changed.items()}).items())
