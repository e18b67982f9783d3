"""An image that an NBD server has open, as the interface of a target has it."""

from __future__ import annotations

from addcow_conformance.adapters._image import StdioImage, pieces

__all__ = ["NbdImage"]

# Bytes of zeros in one request: NBD has 32 bits for them, and servers like round numbers.
_ZEROES = 1 << 30


class NbdImage(StdioImage):
    """An opened image; see `targets.Image` for what its methods raise."""

    def write_zeroes(self, offset: int, length: int, *, unmap: bool = True, fua: bool = False) -> None:
        """See `targets.Image.write_zeroes`."""
        for start, size in pieces(offset, length, _ZEROES):
            super().write_zeroes(start, size, unmap=unmap, fua=fua)
