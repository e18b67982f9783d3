"""addcow-conformance crash."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from functools import cache

import pytest
from jsonschema import Draft202012Validator

from addcow_conformance.commands import crash
from addcow_conformance.commands._words import _WORDS, operation_words
from addcow_conformance.powerloss import FAMILIES
from addcow_conformance.programs import Fault, Race, Read, Stream, Via, Write, load_program
from addcow_conformance.programs._program import OPERATIONS
from addcow_spec.model import Revision
from addcow_spec.rules import rule
from tests.conformance import variants
from tests.conformance.command import suite, suite_failed, suite_process
from tests.repo.tree import ROOT
from tests.terminal import shell_on_terminal

PATIENCE = 60
WRONG = variants.target(variants.OneFileFlush)
QUICK = ("crash", "--revision", "v6", "--ops", "1")
JSON = (*QUICK, "--output", "json")

# Targets whose opening does not return.
DYING = "from addcow_ref import create_image\ndef open_image(*a, **k):\n    import os, sys\n    {}\n"


@cache
def validator():
    return Draft202012Validator(json.loads(suite("crash", "--schema").output))


@pytest.fixture
def program_path(monkeypatch):
    """Commands that are run find the variants, and addcow-conformance."""
    monkeypatch.setenv("PYTHONPATH", os.fspath(ROOT))
    monkeypatch.setenv("PATH", f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}")


def without_times(document):
    """What must not depend on the machine."""
    for part in (document, document["total"], *document["families"]):
        part.pop("seconds", None)
        part.pop("states-per-second", None)
    return document


def test_engine_breaks_no_rule():
    answer = suite(*QUICK)
    assert (answer.status, answer.errors) == (0, "")
    assert answer.output.startswith("ok: python:addcow_ref")
    lines = [line.split() for line in answer.output.splitlines()]
    names = [f.name for f in FAMILIES if f.disk.revision == "v6"]
    table = lines[lines.index([]) + 1 :]
    assert [row[0] for row in table] == ["family", *names, "total"]
    assert {len(row) for row in table} == {7}


def test_document_of_the_engine():
    document = suite(*JSON).document
    validator().validate(document)
    assert (document["complete"], document["violated"], document["violations"]) == (True, False, [])
    total = document["total"]
    assert total["workloads"] == sum(1 + len(family["alphabet"]) for family in document["families"])
    for name in ("workloads", "moments", "exhausted", "states", "distinct"):
        assert total[name] == sum(family[name] for family in document["families"]) > 0


def test_every_revision_without_the_option():
    document = suite("crash", "--ops", "0", "--output", "json").document
    assert [family["name"] for family in document["families"]] == [family.name for family in FAMILIES]
    assert {family["name"].split("-")[0] for family in document["families"]} == set(Revision)
    document = suite(*JSON[:1], "--ops", 0, *JSON[-2:], "--revision", "v4", "--revision", "v10").document
    assert {family["revision"] for family in document["families"]} == {"v4", "v10"}


def test_effort_is_told_and_used():
    least = suite(*JSON, "--bound", 0, "--samples", 2, "--seed", 7).document
    assert (least["bound"], least["samples"], least["seed"]) == (0, 2, 7)
    assert least["total"]["exhausted"] == 0
    assert least["total"]["states"] == 2 * least["total"]["moments"]
    most = suite(*JSON, "--bound", 5000).document
    assert most["total"]["exhausted"] == most["total"]["moments"]
    assert most["total"]["states"] > suite(*JSON).document["total"]["states"]
    shown = suite(*QUICK, "--bound", 0, "--samples", 2, "--seed", 7).output
    assert "seed 7, bound 0, samples 2" in shown


def test_violation_is_told_whole():
    answer = suite(*QUICK, "--target", WRONG)
    assert (answer.status, answer.errors) == (77, "")
    assert answer.output.startswith("violated: ")
    for text in ("ACW-DYN-005", rule("ACW-DYN-005").title, "write 512 bytes", ": lost", "again: "):
        assert text in answer.output
    assert answer.output.isascii()


@pytest.mark.usefixtures("program_path")
def test_command_that_is_told_runs_it_again(tmp_path):
    for more in ((), ("--save", tmp_path / "it's")):
        answer = suite(*QUICK, "--target", WRONG, *more)
        command = next(
            line.partition("again: ")[2] for line in answer.output.splitlines() if "again: " in line
        )
        done = subprocess.run(
            ["sh", "-c", command], cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
        assert (done.returncode, done.stderr) == (77, "")
        assert "ACW-" in done.stdout


def test_document_of_a_violation():
    document = suite(*JSON, "--target", WRONG).document
    validator().validate(document)
    assert document["violated"] is True
    assert {found["rule"] for found in document["violations"]} == {
        rule for family in document["families"] for rule in family["rules"]
    }
    for found in document["violations"]:
        assert len(found["operations"]) == len(found["program"]["operations"]) == 1
        assert any(line.endswith((": lost", ": there")) or "torn" in line for line in found["order"])
        assert found["file"] is None


def test_programs_are_kept(tmp_path):
    directory = tmp_path / "a" / "found"
    document = suite(*JSON, "--target", WRONG, "--save", directory).document
    validator().validate(document)
    kept = sorted(directory.iterdir())
    assert [found["file"] for found in document["violations"]] != []
    assert sorted(found["file"] for found in document["violations"]) == [os.fspath(path) for path in kept]
    for path in kept:
        assert path.name.startswith(f"{load_program(path.read_bytes()).rule}-v6")
    before = {path: path.read_bytes() for path in kept}
    assert suite(*QUICK, "--target", WRONG, "--save", directory).status == 77
    assert {path: path.read_bytes() for path in directory.iterdir()} == before
    assert suite("replay", "--target", WRONG, *kept).status == 77
    assert suite("replay", *kept).status == 0


def test_nothing_is_kept_of_nothing(tmp_path):
    assert suite(*QUICK, "--save", tmp_path / "found").status == 0
    assert list((tmp_path / "found").iterdir()) == []


def test_directory_that_cannot_be_made_is_1(tmp_path):
    (tmp_path / "file").touch()
    suite_failed(*QUICK, "--save", tmp_path / "file" / "found", status=1)


def test_exit_first_stops():
    whole, first = (suite(*JSON, "--target", WRONG, *more).document for more in ((), ("-x",)))
    validator().validate(first)
    assert (first["complete"], first["violated"]) == (False, True)
    assert 0 < first["total"]["workloads"] < whole["total"]["workloads"]
    assert suite(*JSON, "-x").document["complete"] is True


@pytest.mark.parametrize("target", [WRONG, "python:addcow_ref"])
def test_jobs_find_the_same(target):
    alone = suite(*JSON, "--target", target)
    for jobs in (0, 3):
        together = suite(*JSON, "--target", target, "--jobs", jobs)
        assert together.status == alone.status
        assert without_times(together.document) == without_times(alone.document)


def test_quiet_says_nothing_of_what_is_right():
    assert suite(*QUICK, "-q") == (0, "", "")
    assert "ACW-DYN-005" in suite(*QUICK, "-q", "--target", WRONG).output
    assert suite(*JSON, "-q").document["violated"] is False


def test_list_of_all_that_is_tried():
    answer = suite("crash", "--list")
    assert answer.status == 0
    for family in FAMILIES:
        assert f"{family.name}: {family.disk.revision}, {family.disk.size} bytes" in answer.output
        for operation in family.alphabet:
            assert operation_words(operation) in answer.output
    document = suite("crash", "--list", "--output", "json", "--revision", "v10").document
    validator().validate(document)
    assert {family["revision"] for family in document} == {"v10"}


def test_every_operation_has_words():
    assert set(_WORDS) == set(OPERATIONS.values())
    told = {
        operation_words(operation)
        for operation in (
            Fault(2),
            Fault(2, 9999, 1),
            Race(Read(0, 1), Write(0, 2), 3),
            Stream(1),
            Stream(2),
            Stream(),
            *(OPERATIONS["reopen"](writable=w, via=via) for w in (True, False) for via in Via),
        )
    }
    assert len(told) == 6 + 2 * len(Via)


# --- where it goes


def test_answer_goes_into_a_file_whole(tmp_path):
    target = tmp_path / "answer.json"
    target.write_text("old")
    target.chmod(0o640)
    assert suite(*JSON, "-o", target) == (0, "", "")
    validator().validate(json.loads(target.read_text()))
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    assert suite("crash", "--list", "-o", target) == (0, "", "")
    assert target.read_text() == suite("crash", "--list").output
    assert [path.name for path in tmp_path.iterdir()] == ["answer.json"]


def test_file_that_cannot_be_written_is_known_before_the_work(tmp_path, monkeypatch):
    monkeypatch.setattr(crash, "explore", lambda **_: pytest.fail("works"))
    assert "no/answer" in suite_failed(*QUICK, "-o", tmp_path / "no" / "answer", status=1)


def test_file_stays_where_the_work_fails(tmp_path, monkeypatch):
    def fail(**_):
        raise OSError(28, "no space")

    (tmp_path / "answer").write_text("old")
    monkeypatch.setattr(crash, "explore", fail)
    suite_failed(*QUICK, "-o", tmp_path / "answer", status=70)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


PATCHED = "from addcow_conformance import _terminal, cli_suite; _terminal._PATIENCE = 0; cli_suite.main()"


def test_a_bar_on_a_terminal_only():
    shown = shell_on_terminal(["-c", PATCHED, *QUICK])
    assert b"cutting the power" in shown
    assert b"100%" in shown
    assert b"cutting" not in shell_on_terminal(["-c", PATCHED, *QUICK, "-q"])
    done = subprocess.run([sys.executable, "-c", PATCHED, *QUICK], capture_output=True, check=True)
    assert done.stderr == b""


# --- targets that misbehave


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize("code", ["sys.exit(0)", "raise KeyboardInterrupt", "raise GeneratorExit"])
def test_a_target_that_ends_the_program_is_70(tmp_path, monkeypatch, jobs, code):
    (tmp_path / "ending.py").write_text(DYING.format(code))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "ending", raising=False)
    suite_failed(*QUICK, "--jobs", jobs, "--target", "python:ending", status=70)


@pytest.mark.parametrize("code", ["os._exit(0)", "os.kill(os.getpid(), 9)"])
def test_a_worker_that_dies_is_70_in_one_line(tmp_path, code):
    (tmp_path / "dying.py").write_text(DYING.format(code))
    arguments = ("crash", "--jobs", 3, "--ops", 1, "--target", "python:dying", "-o", "answer")
    with suite_process(*arguments, cwd=tmp_path) as process:
        output, errors = process.communicate(timeout=PATIENCE)
    assert (process.returncode, output) == (70, b"")
    assert errors.startswith(b"addcow-conformance: ")
    assert errors.count(b"\n") == 1
    assert not (tmp_path / "answer").exists()


def test_a_rule_that_a_target_makes_up(tmp_path, monkeypatch):
    (tmp_path / "inventive.py").write_text(
        "from addcow_ref import create_image, open_image as _open\n"
        "from addcow_spec.errors import InvalidImage\n"
        "calls = 0\n"
        "def open_image(*a, **k):\n"
        "    global calls\n"
        "    calls += 1\n"
        "    if calls > 1:\n"
        "        raise InvalidImage('\\x1b[2J\\udcff\\ud800', rule='../../x\\n\\x1b[2J')\n"
        "    return _open(*a, **k)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "inventive", raising=False)
    found = tmp_path / "found"
    arguments = (*QUICK, "--target", "python:inventive", "--save", found)
    answer = suite(*arguments)
    assert answer.status == 77
    assert all(line.isprintable() for line in answer.output.splitlines())
    names = {path.name for path in tmp_path.iterdir()} - {"__pycache__"}
    assert names == {"inventive.py", "found"}
    for path in found.iterdir():
        assert load_program(path.read_bytes()).operations is not None
    sys.modules["inventive"].calls = 0
    document = suite(*arguments, "--output", "json").document
    validator().validate(document)
    assert all(rule.isprintable() for family in document["families"] for rule in family["rules"])


# --- signals


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        return [int(word) for word in file.read().split()]


def is_running(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            return file.read().rpartition(") ")[2][0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_for(condition):
    end = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < end
        time.sleep(0.01)
    return found


def working(pid):
    """The workers, once there are two and both are at work: then they ignore interrupts."""
    found = children(pid)
    return found if len(found) == 2 and all(map(ignores_interrupts, found)) else []


def ignores_interrupts(pid):
    try:
        with open(f"/proc/{pid}/status", encoding="ascii") as file:
            masks = dict(line.split(":", 1) for line in file)
    except (FileNotFoundError, ProcessLookupError):  # it has ended since
        return 0
    return int(masks["SigIgn"], 16) >> (signal.SIGINT - 1) & 1


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)]
)
def test_workers_end_with_the_command(tmp_path, number, status):
    arguments = ("crash", "--jobs", 2, "--ops", 3, "--output", "json", "-o", tmp_path / "answer")
    with suite_process(*arguments) as process:
        workers = wait_for(lambda: working(process.pid))
        process.send_signal(number)
        output, errors = process.communicate(timeout=PATIENCE)
    assert (process.returncode, output, errors) == (status, b"", b"")
    wait_for(lambda: not any(map(is_running, workers)))
    if number != signal.SIGKILL:
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_without_workers_it_ends_as_well(tmp_path, number, status):
    (tmp_path / "deaf.py").write_text(
        "from addcow_ref import create_image, open_image as _open\n"
        "import os\n"
        "def open_image(*a, **k):\n"
        f"    try: os.kill(os.getpid(), {int(number)})\n"
        "    except BaseException: pass\n"
        "    return _open(*a, **k)\n"
    )
    with suite_process(*QUICK, "--target", "python:deaf", cwd=tmp_path) as process:
        output, errors = process.communicate(timeout=PATIENCE)
    assert (process.returncode, output, errors) == (status, b"", b"")


def test_an_ignored_interrupt_stays_ignored():
    code = (
        "import os, signal, subprocess, sys; signal.signal(signal.SIGINT, signal.SIG_IGN);"
        "os.execv(sys.executable, [sys.executable, '-c', sys.argv[1], *sys.argv[2:]])"
    )
    inner = (
        "import os, signal; from addcow_conformance import _start;"
        "from addcow_conformance.commands import crash;"
        "real = crash.explore;"
        "crash.explore = lambda **k: (os.kill(os.getpid(), signal.SIGINT), real(**k))[1];"
        "_start.addcow_conformance()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, inner, *QUICK], capture_output=True, timeout=PATIENCE, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")
