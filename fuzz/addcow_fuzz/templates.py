"""Inputs to begin with: valid images of each revision on layers of each format, and some with one fault.

Each says what it is; `addcow_fuzz.templates.prove` holds it to that by the engine and by the checker.
"""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, NamedTuple

from addcow_conformance.checker import Verdict
from addcow_fuzz._agreement import OPENED, check_input, reading_of
from addcow_fuzz._files import InputFiles
from addcow_fuzz._packing import MOST_FILES, Record, name_of, pack, unpack
from addcow_ref import open_image
from addcow_spec.codec import build_header, build_qcow2
from addcow_spec.errors import ImageError
from addcow_spec.geometry import CLUSTER_SIZE, SECTOR_SIZE, Geometry
from addcow_spec.model import (
    ExtensionType,
    Features,
    Header,
    HeaderV4,
    HeaderV6,
    HeaderV10,
    Qcow2Extension,
    Qcow2Header,
    Revision,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["TEMPLATES", "Template", "add_cow", "prove", "qcow2"]

_STATED = {Revision.V4: 1, Revision.V6: 2, Revision.V10: 3}
_COPIED, _COMPRESSED = 1 << 63, 1 << 62


class Template(NamedTuple):
    """An input that says what it is.

    Attributes:
        name: its name; lower case, with hyphens.
        data: the input.
        size: bytes of its disk.
        layers: formats and revisions of its layers, top down; empty where it is refused.
        refused: the rule that it breaks, empty where it opens.
    """

    name: str
    data: bytes
    size: int
    layers: tuple[str, ...]
    refused: str = ""


# --- parts


def add_cow(
    file: int,
    revision: Revision,
    size: int,
    *,
    image: bytes,
    backing: bytes = b"",
    bits: Iterable[int] = (),
    raw: bool = False,
) -> Iterator[Record]:
    """The records of an add-cow file.

    Args:
        file: number of the file.
        revision: of the header.
        size: bytes of the disk.
        image: name of the image file.
        backing: name of the backing file, empty without one.
        bits: units whose bit is set.
        raw: whether v10 states that the backing file is raw.
    """
    geometry = Geometry(revision, size)
    yield Record(file, 0, build_header(_header(revision, size, image, backing, raw=raw)).rstrip(b"\0"))
    bitmap = bytearray(geometry.bitmap_size)
    for bit in bits:
        bitmap[bit // 8] |= 1 << bit % 8
    yield Record(file, geometry.bitmap_offset, bytes(bitmap))


def _header(revision: Revision, size: int, image: bytes, backing: bytes, *, raw: bool) -> Header:
    if revision is Revision.V4:
        return HeaderV4(backing.ljust(1024, b"\0"), image.ljust(1024, b"\0"), size)
    if revision is Revision.V6:
        return HeaderV6(backing.ljust(1024, b"\0"), image.ljust(1024, b"\0"), size, bytes(492))
    features = Features.BACKING_FILE if backing else Features(0)
    if raw:
        features |= Features.BACKING_FORMAT_NO_PROBE
    start = HeaderV10.RESERVED_OFFSET
    names = (image + backing).ljust(HeaderV10.LENGTH - start, b"\0")
    where = (start + len(image), len(backing)) if backing else (0, 0)
    return HeaderV10(*where, start, len(image), features, names)


def noise(length: int, seed: int) -> bytes:
    """Bytes that are not zero, and tell where they are."""
    return bytes(1 + (seed * 41 + at * 7 + at // 250) % 255 for at in range(length))


def marks(file: int, size: int, step: int) -> Iterator[Record]:
    """A raw file that is not zero where each ``step`` bytes begin, up to its very end."""
    for number, start in enumerate(range(0, size, step)):
        yield Record(file, start, noise(min(40, size - start), file * 16 + number))
    yield Record(file, size)


def qcow2(file: int, *, version: int = 3, backing: bytes = b"", stated: bytes = b"raw") -> Iterator[Record]:
    """A qcow2 file of 64 KiB with clusters of every kind, 512 bytes each; its L1 table is at 512."""
    extensions = (_extension(ExtensionType.BACKING_FORMAT, stated),) if backing and stated else ()
    header = Qcow2Header(
        version=version,
        backing_file_offset=400 if backing else 0,
        backing_file_size=len(backing),
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
        extensions=extensions,
        end_marker=bytes(8),
    )
    packed = zlib.compressobj(9, zlib.DEFLATED, -12)
    deflated = packed.compress(noise(512, 5)) + packed.flush()
    compressed = _COMPRESSED | (len(deflated) // 512) << 61 | 3584
    zero = 1 if version == 3 else 0
    entries = (0, _COPIED | 2560, _COPIED | 3072, 0, zero, compressed)
    yield Record(file, 0, build_qcow2(header).rstrip(b"\0"))
    yield Record(file, 400, backing)
    yield Record(file, 512, struct.pack(">2Q", _COPIED | 1536, _COPIED | 2048))
    yield Record(file, 1536, struct.pack(">6Q", *entries))
    yield Record(file, 2048, struct.pack(">Q", _COPIED | 3072))
    yield Record(file, 2560, noise(1024, 9))
    yield Record(file, 3584, deflated)
    yield Record(file, 5120)


def _extension(kind: int, data: bytes) -> Qcow2Extension:
    return Qcow2Extension(kind, data, bytes(-len(data) % 8), 0)


# --- the templates

_A, _B, _C, _D, _E, _F, _G = map(name_of, range(7))
_SMALL = 64 << 10


def _simple(revision: Revision, *, backed: bool) -> Template:
    """Two layers or one; the backing file is shorter than the disk, and some bits are set."""
    unit = Geometry(revision, 0).unit_size
    size = 10 * unit + SECTOR_SIZE
    # A v6 disk is as large as its backing file.
    below = size if revision is Revision.V6 else 3 * unit + 100
    records = [
        *add_cow(0, revision, size, image=_B, backing=_C if backed else b"", bits=(0, 2, 10), raw=backed),
        *marks(1, size, unit),
        *(marks(2, below, unit) if backed else ()),
    ]
    layers = (f"add-cow {revision}", *(["raw"] if backed else []))
    name = f"{revision}-{'backed' if backed else 'alone'}"
    return Template(name, pack(_STATED[revision], records), size, layers)


def _on_qcow2(revision: Revision, version: int) -> Template:
    """On a qcow2 file on a raw one."""
    bits = () if revision is Revision.V10 else (3, 8)
    records = [
        *add_cow(0, revision, _SMALL, image=_B, backing=_C, bits=bits),
        *marks(1, _SMALL, 4096),
        *qcow2(2, version=version, backing=_D),
        *marks(3, 3000, 512),
    ]
    layers = (f"add-cow {revision}", f"qcow2 v{version}", "raw")
    return Template(f"{revision}-on-qcow2-v{version}", pack(_STATED[revision], records), _SMALL, layers)


def _mixed() -> Template:
    """v10 on v4 on v6 on qcow2 without a backing file."""
    size = CLUSTER_SIZE + _SMALL
    records = [
        *add_cow(0, Revision.V10, size, image=_B, backing=_C, bits=(1,)),
        *marks(1, size, CLUSTER_SIZE),
        *add_cow(2, Revision.V4, _SMALL, image=_D, backing=_E, bits=(1, 9)),
        *marks(3, _SMALL, SECTOR_SIZE * 9),
        *add_cow(4, Revision.V6, _SMALL, image=_F, backing=_G, bits=(2, 64)),
        *marks(5, _SMALL, SECTOR_SIZE * 32),
        *qcow2(6),
    ]
    return Template("mixed", pack(0, records), size, ("add-cow v10", "add-cow v4", "add-cow v6", "qcow2 v3"))


def _stack(layers: int) -> list[Record]:
    """So many empty add-cow layers, each with an image file of its own."""
    records: list[Record] = []
    for layer in range(layers):
        below = name_of(layer + 1) if layer + 1 < layers else b""
        image = MOST_FILES - 1 - layer
        records += add_cow(layer, Revision.V10, 0, image=name_of(image), backing=below)
        records.append(Record(image, 0))
    return records


def _sound() -> Iterator[Template]:
    for revision in Revision:
        yield _simple(revision, backed=False)
        yield _simple(revision, backed=True)
        for version in (2, 3):
            yield _on_qcow2(revision, version)
    yield _mixed()
    yield Template("longest-stack", pack(0, _stack(200)), 0, ("add-cow v10",) * 200)


# Where v10 has its features and where v4 and v6 have their size.
_FEATURES_AT, _SIZE_AT = 28, 2060

_DISK = 10 * CLUSTER_SIZE + SECTOR_SIZE
_V10 = (
    *add_cow(0, Revision.V10, _DISK, image=_B, backing=_C, bits=(0,), raw=True),
    Record(1, _DISK),
    Record(2, 9),
)
_V6 = (*add_cow(0, Revision.V6, _SMALL, image=_B, bits=(0,)), Record(1, _SMALL))

# What is wrong, by the rule that it breaks; a repair mends most of it.
_BROKEN = (
    ("trailing-bits", "ACW-BMP-002", 3, (*_V10, Record(0, 4097, b"\xf8"))),
    ("short-bitmap", "ACW-BMP-001", 3, (_V10[0], Record(0, 4096), *_V10[2:])),
    ("flag-lost", "ACW-FEA-001", 3, (*_V10, Record(0, _FEATURES_AT, b"\0"))),
    ("unknown-feature", "ACW-FEA-003", 3, (*_V10, Record(0, _FEATURES_AT, b"\7"))),
    ("size-lost", "ACW-SIZ-006", 2, (*_V6, Record(0, _SIZE_AT, bytes(8)))),
    (
        "cycle",
        "ACW-CHN-002",
        0,
        (
            *add_cow(0, Revision.V10, 0, image=_B, backing=_C),
            Record(1, 0),
            *add_cow(2, Revision.V10, 0, image=_D, backing=_A),
            Record(3, 0),
        ),
    ),
    ("twice", "ACW-CHN-001", 3, (*add_cow(0, Revision.V10, 0, image=_B, backing=_B, raw=True), Record(1, 0))),
    ("absent", "ACW-ENV-001", 3, (*add_cow(0, Revision.V10, 0, image=b"]]>\x1b[2J<&\xff\n"),)),
    (
        "remote",
        "ACW-NAM-011",
        3,
        (*add_cow(0, Revision.V10, 0, image=_B, backing=b"nbd:x", raw=True), Record(1, 0)),
    ),
    (
        "unread-format",
        "ACW-ENV-002",
        3,
        (
            *add_cow(0, Revision.V10, 0, image=_B, backing=_C),
            Record(1, 0),
            *qcow2(2, backing=_D, stated=b"vmdk"),
            Record(3, 512),
        ),
    ),
    ("too-long-stack", "ACW-CHN-004", 0, tuple(_stack(201))),
)


def _templates() -> Iterator[Template]:
    yield from _sound()
    for name, rule, options, records in _BROKEN:
        yield Template(name, pack(options, records), 0, (), rule)


TEMPLATES = {template.name: template for template in _templates()}


def prove(template: Template) -> None:
    """Hold a template to what it says of itself.

    Raises:
        AssertionError: it is something else.
    """
    packed = unpack(template.data)
    files, reading = InputFiles(packed.records), reading_of(packed.options)
    report = check_input(files.opener, reading)
    try:
        image = open_image(files.open(OPENED), revision=reading.revision)
    except ImageError as error:
        found: tuple[object, ...] = (0, (), error.rule)
        sound = False
    else:
        with image:
            layers = tuple(f"{layer.format} {layer.revision}".strip() for layer in image.chain)
            found, sound = (image.size, layers, ""), True
    if found != (template.size, template.layers, template.refused):
        raise AssertionError(f"{template.name} is {found}")
    if sound and (report.problem or report.verdict not in {Verdict.VALID, Verdict.ACCEPTABLE}):
        raise AssertionError(f"{template.name} is {report.verdict} to the checker: {report.findings}")
    if not sound and template.refused not in {*report.rule_counts, "ACW-ENV-002"}:
        raise AssertionError(f"{template.name} breaks {sorted(report.rule_counts)}")
