"""The command as a whole: help, usage, signals, streams."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from importlib import import_module

import click
import pytest

from addcow_ref.cli._main import COMMANDS
from addcow_spec import __version__
from addcow_spec.errors import UsageError
from tests.conformance import by_hand
from tests.ref.cli.command import HANG, done, environment, failed, img, process
from tests.terminal import shell_on_terminal

pytestmark = pytest.mark.usefixtures("home")


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_lists_the_commands(option):
    text = done(option)
    assert all(f"\n  {name} " in text for name in COMMANDS)
    assert "Exit status:" in text


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command_has_examples(name):
    text = done(name, "-h")
    assert text.startswith(f"Usage: addcow-img {name} ")
    assert f"\n    addcow-img {name} " in text.partition("Examples:")[2]
    assert max(map(len, text.splitlines())) <= 100


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_the_common_options(name):
    command = import_module(f"addcow_ref.cli.{name}").command
    options = {option for parameter in command.params for option in parameter.opts}
    assert {"--revision", "--confine", "-f"} <= options
    assert command.name == name
    texts = [parameter.help for parameter in command.params if isinstance(parameter, click.Option)]
    assert all(texts)


def test_version():
    assert done("--version").strip().endswith(__version__)


@pytest.mark.parametrize(
    "arguments", [[], ["nosuch"], ["--nosuch"], ["info", "--nosuch", "x"], ["info", "--output", "xml", "x"]]
)
def test_wrong_usage_is_64_and_names_the_help(arguments):
    name = "addcow-img info" if arguments[:1] == ["info"] else "addcow-img"
    assert failed(*arguments, status=64).endswith(f"(see {name} --help)")


def test_listing_the_commands_loads_none_of_them():
    code = (
        "import sys; from addcow_ref.cli._main import run; run(['--help']);"
        "print(*(name for name in sys.modules if name.startswith('addcow_ref.cli.') and name[15] != '_'))"
    )
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, env=environment(), capture_output=True, check=True, timeout=HANG)
    assert result.stdout.splitlines()[-1] == b""


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shell_completion_is_offered(shell):
    with process(env=environment(_ADDCOW_IMG_COMPLETE=f"{shell}_source")) as running:
        assert "addcow-img" in running.stdout.read()


def test_commands_are_completed():
    variables = {"_ADDCOW_IMG_COMPLETE": "bash_complete", "COMP_WORDS": "addcow-img co", "COMP_CWORD": "1"}
    with process(env=environment(**variables)) as running:
        assert running.stdout.read().split() == ["plain,convert", "plain,compare"]


def test_a_reader_that_leaves_is_no_traceback(disk):
    lines = ["-c", "read -v 0 600k"] * 3
    with process("io", "-r", *lines, disk) as running:
        running.stdout.readline()
        running.stdout.close()
        assert running.stderr.read() == ""
        assert running.wait(HANG) == 1


def test_streams_that_are_closed_get_nothing_of_the_disk(disk, home):
    before = (home / "base.raw").read_bytes()
    command = (
        f'"{sys.executable}" -m addcow_ref.cli._main io -c "read -v 0 4k" -c "write 0 4k" {disk} >&- 2>&- <&-'
    )
    assert subprocess.run(["sh", "-c", command], env=environment(), check=False, timeout=HANG).returncode == 0
    assert (home / "base.raw").read_bytes() == before
    done("io", "-r", "-c", "read -P 0xcd 0 4k", disk)


def wait_for_sleep(pid):
    """Wait until a process waits for its input: a signal that comes just before is seen only after it."""
    deadline = time.monotonic() + HANG
    while time.monotonic() < deadline:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            if file.read().rpartition(")")[2].split()[0] == "S":
                return
        time.sleep(0.01)
    raise AssertionError("it does not wait for input")


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_it_with_what_was_written_in_place(disk, number, status):
    with process("io", disk, stdin=subprocess.PIPE) as running:
        running.stdin.write("write -P 1 0 4k\n")
        running.stdin.flush()
        assert running.stdout.readline() == "qemu-io> wrote 4096/4096 bytes at offset 0\n"
        running.stdout.readline()
        assert running.stdout.read(len("qemu-io> ")) == "qemu-io> "
        wait_for_sleep(running.pid)
        running.send_signal(number)
        assert running.wait(HANG) == status
        assert "Traceback" not in running.stderr.read()
    done("io", "-r", "-c", "read -P 1 0 4k", disk)


@pytest.mark.parametrize("error", [SystemExit(143), KeyboardInterrupt(), MemoryError()])
def test_a_convert_that_is_ended_leaves_nothing(disk, monkeypatch, error):
    def ended(*_):
        raise error

    monkeypatch.setattr("addcow_ref.cli.convert._copy", ended)
    there = sorted(os.listdir())
    with suppress(SystemExit):
        assert img("convert", disk, "copy").status
    assert sorted(os.listdir()) == there


def test_a_bar_on_a_terminal_only(disk):
    arguments = ["-m", "addcow_ref.cli._main", "stream", "-p", disk]
    shown = shell_on_terminal(arguments, PYTHONPATH=os.pathsep.join(filter(None, sys.path)))
    assert b"streaming" in shown
    assert b"100%" in shown
    assert "streaming" not in done("stream", "-p", disk)


def test_a_bug_is_one_line(disk, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("no such luck")

    monkeypatch.setattr("addcow_ref.cli._opening.open_layer", broken)
    assert failed("info", disk) == "addcow-img: internal error: RuntimeError: no such luck"


def test_confined_everywhere(home):
    (home / "in").mkdir()
    by_hand.v10(home / "in/x", image=b"../disk.raw", size=65536)
    (home / "in/disk.raw").rename(home / "disk.raw")
    for command in ("info", "map", "io", "stream", "finalize"):
        assert "ACW-ENV-004" in failed(command, "--confine", "in", "in/x")
    assert "ACW-ENV-004" in failed("resize", "--confine", "in", "in/x", "1M")
    assert "ACW-ENV-004" in failed("convert", "--confine", "in", "in/x", "copy")
    assert "ACW-ENV-004" in failed("compare", "--confine", "in", "in/x", "in/x", status=2)
    assert "ACW-ENV-004" in failed("serve", "--confine", "in", "--socket", "s", "in/x")


def test_serve_passes_on_what_it_is_told(disk, monkeypatch):
    calls = []

    def serve(image, **options):
        options.pop("announce")("nbd://here")
        calls.append((image, options))
        return 7

    monkeypatch.setattr("addcow_ref.serve.serve", serve)
    options = ["--port", 0, "--address", "::1", "-r", "--threads", 3, "--revision", "v10", "--confine", "."]
    assert img("serve", *options, disk) == (7, f"Serving {disk} at nbd://here\n", "")
    assert img("serve", "--socket", b"s\xff", disk).status == 7
    common = {"revision": None, "confine": None, "read_only": False, "address": "127.0.0.1"}
    assert calls == [
        (
            disk.encode(),
            common
            | {"socket": None, "port": 0, "address": "::1", "read_only": True, "threads": 3}
            | {"revision": "v10", "confine": b"."},
        ),
        (disk.encode(), common | {"socket": b"s\xff", "port": None}),
    ]
    failed("serve", "--socket", "s", "--port", "1", disk, status=64)


def test_serve_tells_what_is_missing(disk, monkeypatch):
    def serve(*_, **__):
        raise UsageError("nbdkit is missing")

    monkeypatch.setattr("addcow_ref.serve.serve", serve)
    assert failed("serve", disk) == f"addcow-img: {disk}: nbdkit is missing"
