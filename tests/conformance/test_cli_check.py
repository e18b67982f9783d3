from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from tests.conformance import by_hand
from tests.conformance.command import addcow_check, checked, rules
from tests.terminal import shell_on_terminal


@pytest.fixture
def good(tmp_path: Path) -> Path:
    (tmp_path / "base.raw").write_bytes(b"base" * 512)
    return by_hand.v10(tmp_path / "good.add-cow", backing=b"base.raw", bits=b"\x05")


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    return by_hand.v10(tmp_path / "bad.add-cow", features=1)


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    path = tmp_path / "foreign"
    path.write_bytes(b"QFI\xfb" * 4096)
    return path


@pytest.mark.parametrize(
    ("make", "status", "verdict", "found"),
    [
        (by_hand.v10, 0, "valid", []),
        (lambda p: by_hand.old(p, "v4", size=8 << 20), 0, "valid", []),
        (lambda p: by_hand.old(p, "v6", size=8 << 20), 0, "valid", ["ACW-HDR-005"]),
        (lambda p: by_hand.old(p, "v6", size=(8 << 20) + 4096), 0, "valid", []),
        (lambda p: by_hand.v10(p, features=4), 2, "invalid", ["ACW-FEA-003"]),
        (lambda p: by_hand.v10(p, tail=b"\0x"), 0, "acceptable", ["ACW-BMP-003"]),
        (lambda p: by_hand.v10(p, bits=b"\xff\x03"), 0, "valid", ["ACW-BMP-004"]),
        (lambda p: by_hand.v10(p, bits=b"\0\x04"), 2, "invalid", ["ACW-BMP-002"]),
        (lambda p: by_hand.old(p, "v6", stored=512), 2, "invalid", ["ACW-HDR-005", "ACW-SIZ-006"]),
    ],
)
def test_images_made_by_hand(tmp_path, make, status, verdict, found):
    code, report = checked(make(tmp_path / "i.add-cow"))
    assert (code, report["verdict"], rules(report)) == (status, verdict, found)


def test_v6_of_eight_mebibytes_fits_v4_padded(tmp_path):
    # 2068 + 2048 = 4116 rounds up to 4608 = 2560 + 2048.
    code, report = checked(by_hand.old(tmp_path / "i", "v6", size=8 << 20), "--revision", "v6")
    assert (code, report["revision"], rules(report)) == (0, "v6", [])


@pytest.mark.parametrize(
    ("content", "status", "found"),
    [
        (b"", 63, ["ACW-HDR-001"]),
        (b"ADD_COW", 63, ["ACW-HDR-001"]),
        (b"ADD_COW\xfe" + bytes(5000), 63, ["ACW-HDR-001"]),
        (b"ADD_COW\xff", 2, ["ACW-HDR-003"]),
        (b"ADD_COW\xff\x01\0\0", 2, ["ACW-HDR-003"]),
        (b"ADD_COW\xff\x01\0\0\0" + bytes(4083), 2, ["ACW-HDR-003"]),
        (b"ADD_COW\xff\0\0\0\x01" + bytes(2055), 2, ["ACW-HDR-003"]),
        (b"ADD_COW\xff\x02\0\0\0" + bytes(5000), 2, ["ACW-HDR-002"]),
        (b"ADD_COW\xff\0\0\0\x02", 2, ["ACW-HDR-002"]),
    ],
)
def test_headers_that_end_or_differ(tmp_path, content, status, found):
    path = tmp_path / "i"
    path.write_bytes(content)
    code, report = checked(path)
    assert (code, rules(report)) == (status, found)
    assert all(finding["offset"] is not None for finding in report["findings"])


def test_a_foreign_file_is_not_called_add_cow(foreign):
    code, report = checked(foreign)
    assert (code, report["format"], report["verdict"]) == (63, "other", "not-add-cow")


def test_unknown_version_is_named(tmp_path):
    (tmp_path / "i").write_bytes(b"ADD_COW\xff" + (77).to_bytes(4, "little") + bytes(5000))
    _, report = checked(tmp_path / "i")
    assert report["findings"][0]["actual"] == "77"


