"""Attacks that once succeeded, and accidents that once went wrong. Each failed before it was mended."""

from __future__ import annotations

import json
import os
import resource
import signal
import struct
import subprocess
import sys
import time

import pytest

from addcow_conformance.checker import Verdict, check_image
from addcow_conformance.checker._files import OpenFile
from addcow_conformance.checker.repair import repair_image
from addcow_spec.rules import Repair
from tests.conformance import by_hand
from tests.conformance.by_hand import write_at
from tests.conformance.command import addcow_check, checked, rules

COMMAND = [sys.executable, "-m", "addcow_conformance.cli_check"]


class TestRepairsKeepTheGuestsData:
    def test_v6_with_a_stray_reserved_byte_is_left(self, tmp_path):
        path = by_hand.old(tmp_path / "i", "v6", size=7 * 512, bits=b"\x7f")
        write_at(path, 2300, b"!")
        before = path.read_bytes()
        report = checked("--repair", "all", path)[1]
        assert (report["revision"], report["repairs"], path.read_bytes()) == ("v4", [], before)
        assert "ACW-HDR-005" in rules(report)

    @pytest.mark.parametrize("size", [4 << 20, 8193 * 512])
    def test_v6_with_a_stray_reserved_byte_whose_length_fits_both_is_left(self, tmp_path, size):
        path = by_hand.old(tmp_path / "i", "v6", size=size, bits=b"\xff" * 1024)
        write_at(path, 2300, b"!")
        before = path.read_bytes()
        assert checked("--repair", "all", path)[1]["repairs"] == []
        assert path.read_bytes() == before

    def test_v6_that_lost_its_last_byte_is_left(self, tmp_path):
        path = by_hand.old(tmp_path / "i", "v6", size=8193 * 512, bits=b"\xff" * 1024 + b"\x01")
        os.truncate(path, 3584)
        before = path.read_bytes()
        report = checked("--repair", "all", path)[1]
        assert (report["repairs"], path.read_bytes()) == ([], before)
        assert "ACW-HDR-005" in rules(report)

    @pytest.mark.parametrize("stated", [[], ["--revision", "v6"]])
    def test_a_truncated_pair_keeps_its_bits(self, tmp_path, stated):
        # Both files were cut; the bytes that would pad the bitmap of the shorter disk are bits.
        path = by_hand.old(tmp_path / "i", "v6", size=4799 * 512, bits=b"\xff" * 600)
        os.truncate(path, 3072)
        os.truncate(tmp_path / "disk.raw", 1228800)
        before = path.read_bytes()
        assert checked(*stated, "--repair", "all", path)[1]["repairs"] == []
        assert path.read_bytes() == before

    def test_a_field_in_a_hole_is_mended(self, tmp_path, monkeypatch):
        # File systems with small blocks may keep a part of the header that is zero as a hole.
        (tmp_path / "base").write_bytes(bytes(512))
        path = by_hand.v10(tmp_path / "i", backing=b"base", features=0)
        real = OpenFile.next_data
        monkeypatch.setattr(OpenFile, "next_data", lambda self, o, e: e if e <= 4096 else real(self, o, e))
        report = repair_image(os.fsencode(path), mode=Repair.ALL)
        assert (report.verdict, [r.rule for r in report.repairs]) == (Verdict.VALID, ["ACW-FEA-001"])
        assert path.read_bytes()[28] == 1

    def test_an_exact_v4_file_is_mended(self, tmp_path):
        path = by_hand.old(tmp_path / "i", "v4", size=9 * 512, bits=b"\x01\xff")
        assert [r["rule"] for r in checked("--repair", "safe", path)[1]["repairs"]] == ["ACW-BMP-002"]
        assert path.read_bytes()[2068:] == b"\x01\x01"

    def test_a_lower_layer_may_keep_its_data_in_the_top_file(self, tmp_path):
        low = by_hand.v10(tmp_path / "low", image=b"top")
        top = by_hand.v10(
            tmp_path / "top", backing=low.name.encode(), features=1, tail=bytes(9000) + b"x" * 9000
        )
        before = top.read_bytes()
        code, report = checked("--repair", "safe", top)
        assert (code, report["repairs"], top.read_bytes()) == (2, [], before)

    def test_a_profile_without_a_finding_mends_nothing(self, tmp_path):
        path = by_hand.v10(tmp_path / "i")
        write_at(path, 16, struct.pack("<I", 8))
        before = path.read_bytes()
        assert checked("--profile", "as-written", "--repair", "all", path)[1]["repairs"] == []
        assert path.read_bytes() == before

    def test_a_sound_file_need_not_be_writable(self, tmp_path):
        path = by_hand.v10(tmp_path / "i")
        with path.open("r+b") as holder:
            import fcntl  # noqa: PLC0415 - needed here only

            lock = struct.pack("hhqqi", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
            fcntl.fcntl(holder, fcntl.F_OFD_SETLK, lock)
            assert checked("--repair", "safe", path)[0] == 0

    def test_a_backup_that_does_not_fit_leaves_nothing(self, tmp_path):
        path = by_hand.v10(tmp_path / "i", tail=b"x" * 100_000)
        before = path.read_bytes()

        def limit():
            # A write past the limit fails as one on a full disk does; the signal would end the process.
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (16384, 16384))

        command = [*COMMAND, "--repair", "safe", path]
        done = subprocess.run(command, capture_output=True, preexec_fn=limit, check=False)
        assert done.returncode == 1
        assert path.read_bytes() == before
        assert sorted(p.name for p in tmp_path.iterdir()) == ["disk.raw", "i"]

    def test_quiet_tells_of_a_repair(self, tmp_path):
        path = by_hand.v10(tmp_path / "i", bits=b"\0\x80")
        assert "i.repair-1.jsonl" in addcow_check("-q", "--repair", "safe", path).stdout


