"""What the README tells people to run works, and its links lead somewhere."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conformance import by_hand
from tests.repo.tree import ROOT

README = (ROOT / "README.md").read_text()
BIN = Path(sys.executable).parent

# What a command may answer besides 0: the image of the examples is broken on purpose.
BROKEN = {0, 2}


def blocks(language):
    """The fenced blocks of a language."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
    return [text for name, text in found if name == language]


def commands():
    """Every command of the shell blocks, without its comment."""
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    return [line.split("  #")[0].strip() for line in lines if line.strip()]


def run(command, cwd):
    environment = os.environ | {"PATH": f"{BIN}:{os.environ['PATH']}", "COLUMNS": "100"}
    return subprocess.run(
        ["bash", "-c", command], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture
def example(tmp_path):
    """The image of the README, and a second one."""
    by_hand.v10(tmp_path / "base.add-cow")
    (tmp_path / "base.raw").touch()
    os.truncate(tmp_path / "base.raw", 10 * by_hand.CLUSTER)
    by_hand.v10(tmp_path / "disk.add-cow", backing=b"base.raw", bits=b"\x05\x80")
    return tmp_path


@pytest.mark.parametrize("command", [c for c in commands() if c.startswith("addcow-check")])
def test_commands_of_the_checker(example, command):
    result = run(command, example)
    assert result.returncode in BROKEN, result.stderr
    assert result.stderr == ""
    if "-o report.html" in command:
        assert (example / "report.html").read_text().startswith("<!DOCTYPE html>")


def test_the_report_shown_is_the_report_given(example):
    shown = blocks("")[0]
    assert run("addcow-check disk.add-cow", example).stdout == shown


def test_make_demo(example):
    shown = run("make demo", ROOT)
    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert {"ACW-BMP-001", "ACW-BMP-002", "ACW-CHN-002", "ACW-HDR-002"} <= set(
        re.findall(r"ACW-\w+-\d+", shown.stdout)
    )
    yours = run(f"make demo IMAGE={shlex.quote(os.fspath(example / 'disk.add-cow'))}", ROOT)
    assert "ACW-BMP-002" in yours.stdout


def test_make_test_is_what_runs_this():
    # Run whole it would run this very test again.
    result = run("make --dry-run test", ROOT)
    assert result.returncode == 0, result.stderr
    assert "-m pytest" in result.stdout
    assert {c for c in commands() if c.startswith("make")} == {
        "make demo",
        "make demo IMAGE=disk.add-cow",
        "make test",
    }


@pytest.mark.parametrize("command", [c for c in commands() if c.startswith("pip")])
def test_pip_commands_name_what_there_is(command):
    result = run(f"{command} --dry-run --no-deps --no-build-isolation --quiet", ROOT)
    assert result.returncode == 0, result.stderr


def test_no_command_is_left_out():
    assert {command.split()[0] for command in commands()} == {"make", "addcow-check", "pip"}


def test_python_of_the_readme(example):
    restore, check = blocks("python")
    image = example / "disk.add-cow"
    before = image.read_bytes()
    run("addcow-check --repair safe disk.add-cow", example)
    assert image.read_bytes() != before
    assert subprocess.run([sys.executable, "-c", restore], cwd=example, check=False).returncode == 0
    assert image.read_bytes() == before
    done = subprocess.run(
        [sys.executable, "-c", check], cwd=example, capture_output=True, text=True, check=True
    )
    assert done.stdout == "invalid ['ACW-BMP-002']\n"


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md", "corpora/README.md"])
def test_links_lead_to_files(document):
    path = ROOT / document
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text()):
        assert (path.parent / target).exists(), target
