"""Repairs: what they change, what they leave alone, and what survives when they are cut short."""

from __future__ import annotations

import fcntl
import json
import os
import struct
import subprocess
import sys

import pytest

from addcow_conformance.checker.repair import repair_image
from addcow_spec.rules import Repair
from tests.conformance import by_hand
from tests.conformance.by_hand import write_at
from tests.conformance.command import addcow_check, checked, rules


def restore(image, backup):
    """Put the bytes of a backup back, as the documentation says."""
    with image.open("r+b") as file:
        for line in backup.read_text().splitlines():
            piece = json.loads(line)
            file.seek(piece["offset"])
            file.write(bytes.fromhex(piece["old"]))


@pytest.fixture
def triple(tmp_path):
    (tmp_path / "base.raw").write_bytes(os.urandom(3 * by_hand.CLUSTER))
    return by_hand.v10(tmp_path / "i", backing=b"base.raw", bits=b"\x05\x02")


# How an image is broken, the mode that mends it, the rules broken and mended.
CASES = {
    "trailing bits": (lambda p: write_at(p, 4097, b"\xfe"), "safe", ["ACW-BMP-002"]),
    "tail": (lambda p: write_at(p, 4098 + 70000, b"x" * 9000), "safe", ["ACW-BMP-003"]),
    "both": (lambda p: write_at(p, 4097, b"\xfe" + b"y" * 5), "safe", ["ACW-BMP-002", "ACW-BMP-003"]),
    "flag lost": (lambda p: write_at(p, 28, bytes(8)), "all", ["ACW-FEA-001"]),
    "flag lost, no probe": (lambda p: write_at(p, 28, b"\x02"), "all", ["ACW-FEA-001", "ACW-FEA-002"]),
}


@pytest.mark.parametrize("case", CASES)
def test_check_repair_check_repair(triple, case):
    damage, mode, found = CASES[case]
    damage(triple)
    before = triple.read_bytes()
    siblings = {p.name: p.read_bytes() for p in triple.parent.iterdir() if p != triple}
    code, report = checked("--fail-on", "note", triple)
    assert (code, rules(report)) == (2, found)
    planned = checked("--repair", mode, "--dry-run", triple)[1]["repairs"]
    assert triple.read_bytes() == before
    code, report = checked("--fail-on", "note", "--repair", mode, triple)
    assert (code, rules(report)) == (0, [])
    assert report["repairs"] == planned != []
    backup = triple.parent / "i.repair-1.jsonl"
    assert report["backup"] == os.fspath(backup)
    mended = triple.read_bytes()
    assert mended[4096:4098] == b"\x05\x02"
    assert len(mended) == len(before)
    code, report = checked("--fail-on", "note", "--repair", mode, triple)
    assert (code, report["repairs"]) == (0, [])
    assert triple.read_bytes() == mended
    assert {p.name: p.read_bytes() for p in triple.parent.iterdir() if p not in {triple, backup}} == siblings
    restore(triple, backup)
    assert triple.read_bytes() == before


def test_safe_leaves_flags_alone(triple):
    write_at(triple, 28, bytes(8))
    before = triple.read_bytes()
    assert checked("--repair", "safe", triple)[1]["repairs"] == []
    assert triple.read_bytes() == before


def header(path, **fields):
    """Set fields of a v10 header."""
    offsets = {"backing_offset": ("<I", 12), "backing_size": ("<I", 16), "features": ("<Q", 28)}
    for name, value in fields.items():
        form, offset = offsets[name]
        write_at(path, offset, struct.pack(form, value))


