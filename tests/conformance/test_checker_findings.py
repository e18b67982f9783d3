"""Where findings point: file, bytes and field of every rule, on images made by hand."""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING, NamedTuple

import pytest

from addcow_conformance.checker import CHECKED_RULES, CheckOptions, check_image
from addcow_conformance.checker import _walk as walk
from addcow_spec.model import Revision
from addcow_spec.rules import Profile
from tests.conformance import by_hand
from tests.conformance.by_hand import poke, sparse

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Found = tuple[str, int, tuple[int, int] | None, str]

# What a v10 file with features=1 earns for a backing file that is not raw.
PROBED: Found = ("ACW-CHN-003", 0, (28, 8), "features")
TABLE, NEXT_EXTENSION = 112, 160


def le32(value: int) -> bytes:
    return struct.pack("<I", value)


def be32(value: int) -> bytes:
    return struct.pack(">I", value)


def be64(value: int) -> bytes:
    return struct.pack(">Q", value)


def v10(*edits: tuple[int, bytes], base: bytes = b"", **arguments) -> Callable[[Path], Path]:
    """A maker of ``i`` in v10, its bytes changed by ``edits``; ``base`` names a raw file beside it."""

    def make(directory: Path) -> Path:
        if base:
            sparse(directory / os.fsdecode(base), by_hand.CLUSTER)
        return poke(by_hand.v10(directory / "i", **arguments), *edits)

    return make


def old(revision: str, *edits: tuple[int, bytes], base: int = 0, **arguments) -> Callable[[Path], Path]:
    """A maker of ``i`` in v4 or v6; ``base`` is the length of a backing file ``base.raw``."""

    def make(directory: Path) -> Path:
        if base:
            sparse(directory / "base.raw", base)
            arguments["backing"] = b"base.raw"
        return poke(by_hand.old(directory / "i", revision, **arguments), *edits)

    return make


def over_qcow2(
    *edits: tuple[int, bytes], length: int = 3 * by_hand.CLUSTER, **arguments
) -> Callable[[Path], Path]:
    """A maker of ``i`` over the qcow2 file ``q``, whose bytes are changed by ``edits``."""

    def make(directory: Path) -> Path:
        qcow2 = by_hand.qcow2(directory / "q", **arguments)
        os.truncate(poke(qcow2, *edits), length)
        return by_hand.v10(directory / "i", backing=b"q", features=1)

    return make


def written(content: bytes) -> Callable[[Path], Path]:
    def make(directory: Path) -> Path:
        (directory / "i").write_bytes(content)
        return directory / "i"

    return make


def cut(make: Callable[[Path], Path], length: int) -> Callable[[Path], Path]:
    def shorter(directory: Path) -> Path:
        path = make(directory)
        os.truncate(path, length)
        return path

    return shorter


def over_directory(directory: Path) -> Path:
    (directory / "folder").mkdir()
    return by_hand.v10(directory / "i", backing=b"folder", features=3)


def over_magic(magic: bytes, make: Callable[[Path], Path]) -> Callable[[Path], Path]:
    """A maker of an image whose backing file ``base.raw`` starts with ``magic``."""

    def over(directory: Path) -> Path:
        path = make(directory)
        poke(directory / "base.raw", (0, magic))
        return path

    return over


def outside(directory: Path) -> Path:
    sparse(directory.parent / f"{directory.name}.raw", by_hand.CLUSTER)
    return by_hand.v10(directory / "i", image=b"../" + os.fsencode(directory.name) + b".raw")


def in_the_working_directory(directory: Path) -> Path:
    sparse(directory / "cwd" / "here.raw", 512)
    return by_hand.v10(directory / "i", image=b"here.raw")


def ring(directory: Path, features: int = 1) -> Path:
    """``i`` over ``j`` over ``i``; the features are those of ``j``."""
    sparse(directory / "second.raw", 10 * by_hand.CLUSTER)
    by_hand.v10(directory / "j", image=b"second.raw", backing=b"i", features=features)
    return by_hand.v10(directory / "i", backing=b"j", features=1)


def ring_stated_raw(directory: Path) -> Path:
    """Nothing goes round: ``j`` reads the bytes of ``i``, whatever they are."""
    return ring(directory, 3)


