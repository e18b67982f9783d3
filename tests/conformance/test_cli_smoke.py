"""addcow-conformance smoke, and replay with a program in a process of its own."""

from __future__ import annotations

import json
import shutil
import sys
from functools import cache

import pytest
from jsonschema import Draft202012Validator

from addcow_conformance.commands._smoke_steps import STEPS
from addcow_conformance.programs import (
    Backing,
    BackingKind,
    Disk,
    Fault,
    Flush,
    Kill,
    PowerLoss,
    Program,
    Read,
    StorageKind,
    Write,
    dump_program,
)
from addcow_conformance.protocol import _schema
from addcow_spec.model import Revision
from addcow_spec.rules import rule
from tests.conformance.command import suite, suite_failed
from tests.conformance.stdio_programs import NODE, REFERENCE, faulty, target_name, wrong

TARGET = target_name(REFERENCE)
DISK = Disk(Revision.V10, 70_000, Backing(BackingKind.RAW, 1000))
NO_NODE = shutil.which("node") is None

# Who is to blame, the step that fails, and the rule.
BROKEN = {
    "no program": (("./no-such-program",), "adapter", "starts", None),
    "false": (("false",), "adapter", "starts", None),
    "early": (wrong("early"), "adapter", "starts", None),
    "other version": (wrong("other-version"), "adapter", "starts", None),
    "answers all": (wrong("answers"), "adapter", "speaks the protocol", None),
    "dies of what it does not know": (wrong("exit-3"), "adapter", "speaks the protocol", None),
    "refuses what it does not know": (wrong("refuses"), "adapter", "speaks the protocol", None),
    "creates nothing": (wrong("fails"), "implementation", "creates", "ACW-DYN-010"),
    "loses writes": (faulty("lost-writes"), "implementation", "writes", "ACW-DYN-002"),
    "crashes": (faulty("crashes"), "implementation", "writes", None),
    "reads elsewhere": (faulty("wrong-reads"), "implementation", "reads back", "ACW-DYN-001"),
    "flushes nothing": (faulty("no-flush"), "implementation", "flushes", "ACW-DYN-005"),
    "opens anything": (faulty("opens-all"), "implementation", "refuses broken images", "ACW-HDR-001"),
}


@cache
def validator(command):
    return Draft202012Validator(json.loads(suite(command, "--schema").output))


def document(command, *arguments, status):
    answer = suite(command, "--output", "json", *arguments)
    assert answer.status == status, answer
    validator(command).validate(answer.document)
    return answer.document


@pytest.mark.parametrize("revision", Revision)
def test_the_reference_engine_passes(revision):
    found = document("smoke", "--revision", revision, "--validate-protocol", TARGET, status=0)
    assert [(step["step"], step["outcome"]) for step in found["steps"]] == [(step, "ok") for step in STEPS]
    assert (found["fault"], found["implementation"]["name"]) == ("none", "addcow_ref")


def test_a_module_passes():
    found = document("smoke", "python:addcow_ref", status=0)
    assert [step["step"] for step in found["steps"] if step["outcome"] == "skipped"] == [
        "speaks the protocol",
        "ends",
    ]
    assert found["implementation"] is None


@pytest.mark.system
@pytest.mark.skipif(NO_NODE, reason="there is no node")
def test_the_example_passes():
    assert document("smoke", "--validate-protocol", target_name(NODE), status=0)["fault"] == "none"
    assert "v6" in suite_failed("smoke", "--revision", "v6", target_name(NODE), status=64)


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken(name):
    command, fault, step, broken = BROKEN[name]
    found = document("smoke", target_name(command), status={"adapter": 69, "implementation": 77}[fault])
    assert found["fault"] == fault
    failed = [part for part in found["steps"] if part["outcome"] == "failed"]
    assert [(part["step"], part["rule"]) for part in failed] == [(step, broken)]
    after = STEPS[STEPS.index(step) + 1 :]
    assert {part["outcome"] for part in found["steps"] if part["step"] in after} == {"skipped"}


def test_a_hang_is_the_implementation_s():
    found = document("smoke", "--timeout", "2", target_name(faulty("hangs")), status=77)
    assert found["fault"] == "implementation"