@pytest.mark.parametrize(
    ("fields", "mended"),
    [
        ({"features": 1}, ["ACW-FEA-001"]),
        ({"features": 3}, ["ACW-FEA-001"]),
        ({"features": 2}, ["ACW-FEA-002"]),
        ({"backing_size": 7}, ["ACW-NAM-004"]),
        ({"backing_offset": 100}, ["ACW-NAM-005"]),
        ({"backing_offset": 100, "features": 1}, []),
        ({"backing_size": 7, "features": 1}, []),
        ({"features": 4}, []),
    ],
)
def test_all_mends_what_has_one_reading(tmp_path, fields, mended):
    path = by_hand.v10(tmp_path / "i")
    header(path, **fields)
    before = path.read_bytes()
    code, report = checked("--repair", "all", path)
    assert [repair["rule"] for repair in report["repairs"]] == mended
    assert code == (0 if mended else 2)
    if not mended:
        assert path.read_bytes() == before
        assert sorted(p.name for p in tmp_path.iterdir()) == ["disk.raw", "i"]


def test_traces_of_a_name_stop_the_repair(tmp_path):
    path = by_hand.v10(tmp_path / "i", features=1)
    write_at(path, 200, b"base.raw")
    code, report = checked("--repair", "all", path)
    assert (code, report["repairs"]) == (2, [])


def test_a_missing_backing_file_stops_the_repair(tmp_path):
    path = by_hand.v10(tmp_path / "i", backing=b"gone", features=0)
    code, report = checked("--repair", "all", path)
    assert (code, report["repairs"]) == (2, [])


@pytest.mark.parametrize("revision", ["v4", "v6"])
def test_size_is_mended_where_the_bitmap_agrees(tmp_path, revision):
    path = by_hand.old(tmp_path / "i", revision, size=40 << 20, stored=512)
    bits = path.read_bytes()[-9000:]
    code, report = checked("--revision", revision, "--repair", "all", path)
    assert (code, [r["rule"] for r in report["repairs"]]) == (0, ["ACW-SIZ-006"])
    assert path.read_bytes()[-9000:] == bits


def test_size_is_left_where_the_bitmap_does_not_agree(tmp_path):
    path = by_hand.old(tmp_path / "i", "v6", size=40 << 20, stored=512, tail=bytes(1024))
    code, report = checked("--revision", "v6", "--repair", "all", path)
    assert (code, report["repairs"]) == (2, [])


def test_bits_past_a_wrong_size_are_never_zeroed(tmp_path):
    path = by_hand.old(tmp_path / "i", "v6", size=40 << 20, stored=512, bits=b"\xff" * 100, tail=bytes(1024))
    before = path.read_bytes()
    checked("--revision", "v6", "--repair", "safe", path)
    assert path.read_bytes() == before


def test_a_v6_file_cut_short_keeps_its_bits(tmp_path):
    # Cut to a length that is neither v4's nor v6's it is complete as v4, where its bits would be a tail.
    path = by_hand.old(tmp_path / "i", "v6", bits=b"\xff" * 1024)
    os.truncate(path, 3400)
    before = path.read_bytes()
    code, report = checked("--repair", "all", path)
    assert (report["revision"], rules(report)) == ("v4", ["ACW-HDR-005", "ACW-BMP-003"])
    assert (code, report["repairs"], path.read_bytes()) == (0, [], before)


@pytest.mark.parametrize("revision", ["v4", "v6"])
def test_what_lies_past_both_bitmaps_is_zeroed(tmp_path, revision):
    # 700 bytes more leave a length that is neither v4's nor v6's; v6 is taken, whose bitmap ends at 3584.
    path = by_hand.old(tmp_path / "i", revision, tail=b"x" * 700)
    before = path.read_bytes()
    report = checked("--repair", "safe", path)[1]
    assert [repair["rule"] for repair in report["repairs"]] == ["ACW-BMP-003"]
    assert path.read_bytes() == before[:3584].ljust(len(before), b"\0")


def test_a_size_that_fits_another_revision_is_left(tmp_path):
    # 4 MiB of disk: 3,584 bytes fit v4 and v6, and the size at hand fits neither.
    path = by_hand.old(tmp_path / "i", "v6", stored=1 << 20)
    assert checked("--repair", "all", path)[1]["repairs"] == []
    assert checked("--revision", "v6", "--repair", "all", path)[1]["repairs"] != []


