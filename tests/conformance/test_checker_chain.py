"""What a report says of the files of a chain, of the header and of the disk."""

from __future__ import annotations

import hashlib
import os
import shutil
import struct

import pytest

from addcow_conformance.checker import Bucket, CheckOptions, FileFormat, Verdict, check_image
from addcow_spec.model import Revision, Role
from tests.conformance import by_hand

CLUSTER = by_hand.CLUSTER
IMAGE, BACKING = Role.IMAGE, Role.BACKING


def sparse(path, size):
    path.touch()
    os.truncate(path, size)


def poke(path, offset, data):
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def check(path, **options):
    return check_image(os.fsencode(path), CheckOptions(**options))


def stating(path, kind, *, backing):
    """A qcow2 file that states the format of its backing file."""
    by_hand.qcow2(path, backing=backing)
    poke(path, 160, struct.pack(">II", 0xE2792ACA, len(kind)) + kind)


@pytest.fixture
def chain(tmp_path):
    """``i`` (v10) over ``j`` (v6) over ``q`` (qcow2) over ``r`` (raw)."""
    for name, size in (("disk.raw", 10 * CLUSTER), ("j.raw", 3 * CLUSTER), ("r", 512)):
        sparse(tmp_path / name, size)
    by_hand.qcow2(tmp_path / "q", backing=b"r", size=2 * CLUSTER)
    by_hand.old(tmp_path / "j", "v6", image=b"j.raw", backing=b"q", size=3 * CLUSTER)
    return by_hand.v10(tmp_path / "i", backing=b"j", features=1, bits=b"\x05")


def described(report):
    files = [(f.parent, f.role, f.name, f.format, f.revision, f.virtual_size) for f in report.files]
    assert [f.index for f in report.files] == list(range(len(files)))
    return files


WHOLE = [
    (None, None, None, FileFormat.ADD_COW, "v10", 10 * CLUSTER),
    (0, IMAGE, b"disk.raw", FileFormat.RAW, "", 10 * CLUSTER),
    (0, BACKING, b"j", FileFormat.ADD_COW, "v6", 3 * CLUSTER),
    (2, IMAGE, b"j.raw", FileFormat.RAW, "", 3 * CLUSTER),
    (2, BACKING, b"q", FileFormat.QCOW2, "v3", 2 * CLUSTER),
    (4, BACKING, b"r", FileFormat.RAW, "", 512),
]


def test_the_files_of_a_chain(chain):
    report = check(chain)
    assert described(report) == WHOLE
    assert [f.path for f in report.files] == [
        os.fsencode(chain.parent / name) for name in ("i", "disk.raw", "j", "j.raw", "q", "r")
    ]
    assert [f.length for f in report.files] == [os.stat(f.path).st_size for f in report.files]


def test_no_chain_stops_before_a_backing_file_with_a_format(chain):
    poke(chain.parent / "j", 2560, b"\xff" * 500)
    assert described(check(chain, follow_chain=False)) == [
        *WHOLE[:2],
        (0, BACKING, b"j", FileFormat.ADD_COW, "", None),
    ]


def test_no_chain_still_measures_a_raw_backing_file(tmp_path):
    sparse(tmp_path / "r", 3 * CLUSTER)
    report = check(by_hand.v10(tmp_path / "i", backing=b"r"), follow_chain=False)
    assert report.bitmap.backed_units == 3


def test_files_that_were_not_opened(tmp_path):
    path = by_hand.v10(tmp_path / "i", image=b"gone/x", backing=b"nbd:x", features=1)
    assert [(f.name, f.path, f.format, f.length, f.role) for f in check(path).files[1:]] == [
        (b"gone/x", os.fsencode(tmp_path / "gone/x"), FileFormat.UNAVAILABLE, None, IMAGE),
        (b"nbd:x", b"nbd:x", FileFormat.REMOTE, None, BACKING),
    ]


