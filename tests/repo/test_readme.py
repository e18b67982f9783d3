"""What the README tells people to run works, and its links lead somewhere."""

from __future__ import annotations

import os
import re
import shlex
import socket
import subprocess
import sys
import time
import tomllib
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from addcow_conformance.checker import Verdict, check_image
from addcow_conformance.cli_suite import COMMANDS
from addcow_spec.model import QCOW2_MAGIC
from tests.conformance import by_hand
from tests.repo.tree import ROOT

README = (ROOT / "README.md").read_text()
ENGINE = (ROOT / "addcow_ref/README.md").read_text()
JUDGES = (ROOT / "conformance/README.md").read_text()
BIN = Path(sys.executable).parent

# What a command may answer besides 0: the image of the examples is broken on purpose.
BROKEN = {0, 2}

# What tells that a rule is broken.
DEVIATION = {"run": 1, "crash": 77, "replay": 77}

# QEMU as shown, but without a window; it does not start the machine, and ends when it is told to.
HEADLESS = " -display none -S -monitor stdio <<< quit"

# An implementation that takes every write for one that may wait.
FORGETFUL = """
import addcow_ref
from addcow_ref import create_image

def open_image(*arguments, **options):
    image = addcow_ref.open_image(*arguments, **options)
    write = image.write
    image.write = lambda offset, data, fua=False: write(offset, data)
    return image
"""

# Far beyond what a start or an end takes.
PATIENCE = 30