@pytest.mark.parametrize(
    ("names", "status"),
    [
        (["good"], 0),
        (["bad"], 2),
        (["foreign"], 63),
        (["absent"], 1),
        (["good", "foreign"], 63),
        (["foreign", "bad"], 2),
        (["bad", "absent", "foreign"], 1),
    ],
)
def test_the_worst_of_several_counts(good, bad, foreign, tmp_path, names, status):
    paths = {"good": good, "bad": bad, "foreign": foreign, "absent": tmp_path / "absent"}
    assert addcow_check(*[paths[name] for name in names]).returncode == status


@pytest.mark.parametrize(("level", "status"), [("error", 0), ("warning", 2), ("note", 2)])
def test_fail_on_a_warning(tmp_path, level, status):
    path = by_hand.v10(tmp_path / "i", tail=b"x")
    assert addcow_check("--fail-on", level, path).returncode == status


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--nope", "x"],
        ["--revision", "v5", "x"],
        ["--jobs", "-1", "x"],
        ["--max-findings", "0", "x"],
        ["--confine", "/nonexistent", "x"],
        ["--dry-run", "x"],
        ["--explain", "ACW-NIL-999"],
        ["--repair", "none", "x"],
        ["--list-rules", "--output", "html"],
    ],
)
def test_wrong_usage_is_64_in_one_line(arguments):
    result = addcow_check(*arguments)
    assert result.returncode == 64
    assert result.stdout == ""
    assert result.stderr.startswith("addcow-check: ")
    assert result.stderr.count("\n") == 1


def test_directory_needs_recursive(good):
    result = addcow_check(good.parent)
    assert result.returncode == 1


@pytest.mark.usefixtures("bad", "foreign")
def test_recursive_checks_every_image_below(good, tmp_path):
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    by_hand.v10(below / "deep.add-cow")
    os.mkfifo(below / "fifo")
    (below / "link").symlink_to(good)
    (below / "loop").symlink_to(tmp_path)
    result = addcow_check("-r", "--output", "jsonl", tmp_path)
    names = [Path(json.loads(line)["filename"]).name for line in result.stdout.splitlines()]
    assert names == ["bad.add-cow", "good.add-cow", "deep.add-cow"]
    assert result.returncode == 2


def test_recursive_without_an_image_is_63(tmp_path):
    result = addcow_check("-r", tmp_path)
    assert (result.returncode, result.stdout.splitlines()[:1]) == (63, ["images checked: 0"])


@pytest.mark.parametrize("jobs", ["0", "2"])
def test_jobs_keep_the_order(tmp_path, jobs):
    paths = [by_hand.v10(tmp_path / f"{n:03}", features=n % 2 * 4) for n in range(40)]
    alone = addcow_check("--output", "jsonl", *paths)
    together = addcow_check("--output", "jsonl", "--jobs", jobs, *paths)
    assert (together.stdout, together.returncode) == (alone.stdout, alone.returncode)
    assert together.stdout.count("\n") == 40


def test_json_validates_against_the_printed_schema(good, bad, foreign, tmp_path):
    validator = Draft202012Validator(json.loads(addcow_check("--schema").stdout))
    for arguments in ([good], [bad], [foreign], [tmp_path / "absent"], [good, bad], ["-r", tmp_path]):
        document = json.loads(addcow_check("--output", "json", *arguments).stdout)
        validator.validate(document)
        assert isinstance(document, list) == (len(arguments) > 1)


def test_max_findings_counts_the_rest(tmp_path):
    path = by_hand.v10(tmp_path / "i", features=0xF0, bits=b"\0\xff", tail=b"x")
    _, whole = checked(path)
    code, part = checked(path, "--max-findings", "1")
    assert code == 2
    assert len(part["findings"]) == 1
    assert part["findings"][0]["level"] == "error"
    assert part["corruptions"] == whole["corruptions"] == 2


def test_quiet_says_nothing_of_sound_images(good, bad):
    assert addcow_check("-q", good, good).stdout == ""
    quiet = addcow_check("-q", good, bad)
    assert "bad.add-cow" in quiet.stdout
    assert "good.add-cow" not in quiet.stdout


