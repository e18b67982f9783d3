"""A qcow2 file as a layer: standard, zero and compressed clusters, and the backing file below them.

A cluster that starts inside the file and ends beyond it reads as zeros there; compressed data may end with
the file. What starts beyond the end is an error, ACW-QC2-017. `qemu-img check` draws the line there too, but
QEMU reads zeros, and hands out an image that was cut short as if nothing were missing.
"""

from __future__ import annotations

import zlib
from functools import lru_cache
from typing import TYPE_CHECKING

from addcow_ref._extents import merged, zero_extent
from addcow_ref._layer import Extent, LayerInfo
from addcow_ref._qcow2_header import Qcow2Reference, qcow2_reference, read_qcow2_header
from addcow_ref._qcow2_map import LOOKUP_RULE, ClusterKind, ClusterMap, Clusters
from addcow_ref._raw import file_extents
from addcow_ref._zero import fill_zeroes
from addcow_spec.errors import InvalidImage
from addcow_spec.model import Span
from addcow_spec.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from addcow_ref._layer import Layer
    from addcow_ref.storage import Storage, WritableBuffer
    from addcow_spec.model import Qcow2Header

__all__ = ["Qcow2Layer", "Qcow2Reference", "qcow2_reference", "read_qcow2_header"]

# Written with a window of 4 KiB. QEMU decodes into one buffer, which serves any window, and so must we.
_ANY_WINDOW = -15
# Enough for a few readers that each go through a cluster in small requests.
_CLUSTERS_KEPT = 4


class Qcow2Layer:
    """The layer of a qcow2 file.

    Args:
        file: the qcow2 file; the layer closes it.
        header: its header, found to be sound by `read_qcow2_header`.
        backing: the layer below, None without one; the layer closes it too.

    Attributes:
        header: the same.
        below: the layer below.
    """

    def __init__(self, file: Storage, header: Qcow2Header, backing: Layer | None) -> None:
        self.size = header.size
        self._file = file
        self.header = header
        self.below = backing
        self._map = ClusterMap(file, header)
        self._decoded: Callable[[int, int], bytes] = lru_cache(_CLUSTERS_KEPT)(self._decode)

    @property
    def chain(self) -> tuple[LayerInfo, ...]:
        """This layer and those below it."""
        here = LayerInfo(self._file.path, "qcow2", f"v{self.header.version}", self.size)
        return (here, *(self.below.chain if self.below else ()))

    @property
    def reference(self) -> Qcow2Reference | None:
        """The backing file as the header names it, None without one.

        Raises:
            StorageError: reading failed.
        """
        return qcow2_reference(self._file, self.header)

    def read_into(self, offset: int, buffer: WritableBuffer) -> None:
        """Fill ``buffer`` with guest data; the range lies inside the layer.

        Raises:
            StorageError: reading failed.
            ImageError: ACW-QC2-017, or what a layer below has to say.
        """
        view = memoryview(buffer).cast("B")
        for run in self._map.runs(offset, len(view)):
            part = view[run.start - offset : run.start - offset + run.length]
            if run.kind is ClusterKind.STANDARD:
                inside = self._inside_file(run)
                if inside:
                    self._file.read_into(run.host, part[:inside])
                fill_zeroes(part[inside:])
            elif run.kind is ClusterKind.COMPRESSED:
                at = run.start % self._map.cluster_size
                part[:] = memoryview(self._decoded(run.host, run.sectors))[at : at + run.length]
            elif run.kind is ClusterKind.UNALLOCATED:
                inside = self._inside_backing(run)
                if self.below and inside:
                    self.below.read_into(run.start, part[:inside])
                fill_zeroes(part[inside:])
            else:
                fill_zeroes(part)

    def extents(self, offset: int, length: int) -> Iterator[Extent]:
        """The range cut up as `qemu-img map` does it; neighbours that differ in nothing are one.

        Holes of the file below standard clusters are reported as data that is zero.

        Raises:
            StorageError: reading failed.
            ImageError: ACW-QC2-017, or what a layer below has to say.
        """
        return merged(e for run in self._map.runs(offset, length) for e in self._extents(run))

    def close(self) -> None:
        """Close the file and the layers below."""
        try:
            self._file.close()
        finally:
            if self.below:
                self.below.close()

    def _inside_file(self, run: Clusters) -> int:
        """How many bytes of standard clusters the file has."""
        return min(max(self._map.file_length - run.host, 0), run.length)

    def _inside_backing(self, run: Clusters) -> int:
        """How many bytes of a run the backing file has."""
        return min(max(self.below.size - run.start, 0), run.length) if self.below else 0

    def _extents(self, run: Clusters) -> Iterator[Extent]:
        start, end = run.start, run.start + run.length
        if run.kind is ClusterKind.STANDARD:
            yield from self._standard_extents(run)
        elif run.kind is ClusterKind.COMPRESSED:
            yield Extent(start, run.length, 0, present=True, zero=False, data=True, compressed=True)
        elif run.kind is ClusterKind.ZERO:
            extent = zero_extent(start, end, 0, present=True)
            yield extent._replace(offset=run.host, path=self._file.path) if run.host else extent
        else:
            inside = self._inside_backing(run)
            if self.below and inside:
                for extent in self.below.extents(start, inside):
                    yield extent.deeper()
            if inside < run.length:
                yield zero_extent(start + inside, end, 0, present=False)

    def _standard_extents(self, run: Clusters) -> Iterator[Extent]:
        inside = self._inside_file(run)
        shift = run.start - run.host
        for extent in file_extents(self._file, run.host, inside):
            yield extent._replace(start=extent.start + shift, data=True)
        if inside < run.length:
            rest = zero_extent(run.start + inside, run.start + run.length, 0, present=True)
            yield rest._replace(data=True, offset=run.host + inside, path=self._file.path)

    def _decode(self, host: int, sectors: int) -> bytes:
        """The cluster whose compressed data starts at ``host`` and lies in ``sectors`` sectors."""
        length = min(sectors * 512 - host % 512, self._map.file_length - host)
        data = bytearray(length)
        self._file.read_into(host, data)
        try:
            decoded = zlib.decompressobj(_ANY_WINDOW).decompress(data, self._map.cluster_size)
        except zlib.error as error:
            raise self._undecodable(host, length) from error
        if len(decoded) < self._map.cluster_size:
            raise self._undecodable(host, length)
        return decoded

    def _undecodable(self, host: int, length: int) -> InvalidImage:
        message = f"{printable(self._file.path)}: the compressed data at byte {host} makes no cluster"
        return InvalidImage(message, rule=LOOKUP_RULE, span=Span(host, length), field="compressed cluster")