def test_a_stated_format_that_nothing_here_reads_ends_the_chain(tmp_path):
    (tmp_path / "r").write_bytes(b"QFI\xfb" + bytes(508))
    stating(tmp_path / "q", b"vmdk", backing=b"r")
    report = check(by_hand.v10(tmp_path / "i", backing=b"q", features=1))
    assert [f.rule for f in report.findings] == ["ACW-CHN-003"]
    assert described(report)[3] == (2, BACKING, b"r", FileFormat.OTHER, "", None)


def test_an_empty_statement_leaves_the_format_to_a_probe(tmp_path):
    (tmp_path / "r").write_bytes(bytes(512))
    stating(tmp_path / "q", b"", backing=b"r")
    report = check(by_hand.v10(tmp_path / "i", backing=b"q", features=1))
    assert described(report)[3] == (2, BACKING, b"r", FileFormat.RAW, "", 512)


@pytest.mark.parametrize(
    ("first", "second", "found"), [("raw", "qcow2", FileFormat.RAW), ("qcow2", "raw", FileFormat.QCOW2)]
)
def test_the_first_of_two_stated_formats_counts(tmp_path, first, second, found):
    by_hand.qcow2(tmp_path / "r")
    by_hand.qcow2(tmp_path / "q", backing=b"r")
    for offset, kind in ((160, first), (176, second)):
        poke(tmp_path / "q", offset, struct.pack(">II", 0xE2792ACA, len(kind)) + kind.encode())
    report = check(by_hand.v10(tmp_path / "i", backing=b"q", features=1))
    assert described(report)[3][3] is found


def test_a_stated_revision_is_that_of_the_first_file(tmp_path):
    """Both files are whole in v4 and in v6; only the first is told to be v4."""
    sparse(tmp_path / "j.raw", 8 << 20)
    by_hand.old(tmp_path / "j", "v6", image=b"j.raw", size=8 << 20)
    path = by_hand.old(tmp_path / "i", "v6", backing=b"j", size=8 << 20)
    report = check(path, revision=Revision.V4)
    assert report.revision is Revision.V4
    assert [file.revision for file in report.files] == ["v4", "", "v6", ""]
    assert [(f.rule, f.file) for f in report.findings] == [("ACW-CHN-003", 0), ("ACW-HDR-005", 2)]


@pytest.mark.parametrize(
    ("make", "revision"),
    [
        # Whole in both: 2,068 + 2,048 bytes fill up to 4,608, which is 2,560 + 2,048.
        (lambda path: by_hand.old(path, "v6", size=8 << 20), "v6"),
        # Whole in neither, and as sound in one as in the other.
        (lambda path: by_hand.old(path, "v6", size=8 << 20, tail=b"x"), "v6"),
        (lambda path: by_hand.old(path, "v4", size=8 << 20, tail=bytes(600)), "v6"),
        # Too short for v6 alone.
        (lambda path: by_hand.old(path, "v4", size=8 << 20, tail=b"\0"), "v4"),
    ],
)
def test_the_revision_of_a_file_that_may_be_v4_or_v6(tmp_path, make, revision):
    report = check(make(tmp_path / "i"))
    assert (report.revision, report.findings[0].rule) == (revision, "ACW-HDR-005")


@pytest.mark.parametrize(
    ("make", "length"),
    [
        (by_hand.v10, 4096),
        (lambda path: by_hand.old(path, "v6", size=(8 << 20) + 4096), 2560),
        (lambda path: by_hand.old(path, "v4", size=(8 << 20) + 4096), 2068),
    ],
)
def test_the_header_and_no_more(tmp_path, make, length):
    path = make(tmp_path / "i")
    assert check(path).header == path.read_bytes()[:length]


