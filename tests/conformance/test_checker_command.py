"""What the command hands to the checker, and what it does with many images and with its output."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from contextlib import contextmanager

import pytest

from addcow_conformance import _batch as batch
from addcow_conformance import _terminal as terminal
from addcow_conformance import cli_check
from addcow_conformance.checker import CheckOptions, Report, Verdict
from addcow_spec.errors import UsageError
from addcow_spec.model import Revision
from addcow_spec.rules import Profile, Repair, Severity
from tests.conformance import by_hand

JOB = batch.Job(CheckOptions())


@pytest.fixture
def asked(monkeypatch):
    """Run the command in this process: exit status, and the jobs and paths that the checker was given."""
    jobs = []
    real = batch.Job.__call__

    def call(self, path, progress=None):
        jobs.append((self, path))
        return real(self, path, progress)

    monkeypatch.setattr(batch.Job, "__call__", call)

    def run(*arguments):
        jobs.clear()
        return cli_check.command.main(list(map(os.fspath, arguments)), standalone_mode=False), list(jobs)

    return run


# -- options --


@pytest.mark.parametrize(
    ("arguments", "changed"),
    [
        ([], {}),
        (["--revision", "v4"], {"revision": Revision.V4}),
        (["--revision", "auto"], {}),
        (["--profile", "as-written"], {"profile": Profile.AS_WRITTEN}),
        (["--no-chain"], {"follow_chain": False}),
        (["--confine", "/"], {"confine": b"/"}),
        (["--allow-block-devices"], {"allow_block_devices": True}),
        (["--max-findings", "7"], {"max_findings": 7}),
        (["--output", "html"], {"buckets": 2048}),
        (["--output", "json"], {}),
    ],
)
def test_options_reach_the_checker(tmp_path, asked, arguments, changed):
    _, jobs = asked(*arguments, by_hand.v10(tmp_path / "i"))
    wanted = CheckOptions(**{"max_findings": 100} | changed)
    assert jobs == [(batch.Job(wanted), os.fsencode(tmp_path / "i"))]


@pytest.mark.parametrize(
    ("arguments", "repair", "dry_run"),
    [
        ([], Repair.NONE, False),
        (["--repair", "safe"], Repair.SAFE, False),
        (["--repair", "all", "--dry-run"], Repair.ALL, True),
    ],
)
def test_repairs_are_asked_for(tmp_path, asked, arguments, repair, dry_run):
    _, ((job, _),) = asked(*arguments, by_hand.v10(tmp_path / "i"))
    assert (job.repair, job.dry_run) == (repair, dry_run)


@pytest.mark.parametrize(("jobs", "widths"), [("1", []), ("3", [2]), ("0", [min(2, os.cpu_count())])])
def test_jobs_are_processes(tmp_path, asked, monkeypatch, jobs, widths):
    """No more than there are images, and none beside this one for 1."""
    seen = []

    @contextmanager
    def counted(_work, *, count, scheduler):
        assert scheduler is None
        seen.append(count)
        yield

    monkeypatch.setattr(cli_check, "workers", counted)
    paths = [by_hand.v10(tmp_path / name) for name in "ab"]
    assert asked("--jobs", jobs, *paths)[0] == 0
    assert seen == [width for width in widths if jobs != "0" or os.cpu_count() > 1]


# -- statuses --


@pytest.mark.parametrize(
    ("counts", "statuses"),
    [
        ({}, (0, 0, 0)),
        ({Severity.NOTE: 1}, (0, 0, 2)),
        ({Severity.WARNING: 1}, (0, 2, 2)),
        ({Severity.ERROR: 1}, (2, 2, 2)),
        ({Severity.ERROR: 0, Severity.NOTE: 3}, (0, 0, 2)),
    ],
)
def test_fail_on_is_a_ladder(counts, statuses):
    report = Report(b"i", Profile.REVIEWED, counts=counts)
    assert tuple(batch.exit_status(report, level) for level in Severity) == statuses


@pytest.mark.parametrize(
    ("seen", "status"),
    [({0}, 0), ({0, 63}, 63), ({63, 2}, 2), ({2, 1}, 1), ({63, 1}, 1), ({0, 63, 2, 1}, 1), (set(), 0)],
)
def test_the_worst_status(seen, status):
    assert batch.worst(seen) == status


def test_quiet_hides_no_problem(tmp_path, asked, capsys):
    good = by_hand.v10(tmp_path / "good")
    status, _ = asked("-q", good, tmp_path / "gone")
    shown = capsys.readouterr().out
    assert status == 1
    assert "gone" in shown
    assert "good" not in shown


def test_quiet_hides_no_repair(tmp_path, asked, capsys):
    status, _ = asked("-q", "--repair", "safe", by_hand.v10(tmp_path / "i", tail=b"x"))
    assert status == 0
    assert "ACW-BMP-003" in capsys.readouterr().out


def test_quiet_leaves_reports_for_programs_whole(tmp_path, asked, capsys):
    asked("-q", "--output", "jsonl", by_hand.v10(tmp_path / "i"), by_hand.v10(tmp_path / "j"))
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_one_image_below_a_directory_is_one_of_many(tmp_path, asked, capsys):
    by_hand.v10(tmp_path / "i")
    assert asked("-r", "--output", "json", tmp_path)[0] == 0
    assert capsys.readouterr().out.startswith("[")


PATCHED = """
import sys
from addcow_conformance import _batch, cli_check
def planted(*a, **k):
    raise {error}
{target} = planted
sys.argv[0] = "addcow-check"
cli_check.main()
"""


@pytest.mark.parametrize(
    ("target", "error", "status"),
    [
        ("_batch.check_image", "KeyboardInterrupt", 130),
        ("cli_check.render", "LookupError('planted')", 1),
        ("cli_check.find_images", "OSError(5, 'planted')", 1),
    ],
)
def test_what_ends_the_command_is_told_in_a_line(tmp_path, target, error, status):
    code = PATCHED.format(target=target, error=error)
    command = [sys.executable, "-c", code, by_hand.v10(tmp_path / "i")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (status, "")
    assert "Traceback" not in done.stderr
    assert done.stderr.count("\n") == 1


# -- finding images --


def test_images_below_a_directory_are_in_order(tmp_path):
    names = [f"{number * 7 % 23:02}" for number in range(23)]
    for name in names:
        (tmp_path / name).mkdir()
        for file in reversed(names):
            (tmp_path / name / file).write_bytes(b"ADD_COW\xff")
    found = list(batch.find_images([os.fsencode(tmp_path)], JOB, recursive=True))
    assert len(found) == 23 * 23
    assert found == sorted(found)


def test_a_directory_that_cannot_be_read_is_reported(tmp_path, monkeypatch):
    by_hand.v10(tmp_path / "i")
    (tmp_path / "closed").mkdir()
    real = os.scandir

    def refuse(path):
        if os.path.basename(path) == b"closed":
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return real(path)

    monkeypatch.setattr(os, "scandir", refuse)
    image, report = batch.find_images([os.fsencode(tmp_path)], JOB, recursive=True)
    assert image == os.fsencode(tmp_path / "i")
    assert (report.filename, report.verdict) == (os.fsencode(tmp_path / "closed"), Verdict.UNKNOWN)


def test_a_file_that_cannot_be_read_is_reported(tmp_path, monkeypatch):
    by_hand.v10(tmp_path / "i")
    real = os.pread

    def fail(descriptor, size, offset):
        if os.readlink(f"/proc/self/fd/{descriptor}").endswith("/disk.raw"):
            raise OSError(errno.EIO, "Input/output error")
        return real(descriptor, size, offset)

    monkeypatch.setattr(os, "pread", fail)
    report, image = batch.find_images([os.fsencode(tmp_path)], JOB, recursive=True)
    assert (report.filename, report.verdict) == (os.fsencode(tmp_path / "disk.raw"), Verdict.UNKNOWN)
    assert image == os.fsencode(tmp_path / "i")


# -- output --


def broken_off():
    yield "half"
    raise LookupError


@pytest.mark.parametrize("before", [None, "old"])
def test_output_that_breaks_off_leaves_all_as_it_was(tmp_path, before):
    target = tmp_path / "report"
    if before:
        target.write_text(before)
    with pytest.raises(LookupError):
        terminal.write_file(broken_off(), os.fsencode(target))
    assert [path.read_text() for path in tmp_path.iterdir()] == ([before] if before else [])


def test_output_is_not_seen_before_it_is_whole(tmp_path):
    target = tmp_path / "report"
    target.write_text("old")
    seen = []

    def pieces():
        yield "new"
        seen.append(target.read_text())
        yield "er"

    terminal.write_file(pieces(), os.fsencode(target))
    assert (seen, target.read_text()) == (["old"], "newer")


@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_a_new_output_file_has_the_usual_permissions(tmp_path, mask):
    target = tmp_path / "report"
    before = os.umask(mask)
    try:
        terminal.write_file(["text"], os.fsencode(target))
        assert os.umask(mask) == mask
    finally:
        os.umask(before)
    assert stat.S_IMODE(target.stat().st_mode) == 0o666 & ~mask


def test_output_through_a_link_keeps_the_link(tmp_path):
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to("real")
    terminal.write_file(["new"], os.fsencode(tmp_path / "link"))
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "new"


def test_output_to_a_pipe_goes_into_it(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    # Opened for both, it neither blocks nor ends.
    descriptor = os.open(pipe, os.O_RDWR)
    try:
        terminal.write_file(["text"], os.fsencode(pipe))
        assert stat.S_ISFIFO(os.lstat(pipe).st_mode)
        assert os.read(descriptor, 10) == b"text"
    finally:
        os.close(descriptor)


def test_output_never_replaces_an_image_that_could_not_be_checked(tmp_path):
    path = os.fsencode(by_hand.v10(tmp_path / "i"))
    with pytest.raises(UsageError):
        list(terminal.guard([JOB.failed(path, "it cannot be read")], path))
    (tmp_path / "link").hardlink_to(tmp_path / "i")
    with pytest.raises(UsageError):
        list(terminal.guard([JOB.failed(path, "it cannot be read")], os.fsencode(tmp_path / "link")))


def test_output_never_replaces_the_bytes_that_a_repair_kept(tmp_path):
    backup = tmp_path / "i.repair-1.jsonl"
    backup.touch()
    report = Report(b"i", Profile.REVIEWED, backup=os.fsencode(backup))
    with pytest.raises(UsageError):
        list(terminal.guard([report], os.fsencode(backup)))


@pytest.mark.parametrize("victim", ["i", "disk.raw"])
def test_output_is_refused_before_anything_is_mended(tmp_path, asked, victim):
    path = by_hand.v10(tmp_path / "i", tail=b"x")
    before = path.read_bytes()
    with pytest.raises(UsageError):
        asked("--repair", "safe", "-o", tmp_path / victim, path)
    assert path.read_bytes() == before
    assert sorted(os.listdir(tmp_path)) == ["disk.raw", "i"]


def test_output_to_a_descriptor_is_added(tmp_path):
    """As standard output may be by another name: the file is somebody else's, and is not replaced."""
    target = tmp_path / "log"
    target.write_text("old")
    with target.open("a") as file:
        before = target.stat().st_ino
        terminal.write_file(["new"], b"/proc/self/fd/%d" % file.fileno())
    assert (target.read_text(), target.stat().st_ino) == ("oldnew", before)


def test_output_elsewhere_is_not_guarded(tmp_path):
    reports = [JOB.failed(os.fsencode(tmp_path / "i"), "it cannot be read")]
    assert list(terminal.guard(reports, os.fsencode(tmp_path / "report"))) == reports
    assert list(terminal.guard(reports, None)) == reports