def over_its_image(directory: Path) -> Path:
    """The image file is a qcow2 file, and the backing file too."""
    by_hand.qcow2(directory / "disk.raw")
    return by_hand.v10(directory / "i", backing=b"disk.raw", features=1, size=3 * by_hand.CLUSTER)


def stated_qcow2_is_raw(directory: Path) -> Path:
    """``i`` over the qcow2 file ``q``, which says that ``r`` is qcow2 too."""
    stated = be32(0xE2792ACA) + be32(5) + b"qcow2\0\0\0"
    poke(by_hand.qcow2(directory / "q", backing=b"r"), (NEXT_EXTENSION, stated))
    sparse(directory / "r", 512)
    return by_hand.v10(directory / "i", backing=b"q", features=1)


def qcow2_over_vmdk(directory: Path) -> Path:
    (directory / "r").write_bytes(b"KDMV".ljust(512, b"\0"))
    by_hand.qcow2(directory / "q", backing=b"./r")
    return by_hand.v10(directory / "i", backing=b"q", features=1)


def qcow2(rule: str, offset: int, length: int, field: str) -> list[Found]:
    """A finding on the qcow2 file, which is file 2, besides that it was probed."""
    return [PROBED, (rule, 2, (offset, length), field)]


def extensions(number: int) -> bytes:
    """So many empty header extensions of different types, and no end marker."""
    return b"".join(be32(kind) + be32(0) for kind in range(1, number + 1))


class Case(NamedTuple):
    make: Callable[[Path], Path]
    found: list[Found]
    revision: Revision | None = None
    profile: Profile = Profile.REVIEWED
    confined: bool = False


V6 = Revision.V6
LONG = b"./" * 2026 + b"disk.raw"

