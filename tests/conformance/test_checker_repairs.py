"""What stops a repair, one doubt at a time, and how a repair goes about its work."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import stat
import struct
from typing import TYPE_CHECKING, NamedTuple

import pytest

from addcow_conformance.checker import CheckOptions
from addcow_conformance.checker.repair import repair_image
from addcow_spec.model import Revision
from addcow_spec.rules import Profile, Repair
from tests.conformance import by_hand
from tests.conformance.by_hand import poke, sparse

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

V4 = Revision.V4


def mend(path: Path, mode: Repair = Repair.ALL, *, dry_run: bool = False, **options):
    return repair_image(os.fsencode(path), CheckOptions(**options), mode=mode, dry_run=dry_run)


def mended(report) -> list[tuple[str, int, int]]:
    return [(repair.rule, *repair.span) for repair in report.repairs]


class Doubt(NamedTuple):
    """An image with something that could be mended, and a finding that forbids it."""

    make: Callable[[Path], Path]
    rule: str
    revision: Revision | None = None
    confined: bool = False
    file: int = 0


def v10(*edits: tuple[int, bytes], base: bytes = b"", **arguments) -> Callable[[Path], Path]:
    """A maker of a v10 image with bytes after its bitmap; ``base`` is the name of a raw file beside it."""

    def make(directory: Path) -> Path:
        if base:
            sparse(directory / os.fsdecode(base), by_hand.CLUSTER)
        return poke(by_hand.v10(directory / "i", tail=b"\0x", **arguments), *edits)

    return make


def v4(*edits: tuple[int, bytes], **arguments) -> Callable[[Path], Path]:
    return lambda directory: poke(by_hand.old(directory / "i", "v4", **arguments), *edits)


def le32(value: int) -> bytes:
    return struct.pack("<I", value)


def image_is_a_directory(directory: Path) -> Path:
    (directory / "folder").mkdir()
    return by_hand.v10(directory / "i", image=b"folder", features=2)


def image_in_the_working_directory(directory: Path) -> Path:
    sparse(directory / "cwd/here.raw", 512)
    return by_hand.v10(directory / "i", image=b"here.raw", features=2)


def over_a_layer_that_shares(directory: Path) -> Path:
    """``i`` over ``j``, whose image file is that of ``i`` too."""
    by_hand.v10(directory / "j")
    return by_hand.v10(directory / "i", backing=b"j", features=1, tail=b"x")


def over_a_ring(directory: Path) -> Path:
    """``i`` over ``j``, which is over ``i``."""
    sparse(directory / "j.raw", 512)
    by_hand.v10(directory / "j", image=b"j.raw", backing=b"i", features=1, size=512)
    return by_hand.v10(directory / "i", backing=b"j", features=1, tail=b"x")


DOUBTS = [
    # Told to be v4 by its content and not by its length, so that the last byte may be a bit of v6.
    Doubt(v4(bits=b"\1", tail=b"x"), "ACW-HDR-005"),
    Doubt(v10(features=4), "ACW-FEA-003"),
    Doubt(v10((12, le32(4090)), (36, bytes(8)), backing=b"base.raw"), "ACW-NAM-001"),
    Doubt(v10((12, le32(4095)), (36, b"\0"), (4095, b"b"), base=b"b", backing=b"b"), "ACW-NAM-002"),
    Doubt(v4(image=b"", tail=b"x"), "ACW-NAM-006", revision=V4),
    Doubt(v10(backing=b"bas\0"), "ACW-NAM-007"),
    Doubt(v10((16, le32(10)), base=b"base.rawdi", backing=b"base.raw"), "ACW-NAM-008"),
    Doubt(v10(backing=b"disk.raw"), "ACW-CHN-001"),
    Doubt(over_a_layer_that_shares, "ACW-CHN-001", file=2),
    Doubt(over_a_ring, "ACW-CHN-002", file=2),
    Doubt(v4(image=b"absent", tail=b"x"), "ACW-ENV-001", revision=V4),
    Doubt(v10(features=2, image=b"absent"), "ACW-ENV-001"),
    Doubt(image_is_a_directory, "ACW-ENV-003"),
    Doubt(v10(features=2, image=b"../absent"), "ACW-ENV-004", confined=True),
    Doubt(image_in_the_working_directory, "ACW-NAM-010"),
    Doubt(v4(size=513, tail=b"x"), "ACW-SIZ-007", revision=V4),
    Doubt(v4(size=512, stored=1024, tail=b"x"), "ACW-SIZ-006", revision=V4),
]


@pytest.fixture
def place(tmp_path, monkeypatch):
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    return tmp_path


@pytest.mark.parametrize("doubt", DOUBTS, ids=lambda doubt: doubt.rule)
def test_a_doubt_stops_the_repair(place, doubt):
    path = doubt.make(place)
    before = path.read_bytes()
    names = sorted(os.listdir(place))
    confine = os.fsencode(place) if doubt.confined else None
    report = mend(path, revision=doubt.revision, confine=confine)
    assert (doubt.rule, doubt.file) in [(finding.rule, finding.file) for finding in report.findings]
    assert (report.problem, report.repairs, report.backup) == ("", (), None)
    assert path.read_bytes() == before
    assert sorted(os.listdir(place)) == names


def test_a_name_that_is_too_long_stops_the_repair(tmp_path, monkeypatch):
    """It is found from here, where no directory makes it longer than a path may be."""
    path = v10(image=b"./" * 2026 + b"disk.raw")(tmp_path)
    before = path.read_bytes()
    monkeypatch.chdir(tmp_path)
    report = repair_image(b"i", mode=Repair.ALL)
    assert [finding.rule for finding in report.findings] == ["ACW-NAM-003", "ACW-BMP-003"]
    assert (report.repairs, path.read_bytes()) == ((), before)


def test_a_stated_revision_leaves_no_doubt(tmp_path):
    path = v4(bits=b"\1", tail=b"x")(tmp_path)
    assert mended(mend(path, revision=V4)) == [("ACW-BMP-003", 3092, 1)]


def test_the_exact_length_of_a_v4_file_leaves_no_doubt(tmp_path):
    path = v4(size=9 * 512, bits=b"\0\x82")(tmp_path)
    assert mended(mend(path)) == [("ACW-BMP-002", 2069, 1)]
    assert path.read_bytes()[2068:] == bytes(2)


def test_nothing_is_mended_that_the_profile_does_not_find(tmp_path):
    path = by_hand.v10(tmp_path / "i", bits=b"\0\4")
    report = mend(path, profile=Profile.AS_WRITTEN)
    assert (report.findings, report.repairs, path.read_bytes()[4097:]) == ((), (), b"\4")


def test_a_check_that_is_not_complete_stops_the_repair(tmp_path):
    path = by_hand.v10(tmp_path / "i", image=b"nbd:x", features=2)
    before = path.read_bytes()
    report = mend(path)
    assert report.problem
    assert (report.repairs, path.read_bytes()) == ((), before)


def test_a_fault_of_another_layer_is_left_there(tmp_path):
    """Bytes after the bitmap of the layer below are no reason to zero bytes of the first file."""
    by_hand.v10(tmp_path / "j", tail=b"x")
    sparse(tmp_path / "i.raw", 24 * by_hand.CLUSTER)
    path = by_hand.v10(
        tmp_path / "i", image=b"i.raw", backing=b"j", features=1, bits=b"\0\0\7", size=24 * by_hand.CLUSTER
    )
    before = path.read_bytes()
    report = mend(path)
    assert ("ACW-BMP-003", 2) in [(finding.rule, finding.file) for finding in report.findings]
    assert (report.repairs, path.read_bytes()) == ((), before)


def test_a_doubt_about_another_layer_stops_nothing(tmp_path):
    by_hand.v10(tmp_path / "j", features=4)
    sparse(tmp_path / "i.raw", 512)
    path = by_hand.v10(tmp_path / "i", image=b"i.raw", backing=b"j", features=1, size=512, tail=b"x")
    assert mended(mend(path)) == [("ACW-BMP-003", 4097, 1)]


@pytest.mark.parametrize(
    ("image", "stored"),
    [
        # Both sizes make a bitmap of one byte.
        (1024, 512),
        # The length of the image file is no size that may be stored.
        (513, 8192),
        # A bitmap of one byte fits neither size.
        (8192, 16384),
    ],
)
@pytest.mark.parametrize("revision", ["v4", "v6"])
def test_a_size_that_nothing_vouches_for_is_left(tmp_path, revision, image, stored):
    path = by_hand.old(tmp_path / "i", revision, size=512, stored=stored)
    os.truncate(tmp_path / "disk.raw", image)
    before = path.read_bytes()
    report = mend(path, revision=Revision(revision))
    assert "ACW-SIZ-006" in [finding.rule for finding in report.findings]
    assert (report.repairs, path.read_bytes()) == ((), before)


@pytest.mark.parametrize(
    ("length", "found"),
    [
        (2068 + 10240, [("ACW-SIZ-006", 2060, 8)]),
        # Padded to whole sectors: what fills the last of them may be bits.
        (12800, []),
    ],
)
def test_a_size_is_mended_in_a_file_of_the_exact_length(tmp_path, length, found):
    path = by_hand.old(tmp_path / "i", "v4", size=40 << 20, stored=512)
    os.truncate(path, length)
    assert mended(mend(path, revision=V4)) == found
    assert path.read_bytes()[2060:2068] == (40 << 20 if found else 512).to_bytes(8, "big")


def test_a_size_that_pads_to_the_length_is_left(tmp_path):
    """Exact for the length of the image file; and for the stored size, padded to whole sectors."""
    path = by_hand.old(
        tmp_path / "i", "v4", size=(12800 - 2068) * 8 * 512, stored=(12800 - 2068 - 9) * 8 * 512
    )
    assert path.stat().st_size == 12800
    report = mend(path, revision=V4)
    assert ([f.rule for f in report.findings], report.repairs) == (["ACW-SIZ-006"], ())


@pytest.mark.parametrize(
    ("make", "found", "new"),
    [
        (v10(features=3), ("ACW-FEA-001", 28, 8), bytes(8)),
        (v10(features=2), ("ACW-FEA-002", 28, 8), bytes(8)),
        (v10(features=0, base=b"base", backing=b"base"), ("ACW-FEA-001", 28, 8), b"\1" + bytes(7)),
        (v10((12, le32(100))), ("ACW-NAM-005", 12, 4), bytes(4)),
        (v10((16, le32(7))), ("ACW-NAM-004", 16, 4), bytes(4)),
    ],
)
def test_what_is_mended_and_where(tmp_path, make, found, new):
    path = make(tmp_path)
    before = path.read_bytes()
    assert mended(mend(path)) == [("ACW-BMP-003", 4099, 1), found]
    _, offset, length = found
    assert path.read_bytes() == before[:offset] + new + before[offset + length : -1] + b"\0"


def test_the_number_of_findings_shown_does_not_limit_a_repair(tmp_path):
    path = by_hand.v10(tmp_path / "i", bits=b"\0\4", tail=b"x")
    poke(path, (200, b"x"), (400, b"x"))
    wanted = [("ACW-BMP-002", 4097, 1), ("ACW-BMP-003", 4098, 1)]
    assert mended(mend(path, Repair.SAFE, dry_run=True, max_findings=1)) == wanted
    report = mend(path, Repair.SAFE, max_findings=1)
    assert mended(report) == wanted
    assert [finding.rule for finding in report.findings] == ["ACW-HDR-004"]


def test_short_writes_are_gone_on_with(tmp_path, monkeypatch):
    path = by_hand.v10(tmp_path / "i", tail=b"x" * 5000)
    real = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, data, offset: real(fd, data[:100], offset))
    report = mend(path, Repair.SAFE)
    assert (report.findings, path.read_bytes()[4096:]) == ((), bytes(5002))


def test_the_backup_holds_what_changed_and_is_private(tmp_path):
    """Three pages after the bitmap, the middle one zero already."""
    path = by_hand.v10(tmp_path / "i", tail=b"x" + bytes(12000) + b"y")
    report = mend(path, Repair.SAFE)
    lines = [json.loads(line) for line in (tmp_path / "i.repair-1.jsonl").read_text().splitlines()]
    assert [(line["offset"], len(line["old"]) // 2) for line in lines] == [(4098, 4096), (12290, 3810)]
    assert stat.S_IMODE(os.stat(report.backup).st_mode) == 0o600


def test_a_reader_that_holds_a_lock_stops_the_repair(tmp_path):
    path = by_hand.v10(tmp_path / "i", tail=b"x")
    before = path.read_bytes()
    with path.open("rb") as reader:
        fcntl.fcntl(reader, fcntl.F_OFD_SETLK, struct.pack("hhqqi", fcntl.F_RDLCK, os.SEEK_SET, 0, 0, 0))
        report = mend(path)
    assert report.problem
    assert path.read_bytes() == before


def test_a_sound_image_needs_no_lock(tmp_path):
    path = by_hand.v10(tmp_path / "i")
    with path.open("r+b") as writer:
        fcntl.fcntl(writer, fcntl.F_OFD_SETLK, struct.pack("hhqqi", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
        report = mend(path)
    assert (report.problem, report.repairs) == ("", ())


def test_a_backup_that_cannot_be_kept_leaves_all_as_it_was(tmp_path, monkeypatch):
    path = by_hand.v10(tmp_path / "i", tail=b"x")
    before = path.read_bytes()

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    report = mend(path)
    assert (report.verdict, path.read_bytes()) == ("unknown", before)
    assert sorted(os.listdir(tmp_path)) == ["disk.raw", "i"]


def test_a_dry_run_needs_no_lock_and_leaves_no_file(tmp_path):
    path = by_hand.v10(tmp_path / "i", tail=b"x")
    with path.open("r+b") as writer:
        fcntl.fcntl(writer, fcntl.F_OFD_SETLK, struct.pack("hhqqi", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
        report = mend(path, dry_run=True)
    assert (mended(report), report.backup) == ([("ACW-BMP-003", 4098, 1)], None)
    assert sorted(os.listdir(tmp_path)) == ["disk.raw", "i"]


def test_an_image_named_without_a_directory(tmp_path, monkeypatch):
    by_hand.v10(tmp_path / "i", tail=b"x")
    monkeypatch.chdir(tmp_path)
    report = repair_image(b"i", mode=Repair.SAFE)
    assert (report.problem, report.backup) == ("", b"i.repair-1.jsonl")


def test_an_image_that_cannot_be_opened_is_no_verdict(tmp_path):
    report = mend(tmp_path / "gone")
    assert (report.verdict, report.repairs) == ("unknown", ())
    assert os.listdir(tmp_path) == []