def blocks(language, text=README):
    """The fenced blocks of a language."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return [block for name, block in found if name == language]


def commands(text=README):
    """Every command of the shell blocks, without its comment."""
    lines = [line for block in blocks("sh", text) for line in block.splitlines()]
    return [line.split("  #")[0].strip() for line in lines if line.strip()]


ENVIRONMENT = os.environ | {"PATH": f"{BIN}:{os.environ['PATH']}", "COLUMNS": "100"}


def run(command, cwd):
    return subprocess.run(
        ["bash", "-c", command], cwd=cwd, env=ENVIRONMENT, capture_output=True, text=True, check=False
    )


def run_python(code, cwd):
    return subprocess.run([sys.executable, "-c", code], cwd=cwd, capture_output=True, text=True, check=False)


@contextmanager
def running(command, cwd, listening_at):
    """A server as long as it is needed."""
    with subprocess.Popen(["bash", "-c", f"exec {command}"], cwd=cwd, env=ENVIRONMENT) as server:
        try:
            wait_for(listening_at, server)
            yield
            server.terminate()
            assert server.wait(PATIENCE) == 0
        finally:
            server.kill()


def wait_for(path, server):
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        assert server.poll() is None
        with socket.socket(socket.AF_UNIX) as client:
            if client.connect_ex(os.fspath(path)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError(f"nobody listens at {path}")


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


def test_commands_of_the_suite(tmp_path):
    shown = [command for command in commands() if command.startswith("addcow-conformance")]
    assert {command.split()[1] for command in shown} == COMMANDS.keys()
    (tmp_path / "mything.py").write_text(FORGETFUL)
    for command in shown:
        result = run(command, tmp_path)
        broken = "mything" in command and "--expect" not in command
        wanted = DEVIATION[command.split()[1]] if broken else 0
        assert (result.returncode, result.stderr) == (wanted, ""), command
    assert list((tmp_path / "found").iterdir()) != []


@pytest.mark.system
def test_an_image_from_create_to_finalize(tmp_path):
    base, image, raw = (tmp_path / name for name in ("base.raw", "disk.add-cow", "disk.raw"))
    content = QCOW2_MAGIC * by_hand.CLUSTER
    base.write_bytes(content)
    told = {"create": "Formatting 'disk.add-cow'", "compare": "Images are identical.", "resize": "resized"}
    with ExitStack() as server:
        for command in (c for c in commands() if c.startswith(("addcow-img", "qemu"))):
            program, verb, *_ = command.split()
            if program == "addcow-img":
                server.close()
            if verb == "serve":
                server.enter_context(running(command, tmp_path, tmp_path / "disk.sock"))
                continue
            result = run(command if program == "addcow-img" else command + HEADLESS, tmp_path)
            assert (result.returncode, result.stderr) == (0, ""), command
            assert told.get(verb, "") in result.stdout
            if image.exists():
                assert check_image(os.fsencode(image)).verdict is Verdict.VALID, command
    assert not image.exists()
    assert base.read_bytes() == content
    assert raw.stat().st_size == 30 << 30
    with raw.open("rb") as disk:
        start = by_hand.CLUSTER
        assert disk.read(len(content)) == content[:start] + b"\xaa" * 4096 + content[start + 4096 :]


def test_every_command_of_addcow_img_is_shown():
    shown = {command.split()[1] for command in commands() if command.startswith("addcow-img")}
    assert shown == {path.stem for path in (ROOT / "addcow_ref/cli").glob("[a-z]*.py")}


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


def test_pip_commands_name_what_there_is():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    shown = [shlex.split(command) for command in commands() if command.startswith("pip")]
    assert shown[0] == ["pip", "install", "."]
    # That an extra is none is no failure of pip's.
    for *install, what in shown[1:]:
        assert install == ["pip", "install"]
        assert what.startswith(".[")
        assert set(what[2:].removesuffix("]").split(",")) <= extras.keys()
    result = run("pip install . --dry-run --no-deps --no-build-isolation --quiet", ROOT)
    assert result.returncode == 0, result.stderr


def test_no_command_is_left_out():
    programs = {"make", "addcow-check", "addcow-conformance", "addcow-img", "pip", "qemu-system-x86_64"}
    assert {command.split()[0] for command in commands()} == programs


def test_python_of_the_checker(example):
    restore, _, check = blocks("python")
    image = example / "disk.add-cow"
    before = image.read_bytes()
    run("addcow-check --repair safe disk.add-cow", example)
    assert image.read_bytes() != before
    assert run_python(restore, example).returncode == 0
    assert image.read_bytes() == before
    assert run_python(check, example).stdout == "invalid ['ACW-BMP-002']\n"


def test_python_of_the_engine(example):
    _, engine, _ = blocks("python")
    content = b"base" * by_hand.CLUSTER
    (example / "base.raw").write_bytes(content)
    done = run_python(engine, example)
    assert (done.stdout, done.stderr) == ("b'hello' 1 of 16384\n", "")
    assert not (example / "new.add-cow").exists()
    with (example / "new.raw").open("rb") as raw:
        assert raw.read(len(content)) == content[:65_000] + b"hello" + content[65_005:]


def test_example_of_the_engine_s_guide(tmp_path):
    (guide,) = blocks("python", ENGINE)
    done = run_python(guide, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert list(tmp_path.iterdir()) == []


def test_the_engine_s_guide_names_every_module_once():
    modules = [path for path in (ROOT / "addcow_ref").glob("*.py") if path.name != "__init__.py"]
    order = ENGINE.partition("## Reading the code")[2].partition("\n## ")[0]
    named = re.findall(r"`(\w+\.py)`", order)
    assert sorted(named) == sorted(path.name for path in modules)


def test_commands_of_contributing_name_what_there_is():
    shown = "".join(blocks("sh", (ROOT / "CONTRIBUTING.md").read_text()))
    assert shown
    for line in shown.splitlines():
        program, *arguments = shlex.split(line, comments=True)
        assert program == ".venv/bin/pytest"
        paths = [argument for argument in arguments if argument.startswith("tests/")]
        assert paths or "-m" in arguments
        assert [path for path in paths if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("number", [*range(4), pytest.param(4, marks=pytest.mark.system)])
def test_examples_of_the_judges(tmp_path, number):
    result = run_python(blocks("python", JUDGES)[number], tmp_path)
    assert (result.returncode, result.stderr) == (0, "")


def test_commands_of_the_judges(tmp_path):
    program = tmp_path / "mything"
    program.write_text(f"#!/bin/sh\nexec '{sys.executable}' -m addcow_conformance.adapters.reference\n")
    program.chmod(0o755)
    shown = blocks("sh", JUDGES)[0].splitlines()
    assert [shlex.split(line)[1] for line in shown] == ["run", "list", "explain", "run", "run"]
    for line in shown:
        command = line.split("  #")[0]
        few = " -j 1 --revision v10 -k inside-a-unit" if command.split()[1] == "run" else ""
        result = run(command + few, tmp_path)
        assert (result.returncode, result.stderr) == (0, ""), command
    assert {path.name for path in tmp_path.iterdir()} == {"mything", "known.toml", "junit.xml", "run.html"}


def test_every_example_of_the_judges_is_run():
    assert len(blocks("python", JUDGES)) == 5


DOCUMENTS = [
    "README.md",
    "CONTRIBUTING.md",
    "addcow_ref/README.md",
    "conformance/PROTOCOL.md",
    "conformance/README.md",
    "conformance/examples/stdio-node/README.md",
    "corpora/README.md",
    "fuzz/README.md",
    "fuzz/CAMPAIGN.md",
    "fuzz/CI.md",
    "fuzz/SCALING.md",
    "fuzz/SEEDS.md",
]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_to_files(document):
    path = ROOT / document
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text()):
        assert (path.parent / target).exists(), target