CASES = {
    "HDR-001": Case(written(b"ADD_COW\xfe" + bytes(5000)), [("ACW-HDR-001", 0, (0, 8), "magic")]),
    "HDR-001 short": Case(written(b"ADD_COW"), [("ACW-HDR-001", 0, (0, 8), "magic")]),
    "HDR-002": Case(v10((8, le32(2))), [("ACW-HDR-002", 0, (8, 4), "version")]),
    "HDR-002 stated": Case(v10(), [("ACW-HDR-002", 0, (8, 4), "version")], revision=V6),
    "HDR-003 version": Case(written(b"ADD_COW\xff\1\0\0"), [("ACW-HDR-003", 0, (8, 4), "version")]),
    "HDR-003 v10": Case(cut(v10(), 4095), [("ACW-HDR-003", 0, (36, 4060), "reserved")]),
    "HDR-003 v4": Case(cut(old("v4"), 2067), [("ACW-HDR-003", 0, (2060, 8), "size")]),
    "HDR-004 v10": Case(v10((200, b"x\0y")), [("ACW-HDR-004", 0, (200, 3), "reserved")]),
    "HDR-004 v6": Case(old("v6", (2073, b"x\0y")), [("ACW-HDR-004", 0, (2073, 3), "reserved")], revision=V6),
    "HDR-005": Case(old("v6", size=8 << 20), [("ACW-HDR-005", 0, None, "revision")]),
    "NAM-001 backing": Case(
        v10((12, le32(4090)), (36, bytes(8)), backing=b"base.raw"),
        [("ACW-NAM-001", 0, (12, 8), "backing_filename_offset")],
    ),
    "NAM-001 image": Case(
        v10((20, le32(4090)), (36, bytes(8))), [("ACW-NAM-001", 0, (20, 8), "image_filename_offset")]
    ),
    "NAM-002 backing": Case(
        v10((12, le32(4095)), (36, b"\0"), (4095, b"b"), base=b"b", backing=b"b"),
        [("ACW-NAM-002", 0, (12, 4), "backing_filename_offset")],
    ),
    "NAM-002 image": Case(
        v10((20, le32(4095)), (36, b"\0"), (4095, b"d"), base=b"d", image=b"d"),
        [("ACW-NAM-002", 0, (20, 4), "image_filename_offset")],
    ),
    # Such a name leads nowhere besides: with the directory before it, it is longer than a path may be.
    "NAM-003 image": Case(
        v10(image=LONG),
        [
            ("ACW-NAM-003", 0, (24, 4), "image_filename_size"),
            ("ACW-ENV-001", 0, (36, 4060), "image_filename"),
        ],
    ),
    "NAM-003 backing": Case(
        v10((12, le32(36) + le32(4060) + le32(4088)), (28, b"\3"), (36, LONG)),
        [
            ("ACW-NAM-003", 0, (16, 4), "backing_filename_size"),
            ("ACW-ENV-002", 0, (36, 4060), "backing_filename"),
            ("ACW-NAM-008", 0, (4088, 8), "image_filename"),
        ],
    ),
    "NAM-004": Case(v10((16, le32(7))), [("ACW-NAM-004", 0, (16, 4), "backing_filename_size")]),
    "NAM-005": Case(v10((12, le32(100)), features=1), [("ACW-NAM-005", 0, (16, 4), "backing_filename_size")]),
    "NAM-006 offset": Case(
        v10((20, le32(0)), (36, bytes(8))), [("ACW-NAM-006", 0, (20, 8), "image_filename_offset")]
    ),
    "NAM-006 size": Case(
        v10((24, le32(0)), (36, bytes(8))), [("ACW-NAM-006", 0, (20, 8), "image_filename_offset")]
    ),
    "NAM-006 v4": Case(old("v4", image=b""), [("ACW-NAM-006", 0, (1036, 1024), "image_file")]),
    "NAM-007 image": Case(v10(image=b"di\0k.raw"), [("ACW-NAM-007", 0, (38, 1), "image_filename")]),
    "NAM-007 backing": Case(v10(backing=b"bas\0"), [("ACW-NAM-007", 0, (39, 1), "backing_filename")]),
    "NAM-008": Case(
        v10((16, le32(10)), base=b"base.rawdi", backing=b"base.raw"),
        [("ACW-NAM-008", 0, (44, 2), "image_filename")],
    ),
    "NAM-009 backing": Case(old("v4", (30, b"x\0y")), [("ACW-NAM-009", 0, (30, 3), "backing_file")]),
    "NAM-009 image": Case(old("v4", (1050, b"x")), [("ACW-NAM-009", 0, (1050, 1), "image_file")]),
    "NAM-010": Case(in_the_working_directory, [("ACW-NAM-010", 0, (36, 8), "image_filename")]),
    "NAM-011 image": Case(v10(image=b"nbd:x"), [("ACW-NAM-011", 0, (36, 5), "image_filename")]),
    "NAM-011 backing": Case(v10(backing=b"nbd:x"), [("ACW-NAM-011", 0, (36, 5), "backing_filename")]),
    "NAM-011 v6": Case(
        old("v6", size=4 << 20 | 512, backing=b"nbd:x"), [("ACW-NAM-011", 0, (12, 5), "backing_file")]
    ),
    "FEA-001": Case(v10(features=1), [("ACW-FEA-001", 0, (28, 8), "features")]),
    "FEA-002": Case(v10(features=2), [("ACW-FEA-002", 0, (28, 8), "features")]),
    "FEA-002 and FEA-003": Case(
        v10(features=6), [("ACW-FEA-002", 0, (28, 8), "features"), ("ACW-FEA-003", 0, (28, 8), "features")]
    ),
    "FEA-003": Case(v10(features=1 << 63), [("ACW-FEA-003", 0, (28, 8), "features")]),
    "BMP-001": Case(cut(v10(), 4097), [("ACW-BMP-001", 0, (4097, 1), "bitmap")]),
    "BMP-002": Case(v10(bits=b"\0\x04"), [("ACW-BMP-002", 0, (4097, 1), "bitmap")]),
    "BMP-003": Case(v10(tail=b"\0x\0"), [("ACW-BMP-003", 0, (4099, 2), "tail")]),
    "BMP-004": Case(v10(bits=b"\xff\x03"), [("ACW-BMP-004", 0, (4096, 2), "bitmap")]),
    "SIZ-004": Case(v10(size=1000), [("ACW-SIZ-004", 0, None, "image_filename")]),
    "SIZ-005": Case(
        old("v6", size=1536, base=1024),
        [("ACW-SIZ-005", 0, (2060, 8), "size")],
        profile=Profile.AS_WRITTEN,
    ),
    "SIZ-006": Case(old("v4", size=512, stored=1024), [("ACW-SIZ-006", 0, (2060, 8), "size")]),
    "SIZ-007": Case(old("v4", size=513), [("ACW-SIZ-007", 0, (2060, 8), "size")]),
    "CHN-001": Case(v10(backing=b"disk.raw", features=3), [("ACW-CHN-001", 0, (36, 8), "backing_filename")]),
    "CHN-001 image": Case(cut(v10(image=b"i"), 4608), [("ACW-CHN-001", 0, (36, 1), "image_filename")]),
    "CHN-001 stated raw": Case(ring_stated_raw, [PROBED, ("ACW-CHN-001", 2, (36, 1), "backing_filename")]),
    "CHN-001 image and layer": Case(
        over_its_image, [PROBED, ("ACW-CHN-001", 0, (36, 8), "backing_filename")]
    ),
    "CHN-002": Case(ring, [PROBED, ("ACW-CHN-002", 2, (36, 1), "backing_filename")]),
    "CHN-003 v10": Case(
        over_magic(b"KDMV", v10(base=b"base.raw", backing=b"base.raw", features=1)), [PROBED]
    ),
    "CHN-003 v4": Case(
        over_magic(b"KDMV", old("v4", base=512)), [("ACW-CHN-003", 0, (12, 8), "backing_file")]
    ),
    "CHN-003 qcow2": Case(qcow2_over_vmdk, qcow2("ACW-CHN-003", 512, 3, "backing_file")),
    "ENV-001 v10": Case(v10(image=b"absent"), [("ACW-ENV-001", 0, (36, 6), "image_filename")]),
    "ENV-001 v4": Case(old("v4", image=b"absent"), [("ACW-ENV-001", 0, (1036, 6), "image_file")]),
    "ENV-002 v10": Case(v10(backing=b"absent"), [("ACW-ENV-002", 0, (36, 6), "backing_filename")]),
    "ENV-002 v4": Case(old("v4", backing=b"absent"), [("ACW-ENV-002", 0, (12, 6), "backing_file")]),
    "ENV-002 qcow2": Case(over_qcow2(backing=b"absent"), qcow2("ACW-ENV-002", 512, 6, "backing_file")),
    "ENV-003": Case(over_directory, [("ACW-ENV-003", 0, (36, 6), "backing_filename")]),
    "ENV-004": Case(outside, [("ACW-ENV-004", 0, (36, 8), "image_filename")], confined=True),
    "QC2-001": Case(stated_qcow2_is_raw, [PROBED, ("ACW-QC2-001", 3, (0, 4), "magic")]),
    "QC2-002": Case(over_qcow2((4, be32(4))), qcow2("ACW-QC2-002", 4, 4, "version")),
    "QC2-003 v2 part": Case(over_qcow2(length=71), qcow2("ACW-QC2-003", 64, 8, "snapshots_offset")),
    "QC2-003 v3 part": Case(over_qcow2(length=90), qcow2("ACW-QC2-003", 88, 8, "autoclear_features")),
    "QC2-003 length": Case(over_qcow2((100, be32(103))), qcow2("ACW-QC2-003", 100, 4, "header_length")),
    "QC2-004": Case(over_qcow2((20, be32(8))), qcow2("ACW-QC2-004", 20, 4, "cluster_bits")),
    "QC2-005": Case(over_qcow2(incompatible=4), qcow2("ACW-QC2-005", 72, 8, "incompatible_features")),
    "QC2-006": Case(over_qcow2((96, be32(7))), qcow2("ACW-QC2-006", 96, 4, "refcount_order")),
    "QC2-007": Case(over_qcow2((108, be32(1 << 20))), qcow2("ACW-QC2-007", 104, 8, "extensions[0].length")),
    "QC2-007 most": Case(over_qcow2((104, extensions(1024))), [PROBED]),
    "QC2-007 too many": Case(
        over_qcow2((104, extensions(1025))),
        qcow2("ACW-QC2-007", 104 + 8 * 1024, 8, "extensions[1024].length"),
    ),
    "QC2-008": Case(
        over_qcow2((NEXT_EXTENSION, be32(0x6803F857))), qcow2("ACW-QC2-008", 160, 4, "extensions[1].type")
    ),
    "QC2-009 length": Case(over_qcow2((108, be32(47))), qcow2("ACW-QC2-009", TABLE, 47, "feature_names")),
    "QC2-009 entry": Case(
        over_qcow2((108, be32(96)), (TABLE + 48, b"\3")),
        qcow2("ACW-QC2-009", TABLE + 48, 2, "feature_names[1]"),
    ),
    "QC2-009 largest": Case(over_qcow2((108, be32(192 * 48))), [PROBED]),
    "QC2-009 too large": Case(
        over_qcow2((108, be32(193 * 48))), qcow2("ACW-QC2-009", TABLE, 193 * 48, "feature_names")
    ),
    "QC2-010": Case(
        over_qcow2((16, be32(1024)), backing=b"x"), qcow2("ACW-QC2-010", 8, 12, "backing_file_offset")
    ),
    "QC2-011": Case(over_qcow2(incompatible=2), qcow2("ACW-QC2-011", 72, 8, "incompatible_features")),
    "QC2-012": Case(over_qcow2((32, be32(1))), qcow2("ACW-QC2-012", 32, 4, "crypt_method")),
    "QC2-013 offset": Case(
        over_qcow2((40, be64(by_hand.CLUSTER + 1))), qcow2("ACW-QC2-013", 40, 8, "l1_table_offset")
    ),
    "QC2-013 size": Case(over_qcow2((36, be32(0))), qcow2("ACW-QC2-013", 36, 4, "l1_size")),
    "QC2-013 end": Case(
        over_qcow2(length=by_hand.CLUSTER + 7), qcow2("ACW-QC2-013", 36, 12, "l1_table_offset")
    ),
    "QC2-014 refcounts": Case(
        over_qcow2((48, be64(131073))), qcow2("ACW-QC2-014", 48, 8, "refcount_table_offset")
    ),
    "QC2-014 snapshots": Case(
        over_qcow2((60, be32(1) + be64(3))), qcow2("ACW-QC2-014", 64, 8, "snapshots_offset")
    ),
}
# A stated revision is that of the first file alone, and a file without the magic is raw where it is probed.
BELOW = [name for name, case in CASES.items() if not case.revision and not name.startswith("HDR-001")]


