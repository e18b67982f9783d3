"""addcow-conformance run, list, explain and copy, as their users call them."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
import tomllib

import pytest
from jsonschema import Draft202012Validator

from addcow_conformance.suite import CORPUS, FLAGS, load_vectors
from tests.conformance.command import suite, suite_failed, suite_process
from tests.conformance.stdio_programs import REFERENCE, faulty, target_name
from tests.repo.tree import ROOT

ENGINE = "python:addcow_ref"
BAD = "python:tests.conformance.suite_targets:"
CASE = "ACW-DYN-003/v10/inside-a-unit"
# Few cases, for what does not depend on their number.
FEW = ("--revision", "v10", "-k", "DYN-003 and not models", "-j", "1")
KINDS = ("junit", "json", "sarif", "html", "badge", "markdown")


@pytest.fixture(scope="module")
def lost(tmp_path_factory):
    """A run of one that loses writes, in a job of GitHub's, and the directory of all that it writes."""
    place = tmp_path_factory.mktemp("lost")
    files = [word for kind in KINDS for word in (f"--{kind}", place / kind)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GITHUB_ACTIONS", "true")
        patch.setenv("GITHUB_STEP_SUMMARY", str(place / "summary"))
        return suite("run", f"{BAD}LOSES", *FEW, *files, "--scripts", place / "scripts"), place


def ran(*arguments):
    """Status and JSON of a run."""
    answer = suite("run", "--output", "json", "-j", "1", *arguments)
    return answer.status, valid(answer.document)


def valid(document):
    """The JSON of a run, which has the form that its schema says."""
    Draft202012Validator(json.loads(suite("run", "--schema").output)).validate(document)
    return document


def outcomes(document):
    return {case["case"]: case["outcome"] for case in document["cases"]}


# --- exit statuses


def test_an_engine_that_is_right_is_as_expected_and_quiet(tmp_path):
    answer = suite("run", ENGINE, *FEW, "-q", "--json", tmp_path / "json")
    assert (answer.status, answer.output, answer.errors) == (0, "", "")
    document = valid(json.loads((tmp_path / "json").read_text()))
    assert document["as-expected"] is True
    assert set(outcomes(document).values()) == {"pass"}
    assert CASE in outcomes(document)


def test_one_that_loses_writes_is_not(lost):
    answer, place = lost
    document = valid(json.loads((place / "json").read_text()))
    assert answer.status == 1
    assert document["as-expected"] is False
    assert outcomes(document)[CASE] == "fail"


@pytest.mark.parametrize(("attribute", "outcome"), [("RAISES", "fail"), ("EXITS", "crash")])
def test_one_that_is_wrong_is_not(attribute, outcome):
    status, document = ran(f"{BAD}{attribute}", "-k", CASE)
    assert status == 1
    assert outcomes(document) == {CASE: outcome}


@pytest.mark.parametrize(("fault", "outcome"), [("hangs", "timeout"), ("crashes", "crash")])
def test_a_program_that_gives_no_answer_is_not(fault, outcome):
    status, document = ran(target_name(faulty(fault)), "-k", CASE, "--timeout", "1")
    assert (status, outcomes(document)) == (1, {CASE: outcome})


def test_the_run_goes_on_after_a_crash_which_leaves_no_files(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    status, document = ran(f"{BAD}DIES", "-k", "DYN-003 and v10 and (head-and-tail or inside-a-unit)")
    assert status == 1
    assert outcomes(document) == {
        "ACW-DYN-003/v10/head-and-tail": "crash",
        CASE: "crash",
        "ACW-DYN-003/v10/zeroes-inside-a-unit": "pass",  # What only writes zeros is no write.
    }
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        ([], 64),
        (["nonsense"], 64),
        (["python:no.such.module"], 69),
        (["stdio:./no-such-program"], 69),
        ([ENGINE, "-k", "("], 64),
        ([ENGINE, "--choice", "nothing=accept"], 64),
        ([ENGINE, "--choice", "names-overlap=maybe"], 64),
        ([ENGINE, "--update-expect"], 64),
        ([ENGINE, "--expect", "/nonexistent/known.toml"], 65),
        ([ENGINE, "--jobs", "-1"], 64),
        ([ENGINE, "--profile", "none"], 64),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else str(value),
)
def test_what_makes_no_sense_is_said_in_a_line(arguments, status):
    suite_failed("run", *arguments, status=status)


# --- which cases


def test_cases_are_chosen_and_left_out():
    _, document = ran(ENGINE, *FEW, "--skip", "*/v10/twice-*", "--skip", "*/head-and-tail")
    left_out = {name for name, outcome in outcomes(document).items() if outcome == "skip"}
    assert left_out == {"ACW-DYN-003/v10/twice-into-one-unit", "ACW-DYN-003/v10/head-and-tail"}


def test_the_first_that_fails_is_the_last():
    status, document = ran(f"{BAD}LOSES", *FEW, "-x")
    assert status == 1
    assert list(outcomes(document).values()).count("fail") == 1


def test_two_processes_find_what_one_does(lost):
    one = json.loads((lost[1] / "json").read_text())
    _, two = ran(f"{BAD}LOSES", *FEW, "-j", "2")
    assert outcomes(one) == outcomes(two)
    assert [case["case"] for case in one["cases"]] == [case["case"] for case in two["cases"]]


def test_a_name_that_no_case_has_is_no_green_run():
    suite_failed("run", ENGINE, "-k", "nothing_has_this_name", "-j", "1", status=64)


def test_the_profile_counts():
    name = "ACW-FEA-003/v10"
    reviewed = ran(ENGINE, "-k", name)[1]
    written = ran(ENGINE, "-k", name, "--profile", "as-written")[1]
    assert (reviewed["profile"], written["profile"]) == ("reviewed", "as-written")
    assert set(outcomes(reviewed).values()) == {"pass", "unsupported"}
    assert set(outcomes(written).values()) == {"pass"}


def test_choices_are_observed_and_held_to():
    name = "one-choice-names-overlap"
    assert ran(ENGINE, "-k", name)[1]["choices"] == {"names-overlap/v10": "accept"}
    assert ran(ENGINE, "-k", name, "--choice", "names-overlap=accept")[0] == 0
    assert ran(ENGINE, "-k", name, "--choice", "names-overlap=refuse")[0] == 1


# --- what is expected


def known(path, **entry):
    lines = "\n".join(f"{name} = {json.dumps(value)}" for name, value in entry.items())
    with path.open("a") as file:
        file.write(f"[[expect]]\n{lines}\n")
    return path


def test_a_known_failure_is_as_expected_and_a_case_that_is_not_run_does_not_matter(tmp_path):
    file = known(tmp_path / "known.toml", case="ACW-DYN-003/v10/*", outcome="fail", reason="it loses writes")
    known(file, case="ACW-DYN-001/v6/models", outcome="fail", reason="slow")
    status, document = ran(f"{BAD}LOSES", "-k", CASE, "--expect", file)
    assert (status, outcomes(document)[CASE]) == (0, "fail")


def test_a_known_failure_that_passes_is_not(tmp_path):
    file = known(tmp_path / "known.toml", case=CASE, outcome="fail", reason="it lost writes")
    assert ran(ENGINE, "-k", CASE, "--expect", file)[0] == 1


def test_an_entry_that_matches_nothing_is_not(tmp_path):
    file = known(tmp_path / "known.toml", case="ACW-DYN-003/v10/none", outcome="fail", reason="a slip")
    status, document = ran(ENGINE, "-k", CASE, "--expect", file)
    assert status == 1
    assert [entry["case"] for entry in document["unmatched"]] == ["ACW-DYN-003/v10/none"]


# README's commands go on from such a file.
def test_what_deviates_is_written_down(tmp_path):
    file = tmp_path / "known.toml"
    assert suite("run", f"{BAD}LOSES", *FEW, "--expect", file, "--update-expect").status == 0
    entries = tomllib.loads(file.read_text())["expect"]
    assert {(entry["case"], entry["outcome"]) for entry in entries} >= {(CASE, "fail")}


# --- where it goes


def test_every_report_is_written(lost):
    _, place = lost
    for kind in (*KINDS, "summary"):
        assert "LOSES" in (place / kind).read_text() or kind == "badge"
    assert json.loads((place / "badge").read_text())["schemaVersion"] == 1
    assert CASE.replace("/", "-") + ".sh" in os.listdir(place / "scripts")


def test_a_job_of_github_gets_annotations(lost):
    assert lost[0].output.count("::error ") in range(1, 11)


# --- pytest


def test_pytest_runs_the_suite(tmp_path):
    result = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "--pyargs",
            "addcow_conformance.suite",
            "--target",
            ENGINE,
            "-k",
            CASE,
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "1 passed" in result.stdout, result.stdout + result.stderr
    assert result.returncode == 0


def test_pytest_needs_a_target(tmp_path):
    command = [sys.executable, "-m", "pytest", "--pyargs", "addcow_conformance.suite", "-k", CASE]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode != 0
    assert "--target" in result.stdout + result.stderr


def test_what_surrounds_it_does_not_matter(tmp_path, monkeypatch):
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --nonsense\n")
    (tmp_path / "conftest.py").write_text("raise SystemExit('here')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTEST_ADDOPTS", "--more-nonsense")
    assert suite("run", ENGINE, "-k", CASE, "-j", "1").status == 0
    assert os.environ["PYTEST_ADDOPTS"] == "--more-nonsense"


# --- its end


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_a_signal_ends_it_and_all_that_it_started(tmp_path, number):
    name = target_name(REFERENCE)
    process = suite_process("run", name, "-j", "1", cwd=ROOT, env=os.environ | {"TMPDIR": str(tmp_path)})
    try:
        while not list(tmp_path.glob("addcow-run-*/addcow-*")):
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(number)
        output, errors = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 128 + number
    assert (output, b"Traceback" in errors) == (b"", False), errors
    left = list(children_of(os.fspath(tmp_path)))
    assert (left, os.listdir(tmp_path)) == ([], [])


def children_of(place):
    """Processes that have a directory for their temporary files."""
    for number in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{number}/environ", "rb") as file:
                if f"\0TMPDIR={place}".encode() in b"\0" + file.read():
                    yield number
        except OSError:
            continue


# --- list, explain, copy


def test_cases_are_listed():
    document = suite("list", "--output", "json", "ACW-DYN-003/v10/*").document
    Draft202012Validator(json.loads(suite("list", "--schema").output)).validate(document)
    assert CASE in {case["case"] for case in document["cases"]}
    assert {case["revision"] for case in document["cases"]} == {"v10"}
    assert CASE in suite("list", "--revision", "v10").output
    assert CASE not in suite("list", "--revision", "v6").output


def test_choices_are_listed():
    document = suite("list", "--choices", "--output", "json").document
    Draft202012Validator(json.loads(suite("list", "--schema").output)).validate(document)
    assert document["choices"] == FLAGS


def test_a_glob_that_matches_nothing_is_said():
    suite_failed("list", "ACW-NO*", status=64)


def test_a_case_is_explained(tmp_path):
    said = suite("explain", CASE).output
    (judge,) = (line for line in said.splitlines() if line.startswith("Judged by:"))
    assert "addcow-conformance" in judge
    assert CASE in said
    assert "ACW-DYN-003" in said
    program = tmp_path / "program.json"
    program.write_text(suite("explain", CASE, "--program").output)
    assert suite("replay", program).status == 0
    assert "ACW-HDR-001" in suite("explain", "ACW-HDR-001/v10/byte-0-wrong").output
    suite_failed("explain", "ACW-HDR-001/v10/byte-0-wrong", "--program", status=64)
    suite_failed("explain", "\x1b[31m", status=64)


def test_vectors_are_copied(tmp_path):
    place = tmp_path / "vectors"
    assert suite("copy", place).status == 0
    manifest = json.loads((place / "MANIFEST.json").read_text())
    for name, digest in manifest["files"].items():
        assert hashlib.sha256((place / name).read_bytes()).hexdigest() == digest
    assert (
        subprocess.run(["sha256sum", "-c", "--quiet", "SHA256SUMS"], cwd=place, check=False).returncode == 0
    )
    assert load_vectors(place / "vectors") == load_vectors(CORPUS)
    suite_failed("copy", place, status=1)


def test_files_of_vectors_are_made(tmp_path):
    place = tmp_path / "vectors"
    assert suite("copy", place, "--files", "-q").output == ""
    made = place / "files/ACW-HDR-001-byte-0-wrong/image.add-cow"
    assert made.read_bytes()[1:8] == b"DD_COW\xff"