def test_one_that_does_not_end(monkeypatch):
    monkeypatch.setattr("addcow_conformance.adapters._process._GRACE", 0.2)
    found = document("smoke", target_name(faulty("goes-on")), status=69)
    assert found["steps"][-1]["outcome"] == "failed"


def test_for_people():
    answer = suite("smoke", target_name(faulty("lost-writes")))
    assert (answer.status, answer.errors) == (77, "")
    assert f"ACW-DYN-002: {rule('ACW-DYN-002').title}" in answer.output
    said = suite("smoke", target_name(wrong("last-words")))
    assert (said.status, said.errors) == (69, "")
    assert "stderr: \\u{1b}[31mred" in said.output
    assert "\x1b" not in said.output


@pytest.mark.parametrize(
    "arguments",
    [[], ["nbd:x"], ["stdio:"], ["stdio:'"], ["--timeout", "0", TARGET], ["--revision", "v5", TARGET]],
)
def test_wrong_usage(arguments):
    suite_failed("smoke", *arguments, status=64)


def test_a_module_that_there_is_not_is_no_adapter():
    assert document("smoke", "python:no.such.module", status=69)["fault"] == "adapter"


def test_without_jsonschema_one_line_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "jsonschema", None)
    _schema._parts.cache_clear()
    for command in (["smoke", TARGET], ["replay", "--target", TARGET, "x.json"]):
        assert "jsonschema" in suite_failed(*command, "--validate-protocol", status=64)


def test_crash_needs_a_module():
    suite_failed("crash", "--target", TARGET, status=64)


# --- replay


@pytest.fixture
def keep(tmp_path):
    """Writes a program into a file."""

    def write(program, name="program.json"):
        path = tmp_path / name
        path.write_text(dump_program(program))
        return path

    return write


def replayed(command, *files, status):
    return document("replay", "--target", target_name(command), *files, status=status)["programs"]


@pytest.mark.parametrize("storage", StorageKind)
def test_programs_run_in_files_and_skip_what_cannot_be(keep, storage):
    program = Program(DISK, (Write(0, 700), Fault(0), Read(0, 9), Kill()), storage)
    (run,) = replayed(REFERENCE, keep(program), status=0)
    assert (run["outcome"], run["skipped"], run["trouble"]) == ("ok", {"fault": 1}, None)
    assert run["program"]["storage"] == "files"


def test_no_power_is_lost(keep):
    program = Program(DISK, (Write(0, 700),), power_loss=PowerLoss(0, {}, {}))
    (run,) = replayed(REFERENCE, keep(program), status=0)
    assert (run["outcome"], run["skipped"]) == ("ok", {"power-loss": 1})


def test_a_violation_is_told_with_its_step(keep):
    path = keep(Program(DISK, (Read(0, 9), Write(0, 700), Flush())))
    (run,) = replayed(faulty("no-flush"), path, status=77)
    assert (run["outcome"], run["violation"]["rule"], run["violation"]["step"]) == (
        "violated",
        "ACW-DYN-005",
        3,
    )


def test_the_run_goes_on_after_a_crash(keep):
    paths = [keep(Program(DISK, (Read(0, 9), *more)), f"{len(more)}") for more in ((Write(0, 1),), ())]
    first, second = replayed(faulty("crashes"), *paths, status=77)
    assert (first["outcome"], first["violation"], first["trouble"]["step"]) == ("crashed", None, 2)
    assert second["outcome"] == "ok"
    answer = suite("replay", "--target", target_name(faulty("crashes")), *paths)
    assert (answer.status, answer.output.count("ok: ")) == (77, 1)


def test_disks_that_the_target_does_not_have_are_no_fault(keep):
    path = keep(Program(DISK._replace(backing=Backing(BackingKind.QCOW2, 512))))
    (run,) = replayed(faulty("v10-raw"), path, status=0)
    assert run["outcome"] == "unsupported"


def test_replay_tells_last_words(keep):
    answer = suite("replay", "--target", target_name(wrong("last-words")), keep(Program(DISK)))
    assert (answer.status, answer.output) == (77, "")
    assert "stderr: \\u{1b}[31mred" in answer.errors
    assert "\x1b" not in answer.errors
    assert suite("replay", "--target", "stdio:false", keep(Program(DISK))).status == 69
