"""addcow-fuzz as its users run it: statuses, one line for an error, and nothing lost when it is ended."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from addcow_fuzz.campaign import Found, Store
from addcow_fuzz.cli import COMMANDS
from addcow_fuzz.targets import TARGETS
from tests.fuzz.fake_command import ENVIRONMENT, fuzz, fuzz_failed, fuzz_process
from tests.fuzz.fake_target import TOKENS
from tests.repo.tree import ROOT

MODULES = Path(__file__).parents[2] / "fuzz/addcow_fuzz/commands"
# Far beyond what anything here takes.
PATIENCE = 120
RUN = ("-runs=20000", "-seed=1", "-artifact_prefix={}/")


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def folder(home):
    """The folder of a campaign that has found something."""
    store = Store(os.fspath(home / "found"))
    with store.locked():
        store.add_finding(Found("fake:-:first:a", "fake", b"axy", b"a", "an a", [97], ("log",)))
    return home / "found"


def registry(path, status):
    path.write_text(
        f'[[finding]]\ntoken = "fake:-:first:a"\ntarget = "fake"\nstatus = "{status}"\n'
        'reason = "planted"\ninput = "input"\n'
    )
    (path.parent / "input").write_bytes(b"a")
    return path


def test_every_subcommand_is_listed_and_has_help():
    assert set(COMMANDS) == {path.stem for path in MODULES.glob("[a-z]*.py")}
    listed = fuzz("-h")
    assert listed.status == 0
    for name in COMMANDS:
        assert f"  {name} " in listed.output
        shown = fuzz(name, "--help")
        assert (shown.status, shown.errors) == (0, "")
        for word in ("Examples:", "Exit status:"):
            assert word in shown.output


def test_help_loads_no_subcommand():
    code = (
        "import sys; from addcow_fuzz.cli import run; run(['-h']); run(['--version']);"
        "assert not {m for m in sys.modules if 'fuzz.commands.' in m};"
        "assert not {'addcow_ref', 'atheris', 'jinja2', 'rich'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL, check=True)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nope"],
        ["run"],
        ["run", "nope"],
        ["run", "-runs=1"],
        ["run", "fake", "fak", "-runs=1"],
        ["run", "fake", "-runs=1", "no\x1b[2J"],
        ["campaign"],
        ["campaign", "x", "--target", "no\x1b[2J"],
        ["campaign", "x", "--minutes", "0"],
        ["campaign", "x", "--minutes", "0.019"],  # less than a slice, so that nothing would be tried
        ["campaign", "x", "--jobs", "-1"],
        ["campaign", "x", "--seeds", "absent"],
        ["campaign", "x", "--registry", "absent"],
        ["replay"],
        ["replay", "--target", "nope", __file__],
        ["replay", "--timeout", "0", __file__],
        ["minimize", __file__],
        ["merge", "fake"],
        ["merge", "a", "b"],
        ["coverage", "nope"],
        ["findings", "absent"],
    ],
)
def test_wrong_usage_is_64_in_one_line(home, arguments):
    fuzz_failed(*arguments, status=64)
    assert list(home.iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["triage", "absent"],
        ["report", "absent"],
        ["replay", "--target", "fake", "absent"],
        ["replay", "--target", "fake", "/dev/zero"],
        ["replay", "--target", "absent", __file__],
        ["minimize", "--target", "fake", __file__],
        ["campaign", "/dev/null/x"],
        ["coverage", "absent", "--runs", "1"],
    ],
)
def test_what_cannot_be_done_is_1_in_one_line(arguments):
    answer = fuzz(*arguments)
    assert answer.status == 1
    assert answer.errors.startswith("addcow-fuzz: ")
    assert answer.errors.count("\n") == 1


def test_list_has_every_target():
    assert [target["name"] for target in fuzz("list", "--output", "json").document] == list(TARGETS)
    assert len(fuzz("list").output.splitlines()) == len(TARGETS)


@pytest.mark.parametrize(("status", "expected"), [("open", 0), ("limitation", 0), ("fixed", 77)])
def test_triage_holds_findings_against_the_registry(home, folder, status, expected):
    words = ("triage", folder, "--registry", registry(home / "findings.toml", status), "--output")
    answer = fuzz(*words, "json")
    assert answer.status == expected
    assert [told["token"] for told in answer.document] == ["fake:-:first:a"]
    annotated = fuzz(*words, "github")
    assert annotated.status == expected
    titles = re.findall("^::error title=(.*?)::", annotated.output, re.MULTILINE)
    assert ["fake%3A-%3Afirst%3Aa" in title for title in titles] == [True] * (expected > 0)
    assert fuzz("triage", folder).status == 77


@pytest.mark.parametrize(("status", "expected"), [("open", 0), ("fixed", 77)])
def test_registry_is_run_again(home, status, expected):
    path = registry(home / "findings.toml", status)
    assert fuzz("findings", path, "--status", status).output.count("fake:-:first:a") == 1
    assert fuzz("findings", path, "--status", "limitation").output == ""
    assert fuzz("findings", path, "--replay").status == expected
    (home / "input").write_bytes(b"no bug")
    assert fuzz("findings", path, "--replay").status == 0


def test_what_was_mended_stays_mended():
    answer = fuzz("findings", ROOT / "corpora/findings.toml", "--status", "fixed", "--replay")
    assert (answer.status, answer.errors) == (0, ""), answer.output


def test_finding_is_replayed_and_made_smaller(home, folder):
    (finding,) = (folder / "findings").iterdir()
    for file in ("input", "original"):
        answer = fuzz("replay", finding / file, "--explain")
        assert answer.status == 77
        assert "fake:-:first:a" in answer.output
    assert fuzz("minimize", finding / "original", "-o", home / "small").status == 0
    assert (home / "small").read_bytes() == b"a"
    (home / "good").write_bytes(b"no bug")
    assert fuzz("replay", "--target", "fake", home / "good").status == 0


def test_run_passes_flags_through(home):
    answer = fuzz_process(
        "run", "fake", *(flag.format(home) for flag in RUN), "-shuffle=1", "-print_final_stats=1"
    )
    output, errors = answer.communicate(timeout=PATIENCE)
    assert answer.returncode == 77
    assert b"stat::" in output + errors
    assert b"DEDUP_TOKEN: " in output + errors
    assert list(home.glob("crash-*"))


def test_merge_takes_what_reaches_something_new(home):
    (home / "old").mkdir()
    for data in (b"same", b"c", b"a"):
        (home / "old" / hashlib.sha1(data, usedforsecurity=False).hexdigest()).write_bytes(data)
    assert fuzz("merge", "--target", "fake", "new", "old").status == 0
    merged = {path.read_bytes() for path in (home / "new").iterdir()}
    assert merged
    assert merged < {b"same", b"c", b"a"}  # one of the first two is enough, and the last one is a finding


def test_coverage_is_a_table():
    header, rule, row = fuzz("coverage", "fake", "--runs", "300").output.splitlines()
    assert header.count("|") == rule.count("|") == row.count("|") == 6
    assert all(int(cell) > 0 for cell in row.split("|")[2:-1])


def campaign_of(home, *more):
    return fuzz_process(
        "campaign", home / "camp", "--target", "fake", "--jobs", "1", "--minutes", "10", "--registry",
        registry(home / "findings.toml", "open"), *more,
    )  # fmt: skip


def found_by_now(home):
    return {path.name for path in (home / "camp").glob("work/*/new/*")}


def wait_for_inputs(home, process):
    until = time.monotonic() + PATIENCE
    while not (found := found_by_now(home)):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.05)
    return found


def whole_corpus(home):
    for path in (home / "camp/corpus/fake").iterdir():
        assert hashlib.sha1(path.read_bytes(), usedforsecurity=False).hexdigest() == path.name
    return {path.name for path in (home / "camp/corpus/fake").iterdir()}


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signal_loses_nothing(home, number, status):
    process = campaign_of(home)
    wait_for_inputs(home, process)
    process.send_signal(number)
    output, errors = process.communicate(timeout=PATIENCE)
    assert (process.returncode, errors) == (status, b"")
    kept = whole_corpus(home)
    assert list((home / "camp/work").iterdir()) == []
    state = json.loads((home / "camp/state.json").read_text())
    assert state["targets"]["fake"]["slices"] == 1
    tokens = {path.name for path in (home / "camp/findings").iterdir()}
    assert kept or tokens  # an input that turns out to be a finding leaves the corpus
    assert len(output.splitlines()) == len(tokens)
    assert tokens <= TOKENS - {"fake:-:first:a"}


def test_death_of_the_campaign_loses_nothing(home):
    process = campaign_of(home)
    # Not replaced by smaller ones afterwards, or seen just before that.
    wait_for_inputs(home, process)
    process.kill()
    process.communicate(timeout=PATIENCE)
    until = time.monotonic() + PATIENCE
    while fuzzing(home):
        assert time.monotonic() < until
    left = {path.name for path in (home / "camp").glob("work/*/new/*") if is_whole(path)}
    answer = fuzz(
        "campaign", home / "camp", "--target", "fake", "--jobs", "1", "--minutes", "0.02", "--registry",
        home / "findings.toml",
    )  # fmt: skip
    assert answer.status in {0, 77}
    assert left
    # One that turns out to be a finding is kept with it, and leaves the corpus.
    originals = {
        hashlib.sha1(path.read_bytes(), usedforsecurity=False).hexdigest()
        for path in (home / "camp").glob("findings/*/original")
    }
    assert left <= whole_corpus(home) | originals
    assert list((home / "camp/work").iterdir()) == []


def is_whole(path):
    return hashlib.sha1(path.read_bytes(), usedforsecurity=False).hexdigest() == path.name


def fuzzing(home):
    """Whether a process still fuzzes in the folder."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if os.fsencode(home / "camp/work") in path.read_bytes():
                return True
        except OSError:
            continue
    return False


def test_campaign_tells_what_is_new_by_its_status(home, folder):
    arguments = ("campaign", folder, "--target", "fake", "--jobs", "1", "--minutes", "0.02")
    assert fuzz(*arguments).status == 77
    everything = "".join(
        f'[[finding]]\ntoken = "{token}"\ntarget = "fake"\nstatus = "open"\nreason = "planted"\n'
        for token in TOKENS
    )
    (home / "all.toml").write_text(everything)
    assert fuzz(*arguments, "--registry", home / "all.toml").status == 0


def test_campaign_whose_target_fails_is_1(home):
    answer = fuzz("campaign", home / "camp", "--target", "absent", "--jobs", "1", "--minutes", "10")
    assert (answer.status, answer.output) == (1, "")
    # Three slices, and that it is given up.
    assert [line.partition(":")[0] for line in answer.errors.splitlines()] == ["addcow-fuzz"] * 4
