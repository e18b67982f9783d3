"""Judging the header of a qcow2 file."""

from __future__ import annotations

import struct
from typing import NamedTuple

from relabeller._bytes import File, up

__all__ = ["Verdict", "judge_qcow2"]


class Verdict(NamedTuple):
    """What was found.

    Attributes:
        rules: the rules that are broken, once for each violation.
        size: length of the disk, None where the header cannot be read.
        backing: name of the backing file, empty where there is none to follow.
        form: the format stated for it, None where there is none.
    """

    rules: list[str]
    size: int | None = None
    backing: bytes = b""
    form: bytes | None = None


def judge_qcow2(file: File) -> Verdict:
    """Judge the header at the start of ``file``; where it cannot be taken apart, for that alone."""
    data = file.read(0, 1 << 21)
    malformed = _malformed(data)
    if malformed:
        return Verdict([malformed])
    version, name_at, name_size, bits, size, crypt = struct.unpack_from(">IQIIQI", data, 4)
    l1_size, l1_at, refcounts_at, _, snapshots, snapshots_at = struct.unpack_from(">IQQIIQ", data, 36)
    cluster = 1 << bits
    incompatible, order, length = 0, 4, 72
    if version == 3:
        incompatible, _, _, order, length = struct.unpack_from(">QQQII", data, 72)
        if not 104 <= length <= min(file.length, cluster):
            return Verdict(["QC2-003"])
    end = min(cluster, len(data))
    extensions = _extensions(data, length, name_at if length <= name_at < end else end)
    if extensions is None:
        return Verdict(["QC2-007"])
    named = name_at != 0
    name = data[name_at : name_at + name_size].partition(b"\0")[0]
    name_fits = length <= name_at and name_at + name_size <= end and name_size <= 1023 and name != b""
    l1_end = l1_at + 8 * l1_size
    broken = {
        "QC2-005": incompatible >> 2,
        "QC2-006": order > 6,
        "QC2-008": len({kind for kind, _ in extensions}) < len(extensions),
        "QC2-009": any(kind == 0x6803F857 and not _table(table) for kind, table in extensions),
        "QC2-010": named and not name_fits,
        "QC2-011": incompatible & 3,
        "QC2-012": crypt,
        "QC2-013": l1_at % cluster or l1_size < up(size, cluster // 8 * cluster) or l1_end > file.length,
        "QC2-014": refcounts_at % cluster or (snapshots and snapshots_at % cluster),
    }
    return Verdict(
        [rule for rule, is_broken in broken.items() if is_broken],
        size,
        name if named and name_fits else b"",
        next((form for kind, form in extensions if kind == 0xE2792ACA), None) or None,
    )


def _malformed(data: bytes) -> str | None:
    """The first thing that keeps the fields from being read, None where they can be."""
    if data[:4] != b"QFI\xfb":
        return "QC2-001"
    if len(data) < 8:
        return "QC2-003"
    version = int.from_bytes(data[4:8], "big")
    if version not in (2, 3):
        return "QC2-002"
    if len(data) < (72 if version == 2 else 104):
        return "QC2-003"
    return None if 9 <= int.from_bytes(data[20:24], "big") <= 21 else "QC2-004"


def _extensions(data: bytes, at: int, end: int) -> list[tuple[int, bytes]] | None:
    """Type and data of each extension, None where one does not fit or is one too many."""
    found: list[tuple[int, bytes]] = []
    while at + 8 <= end:
        kind, length = struct.unpack_from(">II", data, at)
        if kind == 0:
            break
        if at + 8 + up(length, 8) * 8 > end or len(found) == 1024:
            return None
        found.append((kind, data[at + 8 : at + 8 + length]))
        at += 8 + up(length, 8) * 8
    return found


def _table(table: bytes) -> bool:
    """Whether a feature name table is well formed."""
    entries = [table[at : at + 48] for at in range(0, len(table), 48)]
    return len(entries) <= 192 and all(
        len(entry) == 48 and entry[0] <= 2 and entry[1] <= 63 for entry in entries
    )
