"""Headers built byte by byte from the specification's offsets, not with the project's grammar.

A slip of the grammar would otherwise be in the vectors as well, and no test could see it.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from vectorgen._files import File

__all__ = [
    "BACKING_FORMAT",
    "CLUSTER",
    "DISK",
    "FEATURE_NAMES",
    "FOUR_MIB",
    "MAGIC",
    "SECTOR",
    "SECTORS",
    "SECTORS_8000",
    "Name",
    "bitmap_size",
    "extension",
    "legacy",
    "qcow2",
    "v10",
]

MAGIC = b"ADD_COW\xff"
SECTOR = 512
CLUSTER = 65536
DISK = (
    3 * CLUSTER
)  # virtual size of a v10 image, unless told otherwise: one byte of bitmap, five bits to spare
SECTORS = 3 * SECTOR  # the same for v4 and v6
SECTORS_8000 = 8000 * SECTOR  # v4 has 3,068 bytes, padded 3,072; v6 has 3,560, padded 3,584
FOUR_MIB = 8192 * SECTOR  # 1,024 bytes of bitmap: v4 has 3,092 bytes, padded 3,584 as v6 has anyway

_BITMAP = {"v4": 2068, "v6": 2560, "v10": 4096}
_UNIT = {"v4": SECTOR, "v6": SECTOR, "v10": CLUSTER}

BACKING_FORMAT = 0xE2792ACA
FEATURE_NAMES = 0x6803F857


class Name(NamedTuple):
    """A name of a v10 header; offset and size follow from the text unless they are given."""

    text: bytes = b""
    offset: int | None = None
    size: int | None = None

    def at(self, free: int) -> tuple[int, int]:
        """Offset and size that the header states, where ``free`` is the first byte not yet taken."""
        offset = (free if self.text else 0) if self.offset is None else self.offset
        return offset, len(self.text) if self.size is None else self.size


def bitmap_size(size: int, revision: str = "v10") -> int:
    """Bytes that the bitmap of a disk of ``size`` bytes takes."""
    units = -(-size // _UNIT[revision])
    return -(-units // 8)


def v10(
    image: Name | bytes = b"disk.raw",
    backing: Name | bytes = b"",
    *,
    size: int = DISK,
    bits: bytes = b"",
    features: int | None = None,
) -> File:
    """A v10 file over an image file of ``size`` bytes, its bitmap whole and zero but for ``bits``.

    Without ``features`` the bits are those that fit: both with a backing file, else none.
    """
    image, backing = (name if isinstance(name, Name) else Name(name) for name in (image, backing))
    image_offset, image_size = image.at(36)
    backing_offset, backing_size = backing.at(36 + len(image.text))
    if features is None:
        features = 3 if backing_offset else 0
    fields = (1, backing_offset, backing_size, image_offset, image_size, features)
    file = File(4096, struct.pack("<8sIIIIIQ", MAGIC, *fields))
    for text, offset in ((image.text, image_offset), (backing.text, backing_offset)):
        if text:
            file.write(offset, text)
    return file.write(4096, bits).resize(4096 + bitmap_size(size))


def legacy(
    revision: str,
    image: bytes = b"disk.raw",
    backing: bytes = b"",
    *,
    size: int = SECTORS,
    bits: bytes = b"",
    padded: bool = False,
) -> File:
    """A v4 or v6 file; the name fields are ``image`` and ``backing``, filled up with zeros to 1,024 bytes."""
    header = struct.pack(">8sI1024s1024sQ", MAGIC, 1, backing, image, size)
    length = _BITMAP[revision] + bitmap_size(size, revision)
    if padded:
        length += -length % SECTOR
    return File(0, header).write(_BITMAP[revision], bits).resize(length)


def extension(kind: int, data: bytes, *, length: int | None = None, padding: bool = True) -> bytes:
    """A qcow2 header extension; ``length`` overrides the length that it states."""
    stated = len(data) if length is None else length
    return struct.pack(">II", kind, stated) + data + bytes(-len(data) % 8 if padding else 0)


def qcow2(
    version: int = 3,
    *,
    backing: bytes = b"",
    extensions: bytes = b"",
    size: int = 64 * SECTOR,
    cluster_bits: int = 9,
    refcount_order: int = 4,
    **fields: int,
) -> File:
    """A sound qcow2 file with nothing allocated: header, L1 table, refcount table, refcount block.

    The backing file's name stands behind the extensions. ``fields`` override what the header states.
    """
    cluster = 1 << cluster_bits
    header = {
        "backing_file_offset": 0,
        "backing_file_size": len(backing),
        "cluster_bits": cluster_bits,
        "size": size,
        "crypt_method": 0,
        "l1_size": -(-size // (cluster // 8 * cluster)),
        "l1_table_offset": cluster,
        "refcount_table_offset": 2 * cluster,
        "refcount_table_clusters": 1,
        "nb_snapshots": 0,
        "snapshots_offset": 0,
        "incompatible": 0,
        "compatible": 0,
        "autoclear": 0,
        "refcount_order": refcount_order,
        "header_length": 104,
    }
    end = (72 if version == 2 else 104) + len(extensions)
    if backing:
        header["backing_file_offset"] = end + 8
    header.update(fields)
    shared = struct.pack(">4sIQIIQIIQQIIQ", b"QFI\xfb", version, *list(header.values())[:11])
    added = b"" if version == 2 else struct.pack(">QQQII", *list(header.values())[11:])
    file = File(4 * cluster, shared + added + extensions)
    if backing:
        file.write(end + 8, backing)
    file.write(2 * cluster, struct.pack(">Q", 3 * cluster))
    return file.write(3 * cluster, _refcounts(4, refcount_order))


def _refcounts(count: int, order: int) -> bytes:
    """A refcount of 1 for each of ``count`` clusters, entries of ``1 << order`` bits."""
    if order < 3:
        return bytes([sum(1 << (entry << order) for entry in range(count)) & 0xFF])
    return (1).to_bytes((1 << order) // 8, "big") * count