def test_a_mended_size_and_its_trailing_bits_take_one_run(tmp_path):
    # Twelve sectors have two bytes of bitmap; the size says one sector, and four bits are set past the last.
    path = by_hand.old(tmp_path / "i", "v4", size=512 * 12, stored=512, bits=b"\x01\xf0")
    planned = checked("--revision", "v4", "--repair", "all", "--dry-run", path)[1]["repairs"]
    code, report = checked("--revision", "v4", "--repair", "all", path)
    assert [r["rule"] for r in report["repairs"]] == ["ACW-SIZ-006", "ACW-BMP-002"]
    assert planned == report["repairs"]
    assert (code, path.read_bytes()[2068:]) == (0, b"\x01\x00")


def test_a_locked_image_is_left_alone(triple):
    write_at(triple, 4097, b"\xfe")
    before = triple.read_bytes()
    with triple.open("r+b") as holder:
        lock = struct.pack("hhqqi", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        fcntl.fcntl(holder, fcntl.F_OFD_SETLK, lock)
        result = addcow_check("--repair", "safe", triple)
    assert result.returncode == 1
    assert triple.read_bytes() == before


def test_an_image_that_names_itself_is_left_alone(tmp_path):
    path = by_hand.v10(tmp_path / "i", image=b"i", tail=b"\0" * 70000 + b"x")
    before = path.read_bytes()
    code, report = checked("--repair", "all", path)
    assert (code, report["repairs"], path.read_bytes()) == (2, [], before)


def test_no_profile_makes_an_image_that_names_itself_safe(tmp_path):
    path = by_hand.v10(tmp_path / "i", image=b"i", tail=b"\0" * 70000 + b"x")
    before = path.read_bytes()
    report = checked("--profile", "as-written", "--repair", "all", path)[1]
    assert (report["repairs"], path.read_bytes()) == ([], before)


KILLED_AT = """
import os, sys
from addcow_conformance.checker import repair
from addcow_conformance.cli_check import main
left = int(sys.argv.pop(1))
real = os.pwrite
def cut(fd, data, offset):
    global left
    if left == 0:
        os._exit(9)
    left -= 1
    return real(fd, data[: max(1, len(data) // 2)] if left == 0 else data, offset)
repair.os.pwrite = cut
sys.argv[0] = "addcow-check"
main()
"""


@pytest.mark.parametrize("writes", range(1, 5))
def test_a_repair_cut_short_is_finished_by_the_next(triple, writes):
    write_at(triple, 4097, b"\xfe")
    write_at(triple, 4098 + 10000, b"x" * 9000)
    before = triple.read_bytes()
    done = subprocess.run(
        [sys.executable, "-c", KILLED_AT, str(writes), "--repair", "safe", os.fspath(triple)], check=False
    )
    assert done.returncode == 9
    first = triple.parent / "i.repair-1.jsonl"
    code, report = checked("--fail-on", "note", "--repair", "safe", triple)
    assert (code, rules(report)) == (0, [])
    assert triple.read_bytes()[4096:4098] == b"\x05\x02"
    restore(triple, first)
    assert triple.read_bytes() == before


def test_a_backup_is_never_overwritten(triple):
    (triple.parent / "i.repair-1.jsonl").write_text("mine")
    write_at(triple, 4097, b"\xfe")
    report = checked("--repair", "safe", triple)[1]
    assert report["backup"].endswith("i.repair-2.jsonl")
    assert (triple.parent / "i.repair-1.jsonl").read_text() == "mine"


def test_a_backup_is_on_disk_before_the_first_change(triple, monkeypatch):
    write_at(triple, 4097, b"\xfe")
    events = []
    real_write, real_sync = os.pwrite, os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: (events.append("sync"), real_sync(fd))[1])
    monkeypatch.setattr(os, "pwrite", lambda *a: (events.append("write"), real_write(*a))[1])
    repair_image(os.fsencode(triple), mode=Repair.SAFE)
    assert events == ["sync", "sync", "write", "sync"]
