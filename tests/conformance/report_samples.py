"""Reports made by hand: what a person meets, one of each kind."""

from __future__ import annotations

import struct
from typing import Final

from addcow_conformance.checker import (
    BitmapSummary,
    ChainFile,
    FileFormat,
    HeaderField,
    Repair,
    Report,
)
from addcow_spec.findings import Finding
from addcow_spec.model import MAGIC, Revision, Role, Span
from addcow_spec.rules import Profile, Severity

__all__ = ["FOREIGN", "HEADER", "INVALID", "REPAIRED", "UNREADABLE", "VALID"]

_GIB = 2**30

HEADER: Final = struct.pack("<8sIIIIIQ", MAGIC, 1, 36, 10, 4094, 8, 7) + b"base.qcow2\xff\xfe"

_ADD_COW = ChainFile(
    0,
    b"vm/disk.add-cow",
    FileFormat.ADD_COW,
    revision="v10",
    length=24577,
    virtual_size=10 * _GIB,
)
_IMAGE = ChainFile(
    1,
    b"vm/disk.raw",
    FileFormat.RAW,
    parent=0,
    role=Role.IMAGE,
    name=b"disk.raw",
    length=10 * _GIB,
    virtual_size=10 * _GIB,
)
_BACKING = ChainFile(
    2,
    b"vm/base.qcow2",
    FileFormat.QCOW2,
    parent=0,
    role=Role.BACKING,
    name=b"base.qcow2",
    revision="v3",
    length=2_254_857_830,
    virtual_size=8 * _GIB,
)
_ROOT = ChainFile(
    3,
    b"/srv/images/root.raw",
    FileFormat.UNAVAILABLE,
    parent=2,
    role=Role.BACKING,
    name=b"/srv/images/root.raw",
)
_BITMAP = BitmapSummary(Span(4096, 20480), 65536, 163_840, 1234, 130_172)

VALID: Final = Report(
    b"vm/disk.add-cow",
    Profile.REVIEWED,
    Revision.V10,
    (_ADD_COW, _IMAGE, _BACKING),
    fields=(HeaderField("version", Span(8, 4), 1), HeaderField("features", Span(28, 8), 7)),
    bitmap=_BITMAP,
)

INVALID: Final = Report(
    b"vm/disk.add-cow",
    Profile.REVIEWED,
    Revision.V10,
    (_ADD_COW, _IMAGE, _BACKING, _ROOT),
    (
        Finding("ACW-NAM-001", 0, Span(20, 8), "image_filename_offset", "an end up to 4096", "4094 + 8"),
        Finding("ACW-FEA-003", 0, Span(28, 8), "features", "bits 0x1 and 0x2", "0x7"),
        Finding("ACW-HDR-004", 0, Span(46, 80), "reserved", "zero bytes", "80 bytes, the first 0xff"),
        Finding("ACW-BMP-003", 0, Span(24576, 1), "", "the end of the file", "1 byte"),
        Finding("ACW-ENV-002", 3, None, "backing_file", "the backing file", "No such file or directory"),
    ),
    {Severity.ERROR: 5, Severity.WARNING: 2, Severity.NOTE: 1},
    HEADER,
    bitmap=_BITMAP,
    rule_counts={"ACW-BMP-003": 1},
)

REPAIRED: Final = Report(
    b"vm/disk.add-cow",
    Profile.REVIEWED,
    Revision.V10,
    (_ADD_COW, _IMAGE, _BACKING),
    bitmap=_BITMAP,
    repairs=(
        Repair("ACW-BMP-002", Span(24575, 1), "cleared 3 bits"),
        Repair("ACW-BMP-003", Span(24576, 1), "zeroed 1 byte"),
    ),
    backup=b"vm/disk.add-cow.backup",
)

UNREADABLE: Final = Report(b"gone.add-cow", Profile.REVIEWED, problem="Permission denied")

FOREIGN: Final = Report(
    b"/etc/passwd",
    Profile.REVIEWED,
    files=(ChainFile(0, b"/etc/passwd", FileFormat.OTHER, length=47),),
    findings=(Finding("ACW-HDR-001", 0, Span(0, 8), "magic", MAGIC.hex(" "), b"root:x:0".hex(" ")),),
    counts={Severity.ERROR: 1},
    header=b"root:x:0:0:root:/root:/bin/bash\ndaemon:x:1:1:",
)
