"""Bad input of any kind: a clear answer, nothing hung on, followed or written."""

from __future__ import annotations

import hashlib
import os
import resource
import socket
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from addcow_conformance.checker import CheckOptions, Verdict, check_image
from addcow_conformance.checker._files import OpenFile
from addcow_conformance.report import FORMATS, render
from tests.conformance import by_hand
from tests.conformance.command import addcow_check, checked, rules

MAGIC = b"ADD_COW\xff"


def snapshot(directory):
    """Names, contents and times of all regular files below a directory."""
    found = {}
    for parent, _, names in os.walk(directory):
        for name in names:
            path = os.path.join(parent, name)
            status = os.lstat(path)
            digest = ""
            if os.path.isfile(path) and status.st_size < 1 << 20:
                with open(path, "rb") as file:
                    digest = hashlib.sha256(file.read()).hexdigest()
            found[path] = (digest, status.st_mtime_ns, status.st_ctime_ns, status.st_size)
    return found


def make_special(directory, kind):
    """A path of a file that is not to be opened."""
    path = directory / "special"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "directory":
        path.mkdir()
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(os.fspath(path))
    elif kind == "link to fifo":
        os.mkfifo(directory / "pipe")
        path.symlink_to("pipe")
    elif kind == "link loop":
        path.symlink_to("special")
    elif kind == "dangling link":
        path.symlink_to("nowhere")
    else:
        return os.fsencode(kind)
    return b"special"


IRREGULAR = [
    "fifo",
    "directory",
    "socket",
    "link to fifo",
    "/dev/zero",
    "/dev/tty",
    "/proc/self/mem",
    "/proc/kmsg",
]
ABSENT = ["link loop", "dangling link", "x" * 300, "a/" * 3000, "/proc/self/fd/77777"]


@pytest.mark.parametrize("kind", [*IRREGULAR, *ABSENT, "/sys/kernel/mm/transparent_hugepage/enabled"])
def test_image_argument_that_is_no_file(tmp_path, kind):
    result = addcow_check(make_special(tmp_path, kind), cwd=tmp_path)
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    assert "unknown" in result.stdout


@pytest.mark.parametrize("role", ["image", "backing"])
@pytest.mark.parametrize("kind", [*IRREGULAR, *ABSENT])
def test_name_that_leads_to_no_file(tmp_path, kind, role):
    name = make_special(tmp_path, kind)
    # A name of 6,000 bytes does not fit; the others do.
    path = by_hand.v10(tmp_path / "i", **{role: name[:4000]})
    before = snapshot(tmp_path)
    code, report = checked(path)
    absent = {"image": "ACW-ENV-001", "backing": "ACW-ENV-002"}[role]
    assert (code, rules(report)) == (2, ["ACW-ENV-003" if kind in IRREGULAR else absent])
    assert report["findings"][0]["offset"] == 36
    assert snapshot(tmp_path) == before


