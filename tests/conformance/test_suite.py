"""The suite: its cases, what becomes of them, and the scripts that do it again."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from copy import copy
from pathlib import Path

import pytest

from addcow_conformance.programs import Disk, Flush, Read, Unsupported, Violation, Write, refused
from addcow_conformance.results import Outcome
from addcow_conformance.suite import CORPUS, FLAGS, Bench, Case, Effort, all_cases, corpus
from addcow_conformance.suite._untouched import untouched
from addcow_conformance.suite._verdict import try_case
from addcow_conformance.targets import load_target
from addcow_spec.errors import Crashed, InvalidImage, ProtocolViolation, SanitizerReport, TimedOut
from addcow_spec.model import Revision
from addcow_spec.rules import Profile, catalogue
from tests.conformance.stdio_programs import REFERENCE, faulty, target_name
from tests.repo.tree import ROOT

CASES = {case.id: case for case in all_cases()}
KNOWN = (Path(__file__).parent / "case_ids.txt").read_text("utf-8").split()


@contextmanager
def bench(name="python:addcow_ref", revision=Revision.V10, profile=Profile.REVIEWED, **options):
    target = load_target(name)
    with tempfile.TemporaryDirectory() as directory:
        yield Bench(
            name,
            target,
            lambda under: load_target(name, under=under),
            revision,
            profile,
            os.fsencode(directory),
            Effort(examples=12, seconds=5, operations=0),
            **options,
        )
    if hasattr(target, "close"):
        target.close()


def tried(check, **options):
    """What becomes of a case that does this."""
    with bench(**options) as found:
        return try_case(Case("ACW-DYN-001", found.revision, "of-a-test", "a title", check), found)


def run(case_id, **options):
    """What becomes of a case of the suite."""
    case = CASES[case_id]
    with bench(revision=case.revision, **options) as found:
        return try_case(case, found)


# --- the cases


def test_names_stay():
    assert len(set(KNOWN)) == len(KNOWN)
    gone = set(KNOWN) - CASES.keys()
    assert gone == set(), (
        "a name of a case is somebody's expectation: it stays, or its going is in the changelog"
    )
    assert CASES.keys() - set(KNOWN) == set(), "new cases are written into case_ids.txt"


def test_every_rule_has_a_case_in_every_revision_that_it_is_for():
    tried = {(case.rule, case.revision.value) for case in all_cases()}
    missing = [
        (rule.id, revision)
        for rule in catalogue().values()
        for revision in rule.revisions
        if not revision.startswith("qcow2") and (rule.id, revision) not in tried
    ]
    assert missing == []
    assert {rule.id for rule in catalogue().values()} == {case.rule for case in all_cases()}


def test_names_are_made_of_rule_revision_and_slug():
    for name, case in CASES.items():
        rule, revision, slug = name.split("/")
        assert (rule, revision) == (case.rule, case.revision.value)
        assert slug.replace("-", "").isalnum()
        assert slug == slug.lower()
        assert case.title
        assert "\n" not in case.title


def test_vectors_are_those_of_the_repository():
    assert CORPUS.resolve() == ROOT / "corpora/vectors"
    assert {vector.id for vector in corpus()} == {
        f"{case.rule}-{case.slug}" for case in all_cases() if case.vector is not None
    }


def test_choices_are_about_rules_that_may_be_broken():
    for about in FLAGS.values():
        assert "should" in catalogue()[about].level.values()


# --- what becomes of a case


def raising(error):
    def check(_bench):
        raise error

    return check


@pytest.mark.parametrize(
    ("error", "outcome", "broken"),
    [
        (Violation("ACW-DYN-003", "so"), Outcome.FAIL, "ACW-DYN-003"),
        (Unsupported("so"), Outcome.UNSUPPORTED, ""),
        (Crashed("so"), Outcome.CRASH, ""),
        (SanitizerReport("so"), Outcome.CRASH, ""),
        (TimedOut("so"), Outcome.TIMEOUT, ""),
        (ProtocolViolation("so"), Outcome.ERROR, ""),
        (ZeroDivisionError("so"), Outcome.ERROR, ""),
    ],
    ids=lambda value: type(value).__name__,
)
def test_each_end_is_an_outcome_of_its_own(error, outcome, broken):
    result = tried(raising(error))
    assert (result.outcome, result.broken, result.revision) == (outcome, broken, "v10")
    assert "so" in result.detail


@pytest.mark.parametrize(
    "case_id",
    [
        "ACW-DYN-014/v10/two-writers",
        "ACW-DYN-014/v10/two-images-of-one-file",
        "ACW-DYN-008/v10/memory-on-a-huge-disk",
    ],
)
def test_nobody_is_judged_by_an_image_that_no_process_has_open(case_id, monkeypatch):
    with bench(target_name(REFERENCE)) as found:
        monkeypatch.setattr(type(found.target), "processes", ())
        assert try_case(CASES[case_id], found).outcome is Outcome.UNSUPPORTED


def test_what_is_told_is_fit_to_be_shown():
    result = tried(raising(Violation("ACW-DYN-003", "\x1b[31m\n\udcff")))
    assert result.detail.isprintable()
    assert "\x1b" not in result.detail


def test_a_difference_tells_the_bytes():
    result = tried(raising(Violation("ACW-DYN-003", "so", (5, b"a", b"b"))))
    assert (result.difference.offset, result.difference.expected, result.difference.seen) == (5, b"a", b"b")


def test_a_revision_that_a_target_has_not_is_unsupported():
    name = target_name(REFERENCE)
    with bench(name) as found:
        found.target.about = found.target.about._replace(revisions=(Revision.V6,))
        result = try_case(CASES["ACW-DYN-002/v10/bit-0"], found)
    assert result.outcome is Outcome.UNSUPPORTED


@pytest.mark.parametrize(
    ("attribute", "case", "outcome", "broken"),
    [
        ("LOSES", "ACW-DYN-003/v10/inside-a-unit", Outcome.FAIL, "ACW-DYN-002"),
        ("RAISES", "ACW-DYN-003/v10/inside-a-unit", Outcome.FAIL, "ACW-DYN-003"),
        ("EXITS", "ACW-DYN-001/v10/clear-bits-read-the-backing-file", Outcome.CRASH, ""),
    ],
)
def test_modules_that_are_wrong_are_told(attribute, case, outcome, broken):
    result = run(case, name=f"python:tests.conformance.suite_targets:{attribute}")
    assert (result.outcome, result.broken) == (outcome, broken)
    assert result.program is not None


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [("crashes", Outcome.CRASH), ("lost-writes", Outcome.FAIL), ("opens-all", Outcome.PASS)],
)
def test_programs_that_are_wrong_are_told(fault, outcome):
    result = run("ACW-DYN-003/v10/inside-a-unit", name=target_name(faulty(fault)))
    assert result.outcome is outcome
    assert bool(result.script) == (outcome is not Outcome.PASS)


def test_images_that_must_be_refused_are_told():
    result = run("ACW-HDR-001/v10/byte-0-wrong", name=target_name(faulty("opens-all")))
    assert (result.outcome, result.broken) == (Outcome.FAIL, "ACW-HDR-001")


def test_a_rule_that_a_profile_has_not_is_nobodys_fault():
    written = Profile.AS_WRITTEN
    assert tried(raising(Violation("ACW-DYN-005", "so")), profile=written).outcome is Outcome.SKIP
    assert tried(raising(Violation("ACW-DYN-001", "so")), profile=written).outcome is Outcome.FAIL
    both = copy(Violation("ACW-DYN-005", "so", otherwise="ACW-DYN-002"))  # as on its way between processes
    for profile, broken in zip(Profile, (both.rule, both.otherwise), strict=True):
        found = tried(raising(both), profile=profile)
        assert (found.outcome, found.broken) == (Outcome.FAIL, broken)
    assert run("ACW-DYN-005/v10/fua-then-kill", profile=written).outcome is Outcome.SKIP
    assert run("ACW-DYN-001/v10/qcow2-below", profile=written).outcome is Outcome.PASS
    # What only the reviewed profile forbids is to be opened.
    assert run("ACW-NAM-002/v10/v10-backing-4095", profile=written).outcome is Outcome.PASS


@pytest.mark.parametrize(
    ("named", "rule"),
    [("ACW-HDR-002", "ACW-HDR-002"), *((name, "ACW-DYN-009") for name in ("ACW-ENV-001", "MINE-1", ""))],
)
def test_who_refuses_what_is_sound_takes_a_rule_too_far(named, rule):
    violation = refused("ACW-DYN-009", "so", InvalidImage("no", rule=named))
    assert (violation.rule, violation.otherwise) == (rule, "ACW-DYN-009")


# --- choices


def test_a_choice_that_is_not_kept_to_is_told():
    name = "ACW-NAM-008/v10/one-choice-names-overlap"
    assert run(name).outcome is Outcome.PASS
    result = run(name, choices={"names-overlap": "refuse"})
    assert (result.outcome, result.broken) == (Outcome.FAIL, "ACW-NAM-008")


def test_a_choice_is_observed():
    with bench() as found:
        try_case(CASES["ACW-NAM-008/v10/one-choice-names-overlap"], found)
    assert found.observed == {"names-overlap/v10": "accept"}


# --- files that are left alone


@pytest.mark.parametrize(
    "change",
    [
        lambda path: path.write_bytes(b"other"),
        lambda path: path.unlink(),
        lambda path: (path.parent / "new").write_bytes(b""),
        lambda path: os.utime(path, (0, 0)),
        lambda path: path.chmod(0o600),
        lambda path: os.truncate(path, 1 << 40),
    ],
)
def test_whatever_changes_is_seen(tmp_path, change):
    path = tmp_path / "file"
    path.write_bytes(b"bytes")
    path.chmod(0o644)
    with pytest.raises(Violation) as caught, untouched(os.fsencode(tmp_path), "ACW-DYN-009", "so"):
        change(path)
    assert caught.value.rule == "ACW-DYN-009"


def test_what_is_only_read_is_untouched(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"bytes")
    os.truncate(path, 1 << 20)
    os.mkfifo(tmp_path / "fifo")
    os.symlink("nowhere", tmp_path / "link")
    with untouched(os.fsencode(tmp_path), "ACW-DYN-009", "so"):
        assert path.read_bytes()[:5] == b"bytes"


# --- scripts


def again(script, directory):
    """What a script ends with, and says."""
    path = os.pathsep.join((os.path.dirname(sys.executable), os.environ["PATH"]))
    file = directory / "script.sh"
    file.write_text(script)
    with tempfile.TemporaryDirectory() as place:
        result = subprocess.run(
            ["sh", file],
            cwd=directory,
            env=os.environ | {"PATH": path, "PYTHONPATH": str(ROOT), "TMPDIR": place},
            capture_output=True,
            timeout=60,
            check=False,
        )
    return result.returncode, result.stdout.decode(), result.stderr.decode()


def test_a_script_of_a_program_does_it_again(tmp_path):
    result = run("ACW-DYN-003/v10/inside-a-unit", name=target_name(faulty("lost-writes")))
    status, said, errors = again(result.script, tmp_path)
    assert errors.strip() in {"", "Killed"}  # as the session ends the program
    assert status == 0
    assert '"result"' in said


def test_a_script_finds_the_program_where_it_is_started(tmp_path, monkeypatch):
    words = shlex.split(target_name(faulty("lost-writes")).partition(":")[2])
    (tmp_path / "my thing").write_text(f"#!/bin/sh\nexec {shlex.join(words)}\n")
    (tmp_path / "my thing").chmod(0o755)
    monkeypatch.chdir(tmp_path)
    for name in ("stdio:'./my thing'", "stdio:sh 'my thing'"):
        result = run("ACW-DYN-003/v10/inside-a-unit", name=name)
        status, said, _ = again(result.script, tmp_path)
        assert status == 0
        assert '"result"' in said
    assert {path.name for path in tmp_path.iterdir()} == {"my thing", "script.sh"}


def test_a_script_of_a_module_ends_as_replay_does(tmp_path):
    result = run("ACW-DYN-003/v10/inside-a-unit", name="python:tests.conformance.suite_targets:LOSES")
    # From there a module of the working directory is found, too.
    shutil.copy(ROOT / "tests/conformance/suite_targets.py", tmp_path / "mine.py")
    mine = result.script.replace("python:tests.conformance.suite_targets:", "python:mine:")
    assert again(mine, tmp_path)[0] == 77
    status, said, _ = again(result.script, tmp_path)
    assert status == 77
    assert "ACW-DYN-002" in said


def test_a_script_makes_the_files_of_a_vector(tmp_path):
    result = run("ACW-HDR-001/v10/byte-0-wrong", name=target_name(faulty("opens-all")))
    made = "\n".join(line for line in result.script.splitlines() if not line.startswith("cd "))
    status, _, errors = again(f"cd {tmp_path} || exit\n{made}", tmp_path)
    assert (status, errors) == (0, "")
    assert (tmp_path / "image.add-cow").read_bytes()[:8] == b"aDD_COW\xff"


def test_a_program_is_kept_as_it_was_run():
    def check(found):
        found.run(Disk(size=512), (Write(0, 5), Flush(), Read(0, 512)))
        raise Violation("ACW-DYN-001", "so")

    program = tried(check).program
    assert [operation["do"] for operation in program["operations"]] == ["write", "flush", "read"]