class TestOutput:
    def test_a_log_is_appended_to(self, tmp_path):
        path = by_hand.v10(tmp_path / "i")
        log = tmp_path / "log"
        log.write_text("precious\n")
        with log.open("a") as output:
            subprocess.run([*COMMAND, "-o", "/dev/stdout", path], stdout=output, check=True)
        assert log.read_text().startswith("precious\nvalid: ")

    @pytest.mark.parametrize("target", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
    def test_a_pipe_is_written_to(self, tmp_path, target):
        path = by_hand.v10(tmp_path / "i")
        done = subprocess.run([*COMMAND, "-o", target, path], stdout=subprocess.PIPE, text=True, check=True)
        assert done.stdout.startswith("valid: ")

    def test_nothing_is_mended_before_the_target_is_refused(self, tmp_path):
        first = by_hand.v10(tmp_path / "1", bits=b"\0\x80")
        second = by_hand.v10(tmp_path / "2", bits=b"\0\x80")
        before = first.read_bytes()
        result = addcow_check("--repair", "safe", "-o", second, first, second)
        assert (result.returncode, first.read_bytes(), second.read_bytes()) == (64, before, before)

    def test_a_backup_is_not_replaced_by_a_report(self, tmp_path):
        path = by_hand.v10(tmp_path / "i", bits=b"\0\x80")
        backup = tmp_path / "i.repair-1.jsonl"
        assert addcow_check("--repair", "safe", "-o", backup, path).returncode == 64
        assert json.loads(backup.read_text()) == {"offset": 4097, "old": "80"}

    @pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
    def test_closed_streams(self, tmp_path, closed):
        path = by_hand.v10(tmp_path / "i")
        before = path.read_bytes()
        command = f"'{sys.executable}' -m addcow_conformance.cli_check -o '{tmp_path}/r' '{path}' {closed}"
        assert subprocess.run(["sh", "-c", command], check=False).returncode == 0
        assert (tmp_path / "r").read_text().startswith("valid: ")
        assert path.read_bytes() == before

    @pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-16"])
    def test_formats_for_programs_are_utf_8(self, tmp_path, encoding):
        (tmp_path / "é").mkdir()
        path = by_hand.v10(tmp_path / "é" / "i")
        for output in ("json", "junit"):
            done = subprocess.run(
                [*COMMAND, "--output", output, path],
                capture_output=True,
                env=os.environ | {"PYTHONIOENCODING": encoding},
                check=True,
            )
            assert "é" in done.stdout.decode() or "\\u00e9" in done.stdout.decode()

    def test_leaks_do_not_depend_on_what_is_listed(self, tmp_path):
        path = by_hand.v10(tmp_path / "i", features=0xF0, bits=b"\0\x80", tail=b"x")
        assert checked("--max-findings", "1", path)[1]["leaks"] == 1


class TestChains:
    def test_many_header_extensions_are_refused(self, tmp_path):
        base = by_hand.qcow2(tmp_path / "base")
        entries = b"".join(struct.pack(">II", 0x10000 + n, 0) for n in range(200_000))
        data = bytearray(base.read_bytes())
        data[20:24] = struct.pack(">I", 21)
        data[104:] = b""
        base.write_bytes(bytes(data) + entries)
        path = by_hand.v10(tmp_path / "i", backing=b"base", features=1)
        assert rules(checked(path)[1]) == ["ACW-CHN-003", "ACW-QC2-007"]

    def test_no_file_is_entered_twice(self, tmp_path):
        by_hand.qcow2(tmp_path / "x", backing=b"x")
        path = by_hand.v10(tmp_path / "i", image=b"x", backing=b"x", features=1)
        report = checked(path)[1]
        assert len(report["chain"]) == 4
        assert sorted(rules(report)) == ["ACW-CHN-001", "ACW-CHN-002", "ACW-CHN-003"]

    def test_running_out_of_descriptors_is_no_verdict(self, tmp_path):
        for n in range(60):
            by_hand.v10(tmp_path / f"{n}", backing=f"{n + 1}".encode(), features=1)
        by_hand.v10(tmp_path / "60")

        def limit():
            resource.setrlimit(resource.RLIMIT_NOFILE, (32, 32))

        command = [*COMMAND, "--output", "json", tmp_path / "0"]
        done = subprocess.run(command, capture_output=True, text=True, preexec_fn=limit, check=False)
        report = json.loads(done.stdout)
        assert (done.returncode, report["verdict"]) == (1, "unknown")

    def test_a_raw_backing_file_makes_no_cycle(self, tmp_path):
        top = tmp_path / "top"
        base = by_hand.qcow2(tmp_path / "base", backing=b"top")
        extension = struct.pack(">II", 0xE2792ACA, 3) + b"raw".ljust(8, b"\0")
        write_at(base, 104, extension + bytes(64))
        by_hand.v10(top, backing=b"base", features=1)
        assert "ACW-CHN-002" not in rules(checked(top)[1])
        assert "ACW-CHN-001" in rules(checked(top)[1])

    def test_a_qcow2_name_that_starts_with_nul_is_none(self, tmp_path):
        by_hand.qcow2(tmp_path / "base", backing=b"\0base")
        path = by_hand.v10(tmp_path / "i", backing=b"base", features=1)
        assert rules(checked(path, cwd=tmp_path)[1]) == ["ACW-CHN-003", "ACW-QC2-010"]

    def test_a_path_that_changes_under_confine_is_outside(self, tmp_path, monkeypatch):
        from addcow_conformance.checker import CheckOptions  # noqa: PLC0415 - needed here only

        path = by_hand.v10(tmp_path / "i", image=b"absent")

        def fail(name, **_):
            raise OSError(22, "Invalid argument", name)

        confine = os.fsencode(tmp_path)
        real = os.path.realpath
        monkeypatch.setattr(os.path, "realpath", lambda p, **_: real(p) if p == confine else fail(p))
        report = check_image(os.fsencode(path), CheckOptions(confine=confine))
        assert ([f.rule for f in report.findings], report.verdict) == (["ACW-ENV-004"], Verdict.INVALID)


class TestPools:
    def test_a_tree_deeper_than_the_stack(self, tmp_path):
        by_hand.v10(tmp_path / "a")
        place = os.getcwd()
        try:
            os.chdir(tmp_path)
            for _ in range(1500):
                os.mkdir("d")
                os.chdir("d")
            by_hand.v10(type(tmp_path)("deep"))
        finally:
            os.chdir(place)
        done = addcow_check("-r", "--output", "jsonl", tmp_path)
        verdicts = [json.loads(line)["verdict"] for line in done.stdout.splitlines()]
        assert verdicts == ["valid", "valid"]
        subprocess.run(["rm", "-rf", tmp_path / "d"], check=True)

    @pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
    def test_a_pool_ends_with_its_parent(self, tmp_path, number, status):
        images = [os.fspath(by_hand.v10(tmp_path / "i"))] * 60_000
        listing = tmp_path / "images"
        listing.write_text("\n".join(images))
        code = (
            "import sys; from addcow_conformance.cli_check import main;"
            "images = open(sys.argv[1]).read().split();"
            "sys.argv = ['addcow-check', '--jobs', '2', '--output', 'jsonl', *images];"
            "main()"
        )
        command = [sys.executable, "-c", code, listing]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
        ) as process:
            process.stdout.readline()
            os.killpg(process.pid, number) if number == signal.SIGINT else process.send_signal(number)
            _, said = process.communicate(timeout=60)
            assert process.returncode == status
            assert b"Traceback" not in said
        # The group is empty once the last worker is gone.
        for _ in range(100):
            try:
                os.killpg(process.pid, 0)
            except ProcessLookupError:
                break
            time.sleep(0.05)
        else:
            pytest.fail("a worker is left")
