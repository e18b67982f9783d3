"""addcow-conformance: what all its subcommands have in common."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from addcow_conformance.cli_suite import COMMANDS
from tests.conformance.command import suite, suite_failed, suite_process

MODULES = Path(__file__).parents[2] / "conformance/addcow_conformance/commands"
PATIENCE = 60

GOOD = "from addcow_ref import create_image, open_image\n"


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty working directory; what is imported there is forgotten."""
    before = list(sys.path), set(sys.modules)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    sys.path[:] = before[0]
    for name in set(sys.modules) - before[1]:
        if (getattr(sys.modules[name], "__file__", None) or "").startswith(os.fspath(tmp_path)):
            del sys.modules[name]


@pytest.fixture
def program(tmp_path):
    path = tmp_path / "program.json"
    path.write_text('{"add-cow program": 1, "disk": {"revision": "v10", "size": 512}, "operations": []}')
    return path


def test_every_subcommand_is_listed_and_has_help():
    assert set(COMMANDS) == {path.stem for path in MODULES.glob("[a-z]*.py")}
    listed = suite("-h")
    assert listed.status == 0
    for name in COMMANDS:
        assert f"  {name} " in listed.output
        shown = suite(name, "--help")
        assert (shown.status, shown.errors) == (0, "")
        for word in ("Examples:", "Exit status:", "64"):
            assert word in shown.output


def test_help_loads_no_subcommand():
    code = (
        "import sys; from addcow_conformance.cli_suite import run; run(['-h']); run(['--version']);"
        "assert not {m for m in sys.modules if '.commands.' in m and '._' not in m};"
        "assert 'addcow_ref' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL, check=True)


def test_version():
    assert suite("--version").output.startswith("addcow-conformance, version ")


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nope"],
        ["--nope"],
        ["crash", "--nope"],
        ["crash", "--ops", "-1"],
        ["crash", "--ops", "7"],
        ["crash", "--ops", "x"],
        ["crash", "--jobs", "-1"],
        ["crash", "--samples", "0"],
        ["crash", "--bound", "-1"],
        ["crash", "--seed", "x"],
        ["crash", "--revision", "v5"],
        ["crash", "--output", "html"],
        ["crash", "more"],
        ["replay"],
        ["replay", "--output", "jsonl", "x"],
        ["replay", "--target", "addcow_ref", "x"],
        ["crash", "--target", "python:"],
        ["crash", "--target", "nbd:x\x1b[2J"],
        ["crash", "--target", ""],
    ],
)
def test_wrong_usage_is_64_in_one_line(arguments):
    suite_failed(*arguments, status=64)


WRONG_TARGETS = {
    "absent": None,
    "fails": "raise RuntimeError('two\\nlines \\x1b[2J')",
    "mute": "class E(Exception):\n    def __str__(self): raise ValueError\nraise E",
    "broken": "def (",
    "ends": "import sys; sys.exit(0)",
    "interrupts": "raise KeyboardInterrupt",
    "half": "def create_image(): pass",
    "none": "",
}


@pytest.mark.usefixtures("program")
@pytest.mark.parametrize("name", WRONG_TARGETS)
@pytest.mark.parametrize("command", [["crash"], ["replay", "program.json"]], ids=lambda c: c[0])
def test_target_that_cannot_be_loaded_is_69(home, name, command):
    if WRONG_TARGETS[name] is not None:
        (home / f"wrong_{name}.py").write_text(WRONG_TARGETS[name])
    suite_failed(*command, "--target", f"python:wrong_{name}", status=69)


@pytest.mark.parametrize("name", ["python:addcow_ref:nothing", "python:.addcow_ref", "python:os", "python: "])
def test_what_is_no_implementation_is_69(name):
    suite_failed("crash", "--target", name, status=69)


def test_targets_of_the_working_directory(home, program):
    (home / "mything.py").write_text(
        GOOD + "class inner:\n    pass\n" + "inner.create_image = create_image\n"
    )
    assert suite("replay", "--target", "python:mything", program).status == 0
    assert suite("replay", "--target", "python:mything", program).status == 0
    assert sys.path.count(os.fspath(home)) == 1
    suite_failed("replay", "--target", "python:mything:inner", program, status=69)