def test_the_fields_of_v10(tmp_path):
    fields = check(by_hand.v10(tmp_path / "i", backing=b"base\n")).fields
    assert [(f.name, *f.span, f.value) for f in fields] == [
        ("magic", 0, 8, "41 44 44 5f 43 4f 57 ff"),
        ("version", 8, 4, 1),
        ("backing_filename_offset", 12, 4, 36),
        ("backing_filename_size", 16, 4, 5),
        ("image_filename_offset", 20, 4, 41),
        ("image_filename_size", 24, 4, 8),
        ("features", 28, 8, 3),
        ("reserved", 36, 4060, "4060 bytes"),
        ("image_filename", 41, 8, "disk.raw"),
        ("backing_filename", 36, 5, "base\\u{a}"),
    ]


def test_the_fields_of_v4(tmp_path):
    fields = check(by_hand.old(tmp_path / "i", "v4", backing=b"base", size=1024)).fields
    assert [(f.name, *f.span, f.value) for f in fields] == [
        ("magic", 0, 8, "41 44 44 5f 43 4f 57 ff"),
        ("version", 8, 4, 1),
        ("backing_file", 12, 1024, "base"),
        ("image_file", 1036, 1024, "disk.raw"),
        ("size", 2060, 8, 1024),
    ]


@pytest.mark.parametrize(
    ("length", "backed", "zeros"),
    [
        (0, 0, 10),
        (1, 1, 9),
        (CLUSTER - 512, 1, 9),
        (CLUSTER, 1, 9),
        (CLUSTER + 512, 2, 8),
        (99 * CLUSTER, 10, 0),
    ],
)
def test_a_unit_that_begins_inside_the_backing_file_is_backed(tmp_path, length, backed, zeros):
    sparse(tmp_path / "r", length)
    report = check(by_hand.v10(tmp_path / "i", backing=b"r"), buckets=1)
    assert report.bitmap.buckets == (Bucket(0, backed, zeros),)
    assert report.bitmap.backed_units == backed


def test_an_unknown_backing_file_may_back_every_unit(tmp_path):
    report = check(by_hand.v10(tmp_path / "i", backing=b"gone", bits=b"\1"), buckets=1)
    assert report.bitmap.buckets == (Bucket(1, 9, 0),)


def test_a_disk_below_whose_size_is_unknown_is_not_taken_for_the_one_below_that(tmp_path):
    """``j`` has no image file, so the size of its disk is unknown, whatever its backing file has."""
    sparse(tmp_path / "r", CLUSTER)
    by_hand.v10(tmp_path / "j", image=b"gone", backing=b"r")
    report = check(by_hand.v10(tmp_path / "i", backing=b"j", features=1), buckets=1)
    assert report.bitmap.buckets == (Bucket(0, 10, 0),)


def test_the_bitmap_is_that_of_the_first_file(chain):
    poke(chain.parent / "j", 2560, b"\xff" * 40)
    summary = check(chain).bitmap
    assert (summary.span, summary.unit_size, summary.units, summary.set_units, summary.backed_units) == (
        (4096, 2),
        CLUSTER,
        10,
        2,
        1,
    )


def test_progress_is_told_of_the_first_bitmap_only(chain):
    poke(chain.parent / "j", 2560, b"\xff" * 40)
    seen = []
    check_image(os.fsencode(chain), progress=lambda done, total: seen.append((done, total)))
    assert seen == [(2, 2)]


def test_a_warning_in_one_profile_is_a_note_in_the_other(tmp_path):
    (tmp_path / "r").write_bytes(b"KDMV".ljust(512, b"\0"))
    path = by_hand.v10(tmp_path / "i", backing=b"r", features=1)
    reviewed, written = check(path, profile="reviewed"), check(path, profile="as-written")
    assert (reviewed.counts, reviewed.verdict) == ({"warning": 1}, Verdict.ACCEPTABLE)
    assert (written.counts, written.verdict) == ({"note": 1}, Verdict.VALID)


# -- order and number --


