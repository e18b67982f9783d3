"""Bytes over other bytes: only what is in use takes memory, so that a disk may have gigabytes."""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["SparseBytes", "over", "over_each", "pieces"]

_BLOCK = 64 << 10
_ZEROS = memoryview(bytes(_BLOCK))


def pieces(offset: int, length: int, grain: int) -> Iterator[tuple[int, int, int]]:
    """The pieces of ``grain`` bytes that a range touches: number, and where in it the range is."""
    if length <= 0:
        return
    at, low = divmod(offset, grain)
    high = low + length
    while high > grain:
        yield at, low, grain
        at, low, high = at + 1, 0, high - grain
    yield at, low, high


def over(value: bytes, low: int, piece: bytes) -> bytes:
    """``value``, with ``piece`` from ``low`` on instead of what was there."""
    return value[:low] + piece + value[low + len(piece) :]


def over_each(values: frozenset[bytes], low: int, piece: bytes) -> frozenset[bytes]:
    """Each of them with ``piece`` from ``low`` on; there is one where that is all of it."""
    return frozenset([over(value, low, piece) for value in values])


class SparseBytes:
    """An endless row of bytes: what was written, else what is below, else zeros."""

    def __init__(self, below: bytes) -> None:
        self._below = below
        self._blocks: dict[int, bytearray] = {}

    def copy(self) -> Self:
        """Another row of the same bytes."""
        twin = copy(self)
        twin._blocks = {at: block[:] for at, block in self._blocks.items()}  # noqa: SLF001 - of its own class
        return twin

    def read(self, offset: int, length: int) -> bytes:
        """The bytes of a range."""
        return b"".join([self._view(at)[low:high] for at, low, high in pieces(offset, length, _BLOCK)])

    def shows(self, offset: int, data: bytes) -> bool:
        """Whether these are the bytes from an offset on; nothing is copied for it."""
        for at, low, high in pieces(offset, len(data), _BLOCK):
            if not data.startswith(self._view(at)[low:high], at * _BLOCK + low - offset):
                return False
        return True

    def write(self, offset: int, data: bytes) -> None:
        """Put bytes at an offset."""
        view = memoryview(data)
        for at, low, high in pieces(offset, len(data), _BLOCK):
            start = at * _BLOCK + low - offset
            self._block(at)[low:high] = view[start : start + high - low]

    def forget(self, offset: int) -> None:
        """Let everything from an offset on be again what is below."""
        block, rest = divmod(offset, _BLOCK)
        kept = self.read(offset - rest, rest)
        self._blocks = {at: data for at, data in self._blocks.items() if at < block}
        self.write(offset - rest, kept)

    def below(self, start: int, end: int) -> bytes:
        """What is below a range."""
        return self._below[start:end].ljust(max(end - start, 0), b"\0")

    def _block(self, at: int) -> bytearray:
        block = self._blocks.get(at)
        if block is None:
            block = self._blocks[at] = bytearray(self.below(at * _BLOCK, (at + 1) * _BLOCK))
        return block

    def _view(self, at: int) -> memoryview:
        """A block to look at; where there are zeros alone, it takes no memory."""
        beyond = at not in self._blocks and at * _BLOCK >= len(self._below)
        return _ZEROS if beyond else memoryview(self._block(at))
