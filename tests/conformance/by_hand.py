"""Images made with struct alone, from the tables of `spec/02-header.md`: no code of the project is used."""

from __future__ import annotations

import os
import struct
from pathlib import Path

CLUSTER = 65536
MAGIC = b"ADD_COW\xff"


def v10(
    path: Path,
    *,
    image: bytes = b"disk.raw",
    backing: bytes = b"",
    features: int | None = None,
    size: int = 10 * CLUSTER,
    bits: bytes = b"",
    tail: bytes = b"",
) -> Path:
    """A v10 image beside a sparse image file of ``size`` bytes, which is made unless it is there."""
    names = backing + image
    header = MAGIC + struct.pack(
        "<IIIIIQ",
        1,
        36 if backing else 0,
        len(backing),
        36 + len(backing),
        len(image),
        (3 if backing else 0) if features is None else features,
    )
    clusters = -(-size // CLUSTER)
    bitmap = bits.ljust(-(-clusters // 8), b"\0")
    path.write_bytes((header + names).ljust(4096, b"\0") + bitmap + tail)
    _sparse(path.parent / "disk.raw", size)
    return path


def old(
    path: Path,
    revision: str,
    *,
    image: bytes = b"disk.raw",
    backing: bytes = b"",
    size: int = 4 << 20,
    stored: int | None = None,
    bits: bytes = b"",
    tail: bytes = b"",
) -> Path:
    """A v4 or v6 image beside a sparse image file of ``size`` bytes; the header says ``stored``."""
    header = MAGIC + struct.pack(">I1024s1024sQ", 1, backing, image, size if stored is None else stored)
    if revision == "v6":
        header += bytes(492)
    sectors = -(-size // 512)
    path.write_bytes(header + bits.ljust(-(-sectors // 8), b"\0") + tail)
    _sparse(path.parent / "disk.raw", size)
    return path


def qcow2(path: Path, *, backing: bytes = b"", incompatible: int = 0, size: int = CLUSTER) -> Path:
    """A qcow2 version 3 header with an empty L1 table; enough for a backing chain."""
    name = 512 if backing else 0
    header = struct.pack(
        ">4sIQIIQIIQQIIQ", b"QFI\xfb", 3, name, len(backing), 16, size, 0, 1, 65536, 131072, 1, 0, 0
    )
    header += struct.pack(">QQQII", incompatible, 0, 0, 4, 104)
    table = b"\0\x02external data file".ljust(48, b"\0")
    header += struct.pack(">II", 0x6803F857, len(table)) + table
    path.write_bytes(header.ljust(512, b"\0") + backing)
    with path.open("r+b") as file:
        file.truncate(3 * CLUSTER)
    return path


def write_at(path: Path, offset: int, data: bytes) -> None:
    """Replace bytes of a file."""
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def poke(path: Path, *edits: tuple[int, bytes]) -> Path:
    """Replace bytes at several offsets."""
    for offset, data in edits:
        write_at(path, offset, data)
    return path


def sparse(path: Path, size: int) -> Path:
    """A file of ``size`` bytes, made if it is not there; what it has stays."""
    path.touch()
    os.truncate(path, size)
    return path


def _sparse(path: Path, size: int) -> None:
    if not path.exists():
        with path.open("wb") as file:
            file.truncate(size)