def test_python_can_be_told_not_to_look_there(tmp_path, program):
    (tmp_path / "mything.py").write_text(GOOD)
    code = "from addcow_conformance.cli_suite import main; main()"
    for options, status in ((["-P"], 69), ([], 0)):
        words = [sys.executable, *options, "-c", code, "replay", "--target", "python:mything", program]
        done = subprocess.run(words, cwd=tmp_path, capture_output=True, timeout=PATIENCE, check=False)
        assert done.returncode == status


def test_what_a_target_prints_is_not_in_the_answer(home, program):
    (home / "chatty.py").write_text(
        GOOD + "print('loading')\n_open = open_image\n"
        "def open_image(*a, **k):\n    print('opening')\n    return _open(*a, **k)\n"
    )
    answer = suite("replay", "--output", "json", "--target", "python:chatty", program)
    assert answer.document["programs"][0]["outcome"] == "ok"
    assert "loading" in answer.errors
    for jobs in (1, 2):
        arguments = ("--output", "json", "--revision", "v6", "--ops", "0", "--jobs", jobs)
        answer = suite("crash", *arguments, "--target", "python:chatty")
        assert answer.document["violated"] is False


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shell_completion(shell):
    environment = os.environ | {"_ADDCOW_CONFORMANCE_COMPLETE": f"{shell}_source"}
    with suite_process(env=environment) as process:
        output, errors = process.communicate(timeout=PATIENCE)
    assert (process.returncode, errors) == (0, b"")
    assert b"_ADDCOW_CONFORMANCE_COMPLETE" in output.upper()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("", [f"plain,{name}" for name in COMMANDS]),
        ("crash --revision v", ["plain,v4", "plain,v6", "plain,v10"]),
        ("crash --target py", ["plain,python:addcow_ref"]),
        ("crash --output j", ["plain,json"]),
        ("replay fi", ["file,fi"]),
        ("crash --save d", ["dir,d"]),
    ],
)
def test_what_is_completed(words, expected):
    line = f"addcow-conformance {words}"
    environment = os.environ | {
        "_ADDCOW_CONFORMANCE_COMPLETE": "bash_complete",
        "COMP_WORDS": line,
        "COMP_CWORD": str(line.count(" ")),
    }
    with suite_process(env=environment) as process:
        output, errors = process.communicate(timeout=PATIENCE)
    assert (process.returncode, errors) == (0, b"")
    assert output.decode().splitlines() == expected


@pytest.mark.parametrize(
    "command", ["crash --list", "crash --schema", "crash --ops 0", "replay --schema", "-h"]
)
def test_output_that_cannot_be_written_is_1_in_one_line(command):
    with open("/dev/full", "wb") as full, suite_process(*command.split(), stdout=full) as process:
        _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert errors.startswith(b"addcow-conformance: ")
    assert errors.count(b"\n") == 1


@pytest.mark.parametrize("command", ["crash --list", "crash --ops 0", "-h"])
def test_a_reader_that_leaves_is_no_traceback(command):
    reader, writer = os.pipe()
    os.close(reader)
    with suite_process(*command.split(), stdout=writer) as process:
        os.close(writer)
        _, errors = process.communicate(timeout=PATIENCE)
    assert (process.returncode, errors) == (1, b"")


def test_closed_streams_are_no_traceback(program):
    words = [sys.executable, "-m", "addcow_conformance.cli_suite", "replay", str(program)]
    line = f"{shlex.join(words)} <&- >&- 2>&-"
    assert subprocess.run(["sh", "-c", line], timeout=PATIENCE, check=False).returncode == 0


@pytest.mark.parametrize(
    ("module", "arguments", "status"),
    [
        ("cli_suite", ("replay", "no-such-file"), 1),
        ("cli_suite", ("crash", "--ops", "99"), 64),
        ("cli_check", (), 64),
    ],
)
def test_standard_error_that_is_full_changes_no_status(home, module, arguments, status):
    # Else the output is kept back until the end, where what could not be said must not fail again.
    quiet = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    command = [sys.executable, "-m", f"addcow_conformance.{module}", *arguments]
    with open("/dev/full", "wb") as full:
        done = subprocess.run(command, env=quiet, cwd=home, stderr=full, timeout=PATIENCE, check=False)
    assert done.returncode == status