def findings(path: Path, case: Case) -> list[Found]:
    confine = os.fsencode(path.parent) if case.confined else None
    options = CheckOptions(revision=case.revision, profile=case.profile, confine=confine)
    report = check_image(os.fsencode(path), options)
    return [(f.rule, f.file, f.span and tuple(f.span), f.field) for f in report.findings]


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A directory for images, with the working directory below it."""
    directory = tmp_path / "p"
    (directory / "cwd").mkdir(parents=True)
    monkeypatch.chdir(directory / "cwd")
    return directory


@pytest.mark.parametrize("name", CASES)
def test_file_span_and_field(place, name):
    case = CASES[name]
    assert findings(case.make(place), case) == case.found


@pytest.mark.parametrize("name", BELOW)
def test_the_same_below_another_layer(place, name):
    """The image is file 2 of a chain, behind the first file and that file's image."""
    case = CASES[name]
    case.make(place)
    sparse(place / "top.raw", 512)
    top = by_hand.v10(place / "top", image=b"top.raw", backing=b"i", features=1, size=512)
    below = [(rule, file + 2, span, field) for rule, file, span, field in case.found]
    assert findings(top, case) == [PROBED, *below]


def test_a_stated_add_cow_file_without_the_magic(place):
    """The rule of foreign files is broken by file 2, so the first is no foreign file."""
    stated = be32(0xE2792ACA) + be32(7) + b"add-cow\0"
    poke(by_hand.qcow2(place / "q", backing=b"r"), (NEXT_EXTENSION, stated))
    (place / "r").write_bytes(bytes(5000))
    path = by_hand.v10(place / "i", backing=b"q", features=1)
    assert findings(path, Case(v10(), [])) == [PROBED, ("ACW-HDR-001", 3, (0, 8), "magic")]
    assert check_image(os.fsencode(path)).verdict == "invalid"


@pytest.mark.parametrize(
    ("limit", "found"),
    [
        (1, [("ACW-CHN-004", 0, (36, 1), "backing_filename")]),
        (2, [PROBED, ("ACW-CHN-004", 2, (512, 1), "backing_file")]),
        (3, [PROBED]),
    ],
)
def test_the_layer_that_is_one_too_many(place, monkeypatch, limit, found):
    monkeypatch.setattr(walk, "MAX_LAYERS", limit)
    sparse(place / "r", 512)
    make = over_qcow2(backing=b"r")
    assert findings(make(place), Case(make, [])) == found


def test_every_rule_has_a_case():
    rules = {rule for case in CASES.values() for rule, *_ in case.found}
    assert rules | {"ACW-CHN-004"} == CHECKED_RULES