def test_output_file_is_written_whole(good, tmp_path):
    target = tmp_path / "report.json"
    target.write_text("old")
    target.chmod(0o640)
    result = addcow_check("--output", "json", "-o", target, good)
    assert (result.returncode, result.stdout) == (0, "")
    assert json.loads(target.read_text())["verdict"] == "valid"
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "base.raw",
        "disk.raw",
        "good.add-cow",
        "report.json",
    ]


@pytest.mark.parametrize("victim", ["good.add-cow", "disk.raw", "base.raw"])
def test_output_never_replaces_a_file_of_the_image(good, victim, tmp_path):
    before = (tmp_path / victim).read_bytes()
    result = addcow_check("-o", tmp_path / victim, good)
    assert result.returncode == 64
    assert (tmp_path / victim).read_bytes() == before


def test_output_into_a_missing_directory_is_one_line(good, tmp_path):
    result = addcow_check("-o", tmp_path / "no" / "report", good)
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1


def test_a_reader_that_leaves_is_no_traceback(good):
    command = [sys.executable, "-m", "addcow_conformance.cli_check", *[str(good)] * 2000]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.stderr.read() == b""


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shell_completion(shell):
    source = addcow_check(_ADDCOW_CHECK_COMPLETE=f"{shell}_source", cwd=Path("/"))
    assert source.returncode == 0
    assert "_ADDCOW_CHECK_COMPLETE" in source.stdout.upper()


def test_completion_knows_the_rules():
    result = addcow_check(
        _ADDCOW_CHECK_COMPLETE="bash_complete",
        COMP_WORDS="addcow-check --explain ACW-BMP-00",
        COMP_CWORD="2",
    )
    assert result.stdout.splitlines() == [f"plain,ACW-BMP-00{n}" for n in range(1, 5)]


def test_help_and_version():
    help_text = addcow_check("--help").stdout
    for word in ("--repair", "--confine", "Examples:", "Exit status:", "63"):
        assert word in help_text
    assert addcow_check("--version").stdout.startswith("addcow-check, version ")


def test_list_and_explain_cover_the_catalogue():
    listed = json.loads(addcow_check("--list-rules", "--output", "json").stdout)
    lines = addcow_check("--list-rules").stdout.splitlines()
    assert [line.split()[0] for line in lines[1:]] == [rule["id"] for rule in listed]
    assert addcow_check("--explain", "acw-bmp-002").stdout.startswith("ACW-BMP-002")


def on_terminal(*arguments: str, **environment: str) -> bytes:
    """What the command shows on a terminal of its own."""
    return shell_on_terminal(["-m", "addcow_conformance.cli_check", *arguments], **environment)


def test_colour_on_a_terminal_only(good):
    assert b"\x1b[" in on_terminal(str(good))
    assert b"\x1b[" not in on_terminal(str(good), NO_COLOR="1")
    assert "\x1b[" not in addcow_check(good).stdout
    assert "\x1b[" in addcow_check("--color", "always", good).stdout
    assert b"\x1b[" not in on_terminal("--color", "never", str(good))


PATCHED = """
import os, sys
from addcow_conformance import _batch, _terminal
from addcow_conformance.cli_check import main
{patch}
sys.argv[0] = "addcow-check"
main()
"""


def test_a_bar_on_a_terminal_for_long_work(tmp_path):
    path = by_hand.old(tmp_path / "i", "v6", size=1 << 34, bits=b"\xff" * (1 << 22))
    code = PATCHED.format(patch="_terminal._PATIENCE = 0")
    shown = shell_on_terminal(["-c", code, os.fspath(path)])
    assert b"reading the bitmap" in shown
    assert b"100%" in shown
    assert b"reading" not in shell_on_terminal(["-c", code, "-q", os.fspath(path)])
    result = subprocess.run([sys.executable, "-c", code, path], capture_output=True, check=True)
    assert result.stderr == b""


def test_a_worker_that_dies_is_no_verdict(good):
    code = PATCHED.format(patch="_batch.check_image = lambda *a, **k: os._exit(7)")
    command = [sys.executable, "-c", code, "--jobs", "2", "--output", "jsonl", good, good, good]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 1
    assert [json.loads(line)["verdict"] for line in result.stdout.splitlines()] == ["unknown"] * 3
    assert "Traceback" not in result.stderr
