"""Backing files of programs, made byte by byte from the specification and not by the engine."""

from __future__ import annotations

import struct
from bisect import bisect_right
from functools import lru_cache
from typing import NamedTuple

from addcow_conformance.programs._program import Backing, BackingKind, pattern
from addcow_spec.codec import build_header, build_qcow2
from addcow_spec.errors import UsageError
from addcow_spec.geometry import Geometry
from addcow_spec.model import Features, HeaderV10, Qcow2Header, Revision

__all__ = ["LARGEST_QCOW2", "BackingFiles", "make_backing"]

_BASE_SEED, _MIDDLE_SEED = 7, 11
# Runs of zeros in the guest's data, as file systems have them: of each 32 KiB the last 8.
_PERIOD, _FILLED = 32 << 10, 24 << 10

_CLUSTER_BITS = 12
_CLUSTER = 1 << _CLUSTER_BITS
LARGEST_QCOW2 = _CLUSTER // 8 * _CLUSTER
_COPIED = 1 << 63
# Backing files of so many bytes are kept.
_SMALL = 1 << 20
_ZERO = 1


class BackingFiles(NamedTuple):
    """What is below a disk.

    Attributes:
        name: the file that the image names.
        files: all files, by name.
        data: the guest's data.
        runs: where each stretch of the data begins, and the layer that has it, counted from the image; 0 for
            none. In order, the first at 0.
    """

    name: bytes
    files: dict[bytes, bytes]
    data: bytes
    runs: tuple[tuple[int, int], ...] = ((0, 0),)

    def depths(self, start: int, end: int) -> set[int]:
        """The layers that have the bytes of a range, 0 where none has them."""
        first = bisect_right(self.runs, start, key=lambda run: run[0]) - 1
        last = bisect_right(self.runs, end - 1, key=lambda run: run[0])
        return {depth for _, depth in self.runs[first:last]}


def make_backing(backing: Backing) -> BackingFiles:
    """The files of a backing chain; they are the same each time, and not to be changed.

    Raises:
        UsageError: a qcow2 file of more data than one table of each kind can tell.
    """
    return (_kept if backing.size <= _SMALL else _made)(backing)


def _made(backing: Backing) -> BackingFiles:
    return _MAKERS[backing.kind](backing.size)


# Programs have the same few again and again.
_kept = lru_cache(maxsize=32)(_made)


def _guest_data(seed: int, size: int) -> bytes:
    data = bytearray(pattern(seed, 0, size))
    for start in range(_FILLED, size, _PERIOD):
        end = min(start + _PERIOD - _FILLED, size)
        data[start:end] = bytes(end - start)
    return bytes(data)


def _raw(size: int) -> BackingFiles:
    data = _guest_data(_BASE_SEED, size)
    return BackingFiles(b"base.raw", {b"base.raw": data}, data, ((0, 1), (size, 0)))


def _qcow2(size: int) -> BackingFiles:
    """Header, refcount table, refcount block, L1 and L2 table in a cluster each, then the data.

    Of the clusters that are zeros, one is not allocated and the next is marked as zero.
    """
    data = _guest_data(_BASE_SEED, size)
    clusters = [data[at : at + _CLUSTER].ljust(_CLUSTER, b"\0") for at in range(0, size, _CLUSTER)]
    if size > LARGEST_QCOW2:
        raise UsageError(f"a qcow2 backing file has at most {LARGEST_QCOW2} bytes, not {size}")
    entries: list[int] = []
    stored: list[bytes] = []
    runs: list[tuple[int, int]] = []
    for number, cluster in enumerate(clusters):
        if any(cluster):
            entries.append(_COPIED | (5 + len(stored)) * _CLUSTER)
            stored.append(cluster)
        else:
            entries.append(_ZERO * (number % 2))
        runs.append((number * _CLUSTER, 1 if entries[-1] else 0))
    header = build_qcow2(
        Qcow2Header(
            version=3,
            backing_file_offset=0,
            backing_file_size=0,
            cluster_bits=_CLUSTER_BITS,
            size=size,
            crypt_method=0,
            l1_size=1,
            l1_table_offset=3 * _CLUSTER,
            refcount_table_offset=_CLUSTER,
            refcount_table_clusters=1,
            nb_snapshots=0,
            snapshots_offset=0,
            incompatible_features=0,
            compatible_features=0,
            autoclear_features=0,
            refcount_order=4,
            header_length=104,
            additional=b"",
            extensions=(),
            end_marker=bytes(8),
        )
    )
    tables = (
        header,
        struct.pack(">Q", 2 * _CLUSTER),
        struct.pack(">H", 1) * (5 + len(stored)),
        struct.pack(">Q", _COPIED | 4 * _CLUSTER),
        struct.pack(f">{len(entries)}Q", *entries),
    )
    file = b"".join(table.ljust(_CLUSTER, b"\0") for table in tables) + b"".join(stored)
    return BackingFiles(b"base.qcow2", {b"base.qcow2": file}, data, (*runs, (size, 0)))


def _chain(size: int) -> BackingFiles:
    """An add-cow image, every other cluster of it written, over a raw file of three quarters its size."""
    base = _guest_data(_BASE_SEED, size * 3 // 4)
    written = _guest_data(_MIDDLE_SEED, size)
    geometry = Geometry(Revision.V10, size)
    bits, data = bytearray(geometry.bitmap_size), bytearray(base.ljust(size, b"\0"))
    for unit in range(0, geometry.units, 2):
        bits[unit // 8] |= 1 << unit % 8
        start = unit * geometry.unit_size
        data[start : start + geometry.unit_size] = written[start : start + geometry.unit_size]
    names = b"middle.rawbase.raw"
    header = HeaderV10(
        backing_filename_offset=46,
        backing_filename_size=8,
        image_filename_offset=36,
        image_filename_size=10,
        features=Features.BACKING_FILE | Features.BACKING_FORMAT_NO_PROBE,
        reserved=names.ljust(HeaderV10.LENGTH - HeaderV10.RESERVED_OFFSET, b"\0"),
    )
    files = {b"base.raw": base, b"middle.raw": written, b"middle.add-cow": build_header(header) + bits}
    return BackingFiles(b"middle.add-cow", files, bytes(data), _chain_runs(geometry, len(base)))


def _chain_runs(geometry: Geometry, base: int) -> tuple[tuple[int, int], ...]:
    size, runs = geometry.virtual_size, list[tuple[int, int]]()
    for unit in range(geometry.units):
        start = unit * geometry.unit_size
        if unit % 2 == 0:
            runs.append((start, 1))
        else:
            runs += [(start, 2 if start < base else 0)]
            runs += [(base, 0)] if start < base < start + geometry.unit_size else []
    return (*runs, (size, 0))


_MAKERS = {BackingKind.RAW: _raw, BackingKind.QCOW2: _qcow2, BackingKind.CHAIN: _chain}