def test_no_protocol_is_followed(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        port = server.getsockname()[1]
        path = by_hand.v10(tmp_path / "i", backing=f"http://127.0.0.1:{port}/base".encode(), features=1)
        code, report = checked(path)
        with pytest.raises(TimeoutError):
            server.accept()
    assert (code, rules(report)) == (0, ["ACW-NAM-011"])


def test_image_by_protocol_leaves_the_check_incomplete(tmp_path):
    code, report = checked(by_hand.v10(tmp_path / "i", image=b"nbd:localhost:1"))
    assert (code, report["verdict"], rules(report)) == (1, "unknown", ["ACW-NAM-011"])


@pytest.mark.parametrize(
    ("name", "found"),
    [
        (b"disk.raw", []),
        (b"sub/../disk.raw", []),
        (b"../outside.raw", ["ACW-ENV-004"]),
        (b"../absent.raw", ["ACW-ENV-004"]),
        (b"/etc/passwd", ["ACW-ENV-004"]),
        (b"/absent/passwd", ["ACW-ENV-004"]),
        (b"link", ["ACW-ENV-004"]),
        (b"sub/up/disk.raw", []),
        (b"sub/out/outside.raw", ["ACW-ENV-004"]),
        (b"absent.raw", ["ACW-ENV-001"]),
    ],
)
def test_confine(tmp_path, name, found):
    (tmp_path / "outside.raw").write_bytes(bytes(512))
    inside = tmp_path / "in"
    (inside / "sub").mkdir(parents=True)
    (inside / "link").symlink_to("../outside.raw")
    (inside / "sub" / "up").symlink_to("..")
    (inside / "sub" / "out").symlink_to("../..")
    by_hand.v10(inside / "other")
    path = by_hand.v10(inside / "i", image=name)
    _, report = checked("--confine", inside, path, cwd=tmp_path)
    assert rules(report) == found


def test_confine_opens_nothing_outside(tmp_path):
    opened = []

    def hook(event, arguments):
        if event == "open" and recording and not arguments[2] & os.O_PATH:
            opened.append(os.fsencode(arguments[0]) if isinstance(arguments[0], str | bytes) else b"")

    recording = False
    sys.addaudithook(hook)
    inside = tmp_path / "in"
    inside.mkdir()
    (tmp_path / "outside.raw").write_bytes(bytes(512))
    path = by_hand.v10(inside / "i", image=b"../outside.raw", backing=b"disk.raw", features=3)
    (inside / "disk.raw").unlink()
    (inside / "disk.raw").write_bytes(bytes(512))
    recording = True
    report = check_image(os.fsencode(path), CheckOptions(confine=os.fsencode(inside)))
    recording = False
    assert [f.rule for f in report.findings] == ["ACW-ENV-004"]
    # Each file is opened once, through its pin: the add-cow file and the backing file.
    assert len([name for name in opened if name.startswith(b"/proc/self/fd/")]) == 2
    assert not [name for name in opened if name.startswith(os.fsencode(tmp_path))]


def test_sizes_without_end_take_no_memory(tmp_path):
    huge = 15 << 40
    path = by_hand.v10(tmp_path / "i", size=huge)
    with path.open("r+b") as file:
        file.truncate(huge // by_hand.CLUSTER // 8 + 4096 + (1 << 40))
    stored = by_hand.old(tmp_path / "j", "v6", size=512, stored=(1 << 64) - 512)

    def limit():
        resource.setrlimit(resource.RLIMIT_AS, (256 << 20, 256 << 20))

    command = [sys.executable, "-m", "addcow_conformance.cli_check", "--output", "jsonl", path, stored]
    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=limit, timeout=60, check=False)
    first, second = done.stdout.splitlines()
    assert '"verdict": "valid"' in first.replace('":"', '": "')
    assert "ACW-BMP-001" in second


def test_a_file_that_shrinks_is_no_verdict(tmp_path, monkeypatch):
    path = by_hand.v10(tmp_path / "i", bits=b"\xff")
    real = OpenFile.next_data

    def shrink(self, offset, end):
        os.truncate(path, 4096)
        return real(self, offset, end) if offset >= end else offset

    monkeypatch.setattr(OpenFile, "next_data", shrink)
    report = check_image(os.fsencode(path))
    assert report.verdict is Verdict.UNKNOWN


@pytest.mark.parametrize("call", ["pread", "preadv", "lseek"])
def test_an_io_error_is_no_verdict(tmp_path, monkeypatch, call):
    path = by_hand.v10(tmp_path / "i")

    def fail(*_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, call, fail)
    report = check_image(os.fsencode(path))
    assert report.verdict is Verdict.UNKNOWN
    assert "Input/output error" in report.problem


def test_an_unexpected_exception_is_status_1(tmp_path):
    path = by_hand.v10(tmp_path / "i")
    code = (
        "import sys, addcow_conformance._batch as b\n"
        "def bug(*a, **k): raise ZeroDivisionError('planted')\n"
        "b.check_image = bug\n"
        "from addcow_conformance.cli_check import main\n"
        f"sys.argv = ['addcow-check', '--output', 'json', {os.fspath(path)!r}]\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert '"verdict": "unknown"' in done.stdout
    assert "Traceback" not in done.stderr


NAMES = [
    b"\x1b[31mred\x1b[0m",
    b"new\nline",
    b"]]>",
    b"\xff\xfe",
    b"\xed\xa0\x80",
    "\u202egpj.exe".encode(),
    "\u200f\u2028".encode(),
    b"<script>alert(1)</script>",
    b"./|`::error::",
    b"\x9b31m",
]


@pytest.mark.parametrize("output", FORMATS)
@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_names_do_no_harm_in_any_output(tmp_path, name, output):
    path = by_hand.v10(tmp_path / "i", image=name, backing=name + b"b")
    shown = "".join(render([check_image(os.fsencode(path))], output=output, many=False, color=False))
    assert all(char.isprintable() or char == "\n" for char in shown)
    assert "<script>alert" not in shown or output not in {"html", "junit", "markdown"}


def test_names_do_no_harm_on_the_command_line(tmp_path):
    images = [by_hand.v10(tmp_path / str(number), image=name) for number, name in enumerate(NAMES)]
    result = addcow_check(*images)
    assert (result.returncode, result.stderr) == (2, "")
    assert all(char.isprintable() or char == "\n" for char in result.stdout)


@settings(max_examples=300, deadline=None)
@given(
    base=st.sampled_from(["v4", "v6", "v10"]),
    edits=st.lists(st.tuples(st.integers(0, 4200), st.binary(min_size=1, max_size=9)), max_size=6),
    cut=st.none() | st.integers(0, 4200),
    profile=st.sampled_from(["reviewed", "as-written"]),
)
def test_any_bytes_get_a_verdict(tmp_path_factory, base, edits, cut, profile):
    directory = tmp_path_factory.mktemp("any")
    path = directory / "i"
    by_hand.v10(path, backing=b"disk.raw") if base == "v10" else by_hand.old(path, base)
    data = bytearray(path.read_bytes())
    for offset, piece in edits:
        data[offset : offset + len(piece)] = piece
    path.write_bytes(data[:cut])
    report = check_image(os.fsencode(path), CheckOptions(profile=profile))
    assert not report.problem or "is not a local file" in report.problem
    if not data[:cut].startswith(MAGIC):
        assert report.verdict is Verdict.NOT_ADD_COW
    malformed = {f.rule for f in report.findings if f.file == 0} & {
        "ACW-HDR-001",
        "ACW-HDR-002",
        "ACW-HDR-003",
    }
    assert bool(malformed) == (report.revision is None)
    for finding in report.findings:
        length = report.files[finding.file].length
        assert (
            finding.span is None
            or finding.rule in {"ACW-HDR-001", "ACW-HDR-003", "ACW-BMP-001"}
            or (0 <= finding.span.offset <= finding.span.end <= length)
        )
