"""Files that `addcow-conformance run` is to write: each is tried before the run, and nothing is changed."""

from __future__ import annotations

import os

import pytest

from addcow_conformance.suite import gate
from tests.conformance.command import suite, suite_failed

ENGINE = "python:addcow_ref"
LOSES = "python:tests.conformance.suite_targets:LOSES"
CASE = "ACW-DYN-003/v10/inside-a-unit"
KNOWN = f'[[expect]]\ncase = "{CASE}"\noutcome = "fail"\nreason = "so"\n'


@pytest.fixture
def never_tried(monkeypatch):
    """Where a case would be tried, the test fails."""
    monkeypatch.setattr(gate, "gate", lambda *_: pytest.fail("the run has started"))


FILES = ("--junit", "--json", "--sarif", "--html", "--badge", "--markdown")
PLACES = ("no/such/file", "file/below", "file-link/below", "directory", "x" * 300, "")
# A directory is made where there is none.
UNWRITABLE = [
    *((option, "no/such/file") for option in FILES),
    *(("--json", place) for place in PLACES[1:]),
    *(("--scripts", place) for place in ("file/below", "file-link/below/it", "x" * 300)),
]


@pytest.mark.parametrize(("option", "place"), UNWRITABLE)
@pytest.mark.usefixtures("never_tried")
def test_a_file_that_cannot_be_written_is_said_before_the_run(tmp_path, monkeypatch, option, place):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "directory").mkdir()
    (tmp_path / "file").write_text("old")
    (tmp_path / "file-link").symlink_to("file")
    before = sorted(os.listdir(tmp_path))
    other = "--html" if option == "--badge" else "--badge"
    suite_failed("run", ENGINE, "-k", CASE, other, "file", option, place, status=1)
    assert sorted(os.listdir(tmp_path)) == before
    assert (tmp_path / "file").read_text() == "old"


@pytest.mark.usefixtures("never_tried")
def test_a_summary_that_cannot_be_written_is_said_before_the_run(tmp_path, monkeypatch):
    for place in ("no/such/file", "."):
        monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / place))
        suite_failed("run", ENGINE, "-k", CASE, status=1)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("second", ["one", "./one", "link", "known.toml"])
@pytest.mark.usefixtures("never_tried")
def test_a_file_is_written_once(tmp_path, monkeypatch, second):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to("one")
    file = tmp_path / "known.toml"
    file.write_text(KNOWN)
    suite_failed("run", ENGINE, "-k", CASE, "--json", "one", "--html", second, "--expect", file, status=64)
    assert file.read_text() == KNOWN
    assert not (tmp_path / "one").exists()


def test_a_run_that_is_refused_leaves_reports_as_they_were(tmp_path):
    (tmp_path / "old").write_text("old")
    suite_failed(
        "run", "python:no.such.module", "--json", tmp_path / "old", "--html", tmp_path / "new", status=69
    )
    assert os.listdir(tmp_path) == ["old"]
    assert (tmp_path / "old").read_text() == "old"


def test_what_is_no_file_is_written_to(tmp_path):
    arguments = ("--json", "/dev/null", "--html", "/dev/null", "--scripts", tmp_path / "new" / "scripts")
    assert suite("run", LOSES, "-k", CASE, "-j", "1", *arguments).status == 1
    assert len(os.listdir(tmp_path / "new" / "scripts")) == 1