def test_findings_are_in_the_order_of_files_and_offsets(tmp_path):
    """Without bytes first, whatever the order in which the judges found them."""
    path = by_hand.v10(tmp_path / "i", backing=b"j", features=9, size=1000, tail=b"x")
    by_hand.v10(tmp_path / "j", image=b"absent")
    poke(path, 200, b"x")
    assert [(f.file, f.span and f.span.offset) for f in check(path).findings] == [
        (0, None),
        (0, 28),
        (0, 28),
        (0, 200),
        (0, 4097),
        (2, 36),
    ]


@pytest.mark.parametrize(
    ("limit", "kept"),
    [
        (1, ["ACW-FEA-003"]),
        (2, ["ACW-FEA-003", "ACW-BMP-002"]),
        (3, ["ACW-FEA-003", "ACW-HDR-004", "ACW-BMP-002"]),
        (4, ["ACW-FEA-003", "ACW-HDR-004", "ACW-BMP-002", "ACW-BMP-003"]),
        (5, ["ACW-FEA-003", "ACW-NAM-011", "ACW-HDR-004", "ACW-BMP-002", "ACW-BMP-003"]),
    ],
)
def test_errors_are_kept_first_where_findings_are_cut(tmp_path, limit, kept):
    path = by_hand.v10(tmp_path / "i", backing=b"nbd:x", features=7, bits=b"\0\x04", tail=b"x")
    poke(path, 200, b"x")
    report = check(path, max_findings=limit)
    assert [f.rule for f in report.findings] == kept
    assert report.counts == {"error": 2, "warning": 2, "note": 1}
    assert report.rule_counts == {found.rule: 1 for found in check(path).findings}


def test_every_violation_of_a_rule_is_counted(tmp_path):
    by_hand.v10(tmp_path / "j", image=b"disk.raw", features=4)
    report = check(by_hand.v10(tmp_path / "i", backing=b"j", features=5), max_findings=1)
    assert report.rule_counts == {"ACW-CHN-001": 1, "ACW-CHN-003": 1, "ACW-FEA-003": 2}


# -- fingerprints --


def fingerprints(path, **options):
    report = check(path, **options)
    return [report.fingerprint(finding) for finding in report.findings]


def key(*parts):
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def test_a_fingerprint_is_made_of_rule_part_field_and_offset(tmp_path):
    """They are stored by others, so they never change."""
    path = by_hand.v10(tmp_path / "i", backing=b"j", features=1, size=1000)
    sparse(tmp_path / "j.raw", 512)
    by_hand.v10(tmp_path / "j", image=b"j.raw", features=4, size=512)
    assert fingerprints(path) == [
        key("ACW-SIZ-004", "add-cow", "image_filename", ""),
        key("ACW-CHN-003", "add-cow", "features", "28"),
        key("ACW-FEA-003", "backing/add-cow", "features", "28"),
    ]


def test_a_copy_under_another_name_has_the_same_fingerprints(tmp_path):
    first = tmp_path / "first"
    first.mkdir()
    path = by_hand.v10(first / "i", features=4, bits=b"\0\4", tail=b"x")
    shutil.copytree(first, tmp_path / "second")
    (tmp_path / "second/i").rename(tmp_path / "second/renamed")
    assert fingerprints(path) == fingerprints(tmp_path / "second/renamed")
    assert len(set(fingerprints(path))) == 3


def test_a_file_that_another_file_shifts_keeps_its_fingerprints(tmp_path):
    """Without an image file, the backing file is file 1 and not file 2."""
    sparse(tmp_path / "j.raw", 512)
    by_hand.v10(tmp_path / "j", image=b"j.raw", features=4, size=512)
    path = by_hand.v10(tmp_path / "i", backing=b"j", features=1)
    before = check(path)
    poke(path, 24, bytes(4))
    after = check(path)
    places = [(r.findings[-1].rule, r.findings[-1].file) for r in (before, after)]
    assert places == [("ACW-FEA-003", 2), ("ACW-FEA-003", 1)]
    assert before.fingerprint(before.findings[-1]) == after.fingerprint(after.findings[-1])
