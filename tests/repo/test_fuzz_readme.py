"""What the pages on fuzzing tell people to run works: those of its README in turn, as they stand there."""

from __future__ import annotations

import os
import re
import shlex
import sys

import click
import pytest

from addcow_fuzz.campaign import Store
from addcow_fuzz.cli import COMMANDS, group
from tests.fuzz.page_command import TARGETS
from tests.repo.ci_templates import run_script
from tests.repo.test_readme import commands
from tests.repo.tree import ROOT

PAGES = {path.name: path.read_text("utf-8") for path in sorted((ROOT / "fuzz").glob("*.md"))}
SHOWN = commands(PAGES["README.md"])

# Times, runs and targets, made few; the bugs that are planted are come upon at once.
SHORT = {
    "--minutes 480": "--minutes 0.03 --jobs 2",
    "-max_total_time=60": "-max_total_time=1",
    "coverage --runs 10000": "coverage header --runs 10",
}

# What is parsed, and not run.
ELSEWHERE = {
    "--scheduler": "a cluster of machines and a store; tests/fuzz has some of this machine",
}

# What a command answers that comes upon a bug; the others 0.
FOUND = dict.fromkeys(("campaign", "triage", "replay", "run"), 77)

PROGRAM = f"""\
#!/bin/sh
exec {shlex.quote(sys.executable)} -m tests.fuzz.page_command "$@"
"""
BUG, GOOD = b"axy", b"no bug"
REGISTRY = """\
[[finding]]
token = "fake:-:first:b"
target = "header"
status = "fixed"
reason = "a b was one"
input = "mended"
"""


def shortened(command):
    for long, short in SHORT.items():
        command = command.replace(long, short)
    return command


def is_elsewhere(command):
    return any(word in command.split() for word in ELSEWHERE)


@pytest.fixture
def checkout(tmp_path):
    """What the page has in a checkout; what a campaign before has left, and a crash that libFuzzer has."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/addcow-fuzz").write_text(PROGRAM)
    (tmp_path / "bin/addcow-fuzz").chmod(0o755)
    for target, seed in zip(TARGETS, (BUG, GOOD), strict=True):
        (tmp_path / "corpora/seeds" / target).mkdir(parents=True)
        (tmp_path / "corpora/seeds" / target / "seed").write_bytes(seed)
    (tmp_path / "corpora/findings.toml").write_text(REGISTRY)
    (tmp_path / "corpora/mended").write_bytes(GOOD)
    (tmp_path / "crash-4f0a8c11").write_bytes(BUG)
    before = Store(os.fspath(tmp_path / "found"))
    with before.locked():
        for target in TARGETS:  # whichever the time is enough for
            before.add_inputs(target, [GOOD])
    return tmp_path


def test_commands_of_the_page(checkout):
    environment = {
        "PATH": f"{checkout}/bin:{os.environ['PATH']}",
        "PYTHONPATH": os.fspath(ROOT),
        "TMPDIR": os.environ["TMPDIR"],
    }
    for command in SHOWN:
        if is_elsewhere(command):
            continue
        ran = run_script("bash", shortened(command), environment, checkout)
        assert ran.status == FOUND.get(command.split()[1], 0), f"{command}\n{ran.output}"
        assert "unrecognized flag" not in ran.output, command  # libFuzzer goes on without it
    smallest = checkout / "found/findings/fake:-:first:a/input"
    assert smallest.read_bytes() == (checkout / "smallest").read_bytes() == b"a"
    assert list((checkout / "smaller").iterdir()) != []
    assert (checkout / "report.html").read_text("utf-8").startswith("<!DOCTYPE html>")


def test_every_subcommand_is_shown_and_each_of_these_tables_is_needed():
    assert {command.split()[1] for command in SHOWN} == COMMANDS.keys()
    assert {command.split()[0] for command in SHOWN} == {"addcow-fuzz"}
    for word in (*SHORT, *ELSEWHERE):
        assert any(word in command for command in SHOWN), word


def parsed(command):
    """What the command is given, once its options are known to exist and to have such values."""
    _, name, *words = shlex.split(command)
    subcommand = group.get_command(click.Context(group), name)
    assert subcommand, command
    with subcommand.make_context(name, words) as context:
        return context.params


def with_arguments(text):
    """The commands that a page shows, in blocks and in its sentences, where they are more than a name."""
    inline = re.findall(r"`(addcow-fuzz\s[^`]+)`", text)
    return [command for command in (*commands(text), *inline) if len(command.split()) > 2]


@pytest.mark.parametrize("page", [name for name, text in PAGES.items() if with_arguments(text)])
def test_commands_have_options_that_there_are(page):
    for command in with_arguments(PAGES[page]):
        parsed(command)
        for word in shlex.split(command):
            assert not word.startswith("corpora/") or (ROOT / word).exists(), command


def test_an_option_that_there_is_not_is_told():
    with pytest.raises(click.NoSuchOption):
        parsed("addcow-fuzz campaign found --scheduler tcp://192.0.2.1:8786 --pole file:///mnt/pool")
    with pytest.raises(click.BadParameter):
        parsed("addcow-fuzz coverage --runs many")


def test_make_fuzz_is_a_campaign_of_an_hour():
    environment = {"PATH": os.environ["PATH"], "TMPDIR": os.environ["TMPDIR"]}
    ran = run_script("bash", "make --silent fuzz PYTHON=echo", environment, ROOT)
    assert ran.status == 0, ran.output
    words = shlex.split(ran.output.splitlines()[-1])
    assert words[:2] == ["-m", "addcow_fuzz.cli"]
    given = parsed(shlex.join(words[1:]))
    assert (given["directory"], given["minutes"], given["targets"]) == ("build/fuzz", 60, ())
