"""qcow2 files built cluster by cluster, sound unless asked otherwise."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, Any

from addcow_ref._qcow2 import Qcow2Layer, read_qcow2_header
from addcow_ref._raw import RawLayer
from addcow_ref.memory import MemoryFiles, MemoryStorage
from addcow_spec.codec import build_feature_names, build_qcow2
from addcow_spec.model import ExtensionType, FeatureName, Qcow2Extension, Qcow2Header

if TYPE_CHECKING:
    from addcow_ref._layer import Extent, Layer

COMPRESSED = 1 << 62
COPIED = 1 << 63

DISK = 64 << 10
# Where the files of `image` have room: after header, L1, refcount and two L2 tables.
ROOM = 5 * 512

EXTERNAL_DATA = FeatureName(0, 2, b"external data file".ljust(46, b"\0"))


class Bytes(MemoryStorage):
    """A file in memory; ``reads`` has offset and length of each read."""

    def __init__(self, data: bytes, path: bytes = b"disk.qcow2") -> None:
        files = MemoryFiles()
        made = files.create(path)
        made.write(0, data)
        super().__init__(files, made._file, path, writable=True)
        self.reads: list[tuple[int, int]] = []
        self.closed = False

    def read_into(self, offset: int, buffer: Any) -> None:
        self.reads.append((offset, len(buffer)))
        super().read_into(offset, buffer)

    def close(self) -> None:
        self.closed = True
        super().close()


def extension(kind: int, data: bytes) -> Qcow2Extension:
    return Qcow2Extension(kind, data, bytes(-len(data) % 8), 0)


def header(**changes: Any) -> Qcow2Header:
    """A header for 512-byte clusters and a disk of 64 KiB that two L2 tables map."""
    names = build_feature_names((EXTERNAL_DATA,))
    version = changes.get("version", 3)
    sound = Qcow2Header(
        version=version,
        backing_file_offset=0,
        backing_file_size=0,
        cluster_bits=9,
        size=64 << 10,
        crypt_method=0,
        l1_size=2,
        l1_table_offset=512,
        refcount_table_offset=1024,
        refcount_table_clusters=1,
        nb_snapshots=0,
        snapshots_offset=0,
        incompatible_features=0,
        compatible_features=0,
        autoclear_features=0,
        refcount_order=4,
        header_length=72 if version == 2 else 104,
        additional=b"",
        extensions=(extension(ExtensionType.FEATURE_NAMES, names),),
        end_marker=bytes(8),
    )
    return sound._replace(**changes)


def content(length: int, seed: int = 1) -> bytes:
    """Bytes that tell where they are: each 8 say their own offset, mixed with ``seed``."""
    words = (((seed << 40) + at).to_bytes(8, "big") for at in range(-(-length // 8)))
    return b"".join(words)[:length]


def deflated(cluster: bytes, window: int = -12) -> bytes:
    """``cluster`` as a raw deflate stream."""
    packer = zlib.compressobj(9, zlib.DEFLATED, window)
    return packer.compress(cluster) + packer.flush()


def compressed_entry(bits: int, offset: int, length: int) -> int:
    """The L2 entry of ``length`` compressed bytes at ``offset``."""
    further = (offset + length - 1) // 512 - offset // 512
    return COMPRESSED | further << (62 - (bits - 8)) | offset


def image(
    entries: dict[int, int] | None = None,
    *,
    l1: dict[int, int] | None = None,
    parts: dict[int, bytes] | None = None,
    length: int = 0,
    **changes: Any,
) -> bytes:
    """A qcow2 file: header in cluster 0, L1 table in 1, the L2 table of L1 entry n in 3 + n.

    Args:
        entries: L2 entries by number of the guest cluster.
        l1: L1 entries that differ, by index.
        parts: bytes by offset in the file.
        length: length that the file has at least; with less than its parts take, it is cut.
        changes: fields of the header that differ.
    """
    bits = changes.get("cluster_bits", 9)
    cluster = 1 << bits
    defaults = {
        "l1_table_offset": cluster,
        "refcount_table_offset": 2 * cluster,
        "size": 2 * cluster * cluster // 8,
    }
    made = header(**(defaults | changes))
    file = bytearray(build_qcow2(made))
    per_table = cluster // 8
    put: dict[int, bytes] = {}
    for index in sorted({number // per_table for number in entries or {}}):
        table = (3 + index) * cluster
        put[made.l1_table_offset + 8 * index] = struct.pack(">Q", COPIED | table)
        put[table] = bytes(cluster)
        for number, entry in (entries or {}).items():
            if number // per_table == index:
                put[table + 8 * (number % per_table)] = struct.pack(">Q", entry)
    put |= {made.l1_table_offset + 8 * index: struct.pack(">Q", entry) for index, entry in (l1 or {}).items()}
    for offset, data in sorted((put | (parts or {})).items(), key=lambda item: (len(item[1]) < 9, item[0])):
        file = file.ljust(offset + len(data), b"\0")
        file[offset : offset + len(data)] = data
    file = file.ljust(max(5 * cluster, length), b"\0")
    return bytes(file[:length] if length else file)


def opened(data: bytes, backing: Layer | None = None) -> Qcow2Layer:
    """The layer of a file's bytes."""
    file = Bytes(data)
    found, _ = read_qcow2_header(file)
    file.reads.clear()
    return Qcow2Layer(file, found, backing)


def read(layer: Layer, offset: int, length: int) -> bytes:
    """A range of a layer, into a buffer that holds other bytes before."""
    buffer = bytearray(b"\xa5" * length)
    layer.read_into(offset, buffer)
    return bytes(buffer)


DATA = content(4 * 512)
PACKED = deflated(DATA[:512])


def raw(data: bytes) -> RawLayer:
    return RawLayer(Bytes(data, b"base.raw"))


def mixed(**changes: Any) -> bytes:
    """Guest clusters 1, 2, 63, 64 standard, 4 zero, 5 zero with a place, 6 compressed, others unallocated."""
    entries = {
        1: COPIED | ROOM,
        2: COPIED | ROOM + 512,
        4: 1,
        5: COPIED | ROOM + 512 | 1,
        6: compressed_entry(9, ROOM + 2048 + 3, len(PACKED)),
        63: COPIED | ROOM + 1024,
        64: COPIED | ROOM + 1536,
    }
    return image(entries, parts={ROOM: DATA, ROOM + 2048 + 3: PACKED}, **changes)


def assert_covers(extents: list[Extent], size: int) -> None:
    """They follow each other from 0 to ``size``."""
    at = 0
    for extent in extents:
        assert extent.start == at
        assert extent.length > 0
        at += extent.length
    assert at == size
