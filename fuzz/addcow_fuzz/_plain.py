"""What a chain of files reads as, by arithmetic alone: the oracle of the targets on files.

It knows the layers from the checker, and shares no code with engine, codec or geometry: a bit that is set
means the image file, else the file below, else zeros. It is slow, and reads few bytes.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, NamedTuple

from addcow_spec.model import Role

if TYPE_CHECKING:
    from collections.abc import Sequence

    from addcow_conformance.checker import ChainFile
    from addcow_fuzz._files import InputFiles

__all__ = ["Broken", "Plain"]

# Bytes of a unit, and where the bitmap begins.
_UNITS = {"v4": (512, 2068), "v6": (512, 2560), "v10": (65536, 4096)}


class Broken(Exception):
    """A table of a qcow2 file leads nowhere, or compressed data makes no cluster (ACW-QC2-017)."""


class _Layer(NamedTuple):
    file: ChainFile
    image: bytes
    below: _Layer | None
    size: int


class Plain:
    """A disk.

    Args:
        files: the files of the input.
        chain: the files that the disk is made of, the first one on top; they have no error.
    """

    def __init__(self, files: InputFiles, chain: Sequence[ChainFile]) -> None:
        self._files = files
        below: _Layer | None = None
        for file in reversed(chain):
            if file.role is not Role.IMAGE:
                images = (f.path for f in chain if f.parent == file.index and f.role is Role.IMAGE)
                below = _Layer(file, next(images, b""), below, self._size(file, chain))
        if below is None:
            raise AssertionError("a chain has a file")
        self._top = below
        self.size = below.size

    def read(self, offset: int, length: int) -> bytes:
        """Bytes of the disk.

        Raises:
            Broken: the engine must refuse to read them, too.
        """
        return self._read(self._top, offset, length)

    def units(self) -> int:
        """Bytes that one bit of the first file stands for."""
        return _UNITS[self._top.file.revision][0]

    def _size(self, file: ChainFile, chain: Sequence[ChainFile]) -> int:
        """The size of a layer, by its own bytes."""
        if file.format == "qcow2":
            return self._number(file.path, 24, 8)
        if file.format != "add-cow":
            return self._files.length(file.path)
        if file.revision != "v10":
            return self._number(file.path, 2060, 8)
        images = (f for f in chain if f.parent == file.index and f.role is Role.IMAGE)
        return self._files.length(next(images).path)

    def _number(self, path: bytes, offset: int, length: int) -> int:
        return int.from_bytes(self._files.read(path, offset, length), "big")

    def _read(self, layer: _Layer | None, offset: int, length: int) -> bytes:
        """Bytes of a layer, zeros beyond its end."""
        if layer is None:
            return bytes(length)
        inside = max(min(length, layer.size - offset), 0)
        return self._inside(layer, offset, inside) + bytes(length - inside)

    def _inside(self, layer: _Layer, offset: int, length: int) -> bytes:
        if layer.file.format == "raw":
            return self._files.read(layer.file.path, offset, length)
        add_cow = layer.file.format == "add-cow"
        size = _UNITS[layer.file.revision][0] if add_cow else 1 << self._number(layer.file.path, 20, 4)
        parts = []
        end = offset + length
        while offset < end:
            stop = min(end, offset - offset % size + size)
            read = self._unit if add_cow else self._cluster
            parts.append(read(layer, offset, stop - offset))
            offset = stop
        return b"".join(parts)

    def _unit(self, layer: _Layer, offset: int, length: int) -> bytes:
        """Bytes inside one unit of an add-cow layer."""
        size, start = _UNITS[layer.file.revision]
        unit = offset // size
        if self._number(layer.file.path, start + unit // 8, 1) >> unit % 8 & 1:
            return self._files.read(layer.image, offset, length)
        return self._read(layer.below, offset, length)

    def _cluster(self, layer: _Layer, offset: int, length: int) -> bytes:
        """Bytes inside one cluster of a qcow2 layer."""
        path, bits = layer.file.path, self._number(layer.file.path, 20, 4)
        size, end = 1 << bits, self._files.length(layer.file.path)
        number, at = divmod(offset, size)
        first, second = divmod(number, size // 8)
        table = self._number(path, self._number(path, 40, 8) + 8 * first, 8) & 0xFFFFFFFFFFFE00
        if not table:
            return self._read(layer.below, offset, length)
        if table % size or table + size > end:
            raise Broken
        entry = self._number(path, table + 8 * second, 8)
        if entry >> 62 & 1:
            return self._inflated(path, entry, bits)[at : at + length]
        host = entry & 0xFFFFFFFFFFFE00
        if entry & 1:
            if self._number(path, 4, 4) == 2:
                raise Broken
            return bytes(length)
        if not host:
            return self._read(layer.below, offset, length)
        if host % size or host >= end:
            raise Broken
        return self._files.read(path, host + at, length)

    def _inflated(self, path: bytes, entry: int, bits: int) -> bytes:
        """The cluster that compressed data makes."""
        width = 70 - bits
        host = entry & (1 << width) - 1
        sectors = (entry >> width & (1 << bits - 8) - 1) + 1
        end = self._files.length(path)
        if host >= end:
            raise Broken
        packed = self._files.read(path, host, min(sectors * 512 - host % 512, end - host))
        try:
            whole = zlib.decompressobj(-15).decompress(packed, 1 << bits)
        except zlib.error as error:
            raise Broken from error
        if len(whole) < 1 << bits:
            raise Broken
        return whole
