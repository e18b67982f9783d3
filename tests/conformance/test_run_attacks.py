"""Targets and surroundings that once made a run green, endless or void. Each failed before it was mended."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from addcow_conformance.results import About, Outcome, Run, render
from addcow_conformance.suite import gate as gates
from tests.conformance.command import suite, suite_failed
from tests.conformance.result_samples import RED, UNSUPPORTED
from tests.conformance.test_suite import run

ATTACK = "python:tests.conformance.attackers:"
CASE = "ACW-DYN-003/v10/inside-a-unit"


def outcome(attribute, *arguments):
    """What became of one case, how the run ended, and what it said in all."""
    answer = suite("run", f"{ATTACK}{attribute}", "-k", CASE, "-j", "1", "--output", "json", *arguments)
    (case,) = answer.document["cases"]
    return case["outcome"], answer.status, len(answer.output)


def children():
    """The processes that this one has, those of earlier tests among them."""
    with open(f"/proc/self/task/{os.getpid()}/children") as file:
        return set(file.read().split())


# --- never green


@pytest.mark.parametrize(
    ("attribute", "expected"),
    [
        ("NO_REVISION", "unsupported"),
        ("FICKLE", "error"),
        ("INTERRUPTS", "crash"),
        ("GENERATOR", "crash"),
        ("TALKS", "fail"),
    ],
)
def test_what_says_nothing_of_a_target_is_not_green(attribute, expected):
    found, status, length = outcome(attribute)
    assert (found, status) == (expected, 1)
    assert length < 10_000


# These leave the process as it was, and need none of their own.
@pytest.mark.parametrize(
    ("attribute", "expected"), [("REFUSES", "fail"), ("LACKS", "fail"), ("SPEECHLESS", "error")]
)
def test_what_says_nothing_of_a_target_is_no_pass(attribute, expected):
    assert run(CASE, name=f"{ATTACK}{attribute}").outcome == expected


@pytest.mark.parametrize("kind", ["junit", "github"])
def test_nothing_tried_is_red_where_no_exit_status_is_read(kind):
    nothing = Run(RED.target, About("x"), "reviewed", ("v10",), 0, RED.started, 1.0, (UNSUPPORTED,))
    text = "".join(render(nothing, output=kind))
    assert not nothing.as_expected
    assert 'failures="1"' in text or "::error " in text


# --- never endless, and nothing is left


def test_what_hears_no_alarm_is_ended(monkeypatch):
    monkeypatch.setattr(gates, "_LIMIT", 1.0)
    monkeypatch.setattr(gates, "_MODELS", 0.0)
    assert outcome("DEAF")[:2] == (Outcome.TIMEOUT, 1)


def test_what_it_starts_ends_with_the_run(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    before = children()
    assert outcome("STARTS")[:2] == ("pass", 0)
    assert children() <= before


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_stream_that_is_closed_does_not_matter(number):
    command = f'exec "$0" -m addcow_conformance.cli_suite run python:addcow_ref -k {CASE} -j 1 {number}>&-'
    result = subprocess.run(["sh", "-c", command, sys.executable], capture_output=True, check=False)
    assert result.returncode == 0, result.stderr


# --- loading


@pytest.mark.parametrize(
    "text",
    ["import os; os._exit(0)", "raise SystemExit(0)", "raise KeyboardInterrupt", "import os; os.abort()"],
)
def test_a_module_that_ends_the_process_when_it_is_loaded_is_no_green_run(tmp_path, monkeypatch, text):
    (tmp_path / "ends_it.py").write_text(text)
    monkeypatch.chdir(tmp_path)
    suite_failed("run", "python:ends_it", "-k", CASE, status=69)


def test_what_a_target_says_of_itself_makes_no_sense():
    suite_failed("run", f"{ATTACK}NO_ABOUT", "-k", CASE, status=69)


def test_modules_beside_the_target_are_not_taken_for_those_of_the_suite(tmp_path):
    (tmp_path / "mine.py").write_text(
        "import os\nos.write(1, b'on standard output')\nfrom addcow_ref import create_image, open_image\n"
    )
    for name in ("pytest", "xdist", "click", "addcow_ref"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit(3)\n")
    command = [os.path.join(os.path.dirname(sys.executable), "addcow-conformance"), "run", "python:mine"]
    options = ["-k", CASE, "-j", "1", "--output", "json"]
    result = subprocess.run([*command, *options], cwd=tmp_path, capture_output=True, check=False)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["counts"]["pass"] == 1
