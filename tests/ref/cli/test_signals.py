"""Signals: noted in the middle of work, obeyed between its pieces."""

import io as streams
import os
import signal
import subprocess
import sys
import time

import pytest

from addcow_ref import Image, open_image
from addcow_ref.cli import _start
from addcow_ref.cli._signals import SIGNALS
from tests.ref.cli.command import HANG, done, environment, img, process
from tests.ref.scenes import noise

NUMBERS = [(signal.SIGTERM, 143), (signal.SIGINT, 130)]
MIB = 1 << 20


@pytest.fixture
def watched():
    """The handlers of the command in this process."""
    SIGNALS.__init__()
    before = {number: signal.getsignal(number) for number, _ in NUMBERS}
    for number, _ in NUMBERS:
        signal.signal(number, signal.SIG_DFL)
    SIGNALS.watch()
    yield SIGNALS
    SIGNALS.__init__()
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def raised(watched, monkeypatch):
    """Let two signals come inside a method of the engine; the result counts its calls."""

    def install(owner, name, number):
        real, calls = getattr(owner, name), []

        def call(*arguments, **options):
            calls.append(name)
            os.kill(os.getpid(), number)
            os.kill(os.getpid(), number)
            assert watched.first == number
            return real(*arguments, **options)

        monkeypatch.setattr(owner, name, call)
        return calls

    return install


def ended(*arguments):
    with pytest.raises(SystemExit) as error:
        img(*arguments)
    return error.value.code


@pytest.mark.parametrize(("number", "status"), NUMBERS)
def test_io_does_the_command_to_its_end_and_no_other(disk, raised, number, status):
    raised(Image, "write", number)
    assert ended("io", "-c", "write -P 1 0 4k", "-c", "write -P 2 0 4k", disk) == status
    SIGNALS.first = 0
    done("io", "-r", "-c", "read -P 1 0 4k", disk)


@pytest.mark.parametrize(("line", "name"), [("read 0 4M", "read_into"), ("write 0 4M", "write")])
@pytest.mark.usefixtures("home")
def test_io_ends_between_two_pieces(raised, line, name):
    done("create", "-q", "-o", "image_file=i.raw", "x", "4M")
    calls = raised(Image, name, signal.SIGTERM)
    assert ended("io", "-c", line, "x") == 143
    assert len(calls) == 1


@pytest.mark.parametrize("command", ["convert", "compare", "map", "finalize"])
def test_long_work_ends_between_two_pieces(home, raised, command):
    (home / "base").write_bytes(noise(4 * MIB))
    done("create", "-q", "-F", "raw", "-b", "base", "-o", "image_file=i.raw", "x")
    if command == "finalize":
        done("stream", "x")
    before = sorted(os.listdir())
    calls = raised(Image, {"map": "extents", "finalize": "read"}.get(command, "read_into"), signal.SIGINT)
    more = {"convert": ["copy"], "compare": ["base"], "finalize": []}.get(command, [])
    assert ended(command, "--remove" if command == "finalize" else "--revision=v10", "x", *more) == 130
    assert len(calls) == 1
    assert sorted(os.listdir()) == before
    with open_image("x", writable=True):
        pass


def test_an_ignored_signal_stays_ignored(watched):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    watched.watch()
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_what_came_before_a_wait_is_not_waited_for(watched):
    os.kill(os.getpid(), signal.SIGTERM)
    with pytest.raises(SystemExit), watched.waiting():
        raise AssertionError("waits")


def test_a_second_signal_does_not_reach_what_is_done_on_the_way_out(watched):
    passed = []

    def wait():
        try:
            with watched.waiting():
                os.kill(os.getpid(), signal.SIGINT)
                raise AssertionError("goes on waiting")
        finally:
            os.kill(os.getpid(), signal.SIGTERM)
            passed.append(True)

    with pytest.raises(SystemExit) as error:
        wait()
    assert error.value.code == 130
    assert passed == [True]


def test_serve_ends_by_a_signal_that_comes_before_nbdkit_runs(disk, watched, monkeypatch):
    def serve(*_, announce, **__):
        os.kill(os.getpid(), signal.SIGTERM)
        announce("nbd://here")
        raise AssertionError("serves")

    monkeypatch.setattr("addcow_ref.serve.serve", serve)
    assert ended("serve", disk) == 128 + watched.first == 143


def test_python_does_not_answer_while_it_is_loading(monkeypatch):
    seen = []
    monkeypatch.setattr("addcow_ref.cli._main.main", lambda: seen.append(signal.getsignal(signal.SIGINT)))
    before = signal.getsignal(signal.SIGINT)
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        _start.addcow_img()
    finally:
        signal.signal(signal.SIGINT, before)
    assert seen == [signal.SIG_DFL]


def sleeping(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
        return file.read().rpartition(")")[2].split()[0] == "S"


def wait_until(condition):
    deadline = time.monotonic() + HANG
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_reader_that_does_not_read_does_not_keep_it(disk):
    """The pipe is full, and stays so."""
    with process("io", "-r", "-c", "read -v 0 600k", disk) as running:
        running.stdout.read(1)
        wait_until(lambda: sleeping(running.pid))
        running.terminate()
        assert running.wait(HANG) == 143
        assert running.stderr.read() == ""


def test_a_source_that_has_no_writer_does_not_keep_it(disk):
    os.mkfifo("fifo")
    with process("io", "-c", "length", "-c", "write -s fifo 0 4k", disk) as running:
        running.stdout.readline()
        wait_until(lambda: sleeping(running.pid))
        running.terminate()
        assert running.wait(HANG) == 143


@pytest.mark.usefixtures("disk")
def test_standard_input_that_cannot_be_read_is_named(monkeypatch):
    class Broken(streams.StringIO):
        def readline(self, *_):
            raise IsADirectoryError(21, "Is a directory")

    monkeypatch.setattr("sys.stdin", Broken())
    result = img("io", "disk.add-cow")
    assert (result.status, result.errors) == (1, "addcow-img: standard input: Is a directory\n")


def test_standard_error_that_is_full_keeps_nothing_from_being_done(home):
    (home / "i.raw").write_bytes(bytes(65536))
    done("create", "-q", "-o", "image_file=i.raw", "a")
    done("create", "-q", "-b", "a", "-o", "image_file=j.raw", "b")
    command = [sys.executable, "-m", "addcow_ref.cli._main", "map", "--output", "json", "b"]
    # Else the output is kept back until the end, where what could not be said must not fail again.
    quiet = {name: value for name, value in environment().items() if name != "PYTHONUNBUFFERED"}
    with open("/dev/full", "wb") as full:
        result = subprocess.run(
            command, env=quiet, stdout=subprocess.PIPE, stderr=full, check=False, timeout=HANG
        )
    assert (result.returncode, result.stdout[:2]) == (0, b"[{")
