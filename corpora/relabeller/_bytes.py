"""Reading a file with `os`: an open file, its non-zero bytes, its bits."""

from __future__ import annotations

import os

__all__ = ["File", "up"]

_CHUNK = 1 << 20


def up(value: int, step: int) -> int:
    """How many steps it takes to reach ``value``."""
    return (value + step - 1) // step


class File:
    """A regular file, open for reading until it is no longer used."""

    def __init__(self, path: bytes) -> None:
        self.path = path
        self._descriptor = os.open(path, os.O_RDONLY)
        status = os.fstat(self._descriptor)
        self.length = status.st_size
        self.identity = (status.st_dev, status.st_ino)

    def __del__(self) -> None:
        os.close(self._descriptor)

    @property
    def directory(self) -> bytes:
        """Where relative names start: the directory of the path that was opened."""
        return os.path.dirname(self.path)

    def read(self, offset: int, length: int) -> bytes:
        """The bytes there, fewer where the file ends."""
        return os.pread(self._descriptor, length, offset)

    def anything(self, start: int, end: int) -> bool:
        """Whether a byte of ``start`` to ``end`` is not zero; holes are passed over."""
        end = min(end, self.length)
        while start < end:
            try:
                start = os.lseek(self._descriptor, start, os.SEEK_DATA)
            except OSError:
                return False  # nothing but a hole is left
            chunk = self.read(start, min(_CHUNK, max(0, end - start)))
            if chunk.strip(b"\0"):
                return True
            start += max(len(chunk), 1)
        return False

    def ends_at(self, end: int) -> bool:
        """Whether the file ends there, or with zeros from there to the end of the sector."""
        if self.length not in (end, up(end, 512) * 512):
            return False
        return not self.read(end, 512).strip(b"\0")

    def all_set(self, offset: int, bits: int) -> bool:
        """Whether the first ``bits`` bits from ``offset`` on are 1, least significant bit first."""
        for start in range(0, bits // 8, _CHUNK):
            length = min(_CHUNK, bits // 8 - start)
            if self.read(offset + start, length) != b"\xff" * length:
                return False
        rest = bits % 8
        return not rest or ~self.read(offset + bits // 8, 1)[0] & ((1 << rest) - 1) == 0

    def past_bits(self, offset: int, bits: int) -> bool:
        """Whether the last byte of a bitmap of ``bits`` bits has a bit set that counts for nothing."""
        return bits % 8 != 0 and self.read(offset + bits // 8, 1)[0] >> (bits % 8) != 0
