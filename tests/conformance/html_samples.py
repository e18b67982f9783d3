"""Reports that ask the most of the HTML page: a broken header, a huge disk, a long chain, hostile names."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from addcow_conformance.checker import BitmapSummary, Bucket, ChainFile, FileFormat, HeaderField, Report
from addcow_spec.codec import LAYOUTS
from addcow_spec.findings import Finding
from addcow_spec.model import Revision, Role, Span
from addcow_spec.rules import Profile, Severity
from addcow_spec.text import printable
from tests.conformance.report_samples import FOREIGN, INVALID, REPAIRED, UNREADABLE, VALID
from tests.conformance.strategies import HOSTILE_NAMES

__all__ = ["BROKEN", "GALLERY", "LONG_CHAIN", "TEBIBYTE", "TRUNCATED", "named"]

_HEADER = INVALID.header.ljust(4096, b"\0")
_FIELDS = tuple(
    HeaderField(field.name, Span(field.offset, field.size), "text" if field.kind == "bytes" else 7)
    for field in LAYOUTS[Revision.V10].fields
)

BROKEN: Final = replace(
    INVALID,
    header=_HEADER,
    fields=(*_FIELDS, HeaderField("backing_filename", Span(36, 10), "base.qcow2")),
)

TRUNCATED: Final = Report(
    b"cut.add-cow",
    Profile.REVIEWED,
    files=(ChainFile(0, b"cut.add-cow", FileFormat.ADD_COW, length=8),),
    findings=(Finding("ACW-HDR-003", 0, Span(8, 4), "version", "a whole header", "8 bytes"),),
    counts={Severity.ERROR: 1},
    header=_HEADER[:8],
)


def _bucket(number: int) -> Bucket:
    """8,192 clusters: all of one kind, a single one of another, or a mix, in turn."""
    mixes = (
        Bucket(8192, 0, 0),
        Bucket(1, 8191, 0),
        Bucket(0, 8192, 0),
        Bucket(0, 1, 8191),
        Bucket(0, 0, 8192),
        Bucket(4096, 2048, 2048),
        Bucket(8191, 0, 1),
    )
    return mixes[(number * number // 7) % len(mixes)]


_BUCKETS = tuple(map(_bucket, range(2048)))
_COUNTS = tuple(map(sum, zip(*_BUCKETS, strict=True)))

TEBIBYTE: Final = replace(
    VALID,
    header=_HEADER,
    fields=_FIELDS,
    bitmap=BitmapSummary(Span(4096, 2**21), 65536, 2**24, _COUNTS[0], _COUNTS[1], _BUCKETS),
)


def _layers(count: int) -> tuple[ChainFile, ...]:
    files: list[ChainFile] = []
    top = None
    for layer in range(count):
        add_cow = ChainFile(
            len(files),
            b"layer%d.add-cow" % layer,
            FileFormat.ADD_COW,
            parent=top,
            role=None if top is None else Role.BACKING,
            name=None if top is None else b"layer%d.add-cow" % layer,
            revision="v10",
            length=4096,
        )
        top = add_cow.index
        image = b"image%d.raw" % layer
        files += [add_cow, ChainFile(top + 1, image, FileFormat.RAW, parent=top, role=Role.IMAGE, name=image)]
    name = b"nbd://server/export"
    files.append(ChainFile(len(files), name, FileFormat.REMOTE, parent=top, role=Role.BACKING, name=name))
    return tuple(files)


_FINDING = Finding("ACW-CHN-003", 200, None, "", "a stated format", "none")
LONG_CHAIN: Final = replace(
    VALID, files=_layers(199), findings=(_FINDING,) * 30, counts={Severity.WARNING: 200}, bitmap=None
)


def named(name: bytes) -> Report:
    """The broken report with ``name`` wherever an image can put one."""
    shown = printable(name)
    return replace(
        BROKEN,
        filename=b"dir/" + name,
        files=tuple(replace(f, path=b"dir/" + name, name=name if f.index else None) for f in BROKEN.files),
        findings=tuple(f._replace(actual=shown) for f in BROKEN.findings),
        fields=(*BROKEN.fields[:-1], HeaderField("backing_filename", Span(36, 10), shown)),
        repairs=REPAIRED.repairs,
        backup=b"dir/" + name,
        problem=shown,
    )


GALLERY: Final = (
    *(VALID, BROKEN, TRUNCATED, FOREIGN, UNREADABLE, REPAIRED, TEBIBYTE, LONG_CHAIN),
    *(named(name) for name in HOSTILE_NAMES),
    named("عربي".encode() * 100 + b"x" * 3000),
)
