"""What a program behind `nbd:` does that is no service: told for what it is, with no process left behind."""

from __future__ import annotations

import fcntl
import os
import shlex
import signal
import sys
from threading import Thread

import pytest

from addcow_conformance.adapters._nbd_command import Command
from addcow_conformance.adapters._transcript import Transcript
from addcow_conformance.adapters.nbd import load
from addcow_conformance.programs import Disk, Session, Write
from addcow_conformance.targets import is_external, load_target
from addcow_ref import FileStorage
from addcow_spec.errors import (
    CannotStart,
    Crashed,
    InvalidImage,
    ProtocolViolation,
    SanitizerReport,
    StorageError,
    TimedOut,
    UsageError,
)
from addcow_spec.model import Revision
from tests.repo.tree import ROOT

# Seconds; longer than an answer takes on a machine that is busy, where an answer comes at all.
PATIENT, HASTY = 20.0, 0.5
SERVER = (sys.executable, "-S", "-E", str(ROOT / "tests/conformance/nbd_program.py"))
COMMAND = shlex.join(SERVER) + " {image} {socket} {readonly:ro}"

system = pytest.mark.system


@pytest.fixture(scope="module")
def loaded():
    with load(COMMAND, timeout=PATIENT, validate=False) as target:
        yield target


@pytest.fixture
def target(loaded):
    yield loaded
    loaded.drop()


@pytest.fixture
def hasty(loaded):
    """The same where nothing comes in any time, and nobody has to wait long for that."""
    loaded.probe()  # there has to be a client
    loaded._timeout = loaded._link._timeout = HASTY
    yield loaded
    loaded.drop()
    loaded._timeout = PATIENT
    if loaded._link:
        loaded._link._timeout = PATIENT


def serve(target, directory, mode, *, writable=True):
    path = directory / f"{mode}.add-cow"
    path.touch()
    storage = FileStorage.open_path(os.fsencode(path))
    return target.open_image(storage, writable=writable, revision=Revision.V10)


def read_on(image):
    """Read until something is wrong; standard error is heard in its own time."""
    for _ in range(1000):
        image.read(0, 1)


# --- the command


def words(text, *, writable=True, revision=Revision.V6):
    return Command(text, ("strace", "-f")).words(b"/a b", "/s", revision, writable=writable)


def test_places_in_a_command():
    text = "prog -k {socket} --is={image},{revision} {readonly:-r --locks=off} 'x {readonly:ro}${else}'"
    head = ["strace", "-f", "prog", "-k", "/s", "--is=/a b,v6"]
    assert words(text) == [*head, "x ${else}"]
    assert words(text, writable=False) == [*head, "-r", "--locks=off", "x ro${else}"]


def test_an_image_is_not_taken_for_a_place():
    command = Command("prog {image} {socket}")
    assert command.words(b"{socket}", "/s", Revision.V4, writable=True)[1:] == ["{socket}", "/s"]


def test_a_program_is_found_from_every_directory():
    assert os.path.isabs(Command("./prog {image} {socket}").words(b"", "", Revision.V4, writable=True)[0])
    assert Command("./prog {image} {socket}").name == "prog"


@pytest.mark.parametrize(
    "text", ["", "x", "prog {image}", "prog {socket}", "{image} {socket}", "prog '{image} {socket}"]
)
def test_what_is_no_command(text):
    with pytest.raises(UsageError):
        load_target(f"nbd:{text}")


@pytest.mark.parametrize("place", ["{ro:-r}", "{read-only:-r}", "--is={revison}", "{Socket}"])
def test_a_place_that_there_is_not_is_told_with_those_that_there_are(place):
    with pytest.raises(UsageError) as caught:
        load_target(f"nbd:nbdkit -f -U {{socket}} plugin file={{image}} {place}")
    for known in ("{image}", "{socket}", "{revision}", "{readonly:WORDS}"):
        assert known in str(caught.value)


def test_without_nbdsh(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CannotStart, match="python3-libnbd"):
        load(COMMAND, timeout=PATIENT, validate=False)


# --- loading


@system
def test_what_is_observed(target):
    assert is_external(target)
    assert target.about.name == os.path.basename(sys.executable)
    assert target.about.revisions == tuple(Revision)
    assert target.abilities == {
        *("write", "zeroes", "fua", "parallel"),
        *("directory", "backing-add-cow", "backing-qcow2"),
    }


@system
@pytest.mark.parametrize(
    ("program", "error"),
    [
        ("no-such-program", CannotStart),
        ("false", CannotStart),
        ("true", Crashed),
        ("sh -c 'kill -SEGV $$'", Crashed),
    ],
)
def test_who_serves_nothing_at_all(program, error):
    with pytest.raises(error):
        load(f"{program} {{image}} {{socket}}", timeout=PATIENT, validate=False)


@system
def test_who_reads_only_has_no_writes():
    with load(COMMAND.replace("{readonly:ro}", "ro"), timeout=PATIENT, validate=False) as target:
        assert "write" not in target.abilities


# --- opening

NOT_OPENED = {
    "leaves": Crashed,
    "segv": Crashed,
    "shell": Crashed,
    "asan": SanitizerReport,
    "no-program": CannotStart,
    "background": CannotStart,
    "drops": ProtocolViolation,
    "dies-there": Crashed,
}


@system
@pytest.mark.parametrize(
    ("mode", "rule"),
    [("refuses", "ACW-HDR-001"), ("refuses-late", "ACW-BMP-001"), ("mutters", ""), ("hangs-up", "")],
)
def test_a_refusal(target, tmp_path, mode, rule):
    with pytest.raises(InvalidImage) as caught:
        serve(target, tmp_path, mode)
    assert caught.value.rule == rule
    assert str(caught.value).isprintable()
    assert serve(target, tmp_path, "sound").size == 4096


@system
@pytest.mark.parametrize("mode", NOT_OPENED)
def test_what_is_no_refusal(target, tmp_path, mode):
    with pytest.raises(NOT_OPENED[mode]) as caught:
        serve(target, tmp_path, mode)
    assert caught.type is NOT_OPENED[mode]
    assert serve(target, tmp_path, "sound").size == 4096


@system
@pytest.mark.parametrize("mode", ["sleeps", "deaf", "mute"])
def test_who_does_not_listen(hasty, tmp_path, mode):
    with pytest.raises(TimedOut):
        serve(hasty, tmp_path, mode)


@system
def test_who_listens_late(target, tmp_path):
    assert serve(target, tmp_path, "late").size == 4096


# --- requests


@system
def test_requests(target, tmp_path):
    image = serve(target, tmp_path, "sound")
    image.write(1, b"abc", fua=True)
    image.write_zeroes(2, 1, unmap=False)
    image.flush()
    assert image.read(0, 5) == b"\0a\0c\0"
    assert image.read(4096, 0) == b""
    for outside in (
        lambda: image.read(4095, 2),
        lambda: image.read(4097, 0),
        lambda: image.write(4096, b"x"),
        lambda: image.write_zeroes(4096, 1),
        lambda: image.write_zeroes(0, 5 << 30),
    ):
        with pytest.raises(UsageError):
            outside()
    assert image.read(0, 5) == b"\0a\0c\0"
    image.close()
    with pytest.raises(StorageError):
        image.read(0, 1)


@system
def test_an_image_that_is_open_for_reading(target, tmp_path):
    image = serve(target, tmp_path, "sound", writable=False)
    for change in (
        lambda: image.write(0, b"x"),
        lambda: image.write(0, b""),
        lambda: image.write_zeroes(0, 1),
    ):
        with pytest.raises(UsageError):
            change()
    image.close()


@system
def test_who_knows_no_reading_gets_no_writes(tmp_path):
    with load(COMMAND.replace("{readonly:ro}", ""), timeout=PATIENT, validate=False) as target:
        image = serve(target, tmp_path, "sound", writable=False)
        with pytest.raises(UsageError):
            image.write(0, b"x")
        image.close()


@system
@pytest.mark.parametrize("mode", ["eio", "enospc", "einval"])
def test_errors_are_no_refusals(target, tmp_path, mode):
    with pytest.raises(StorageError):
        serve(target, tmp_path, mode).read(0, 1)


@system
@pytest.mark.parametrize(
    ("mode", "error"),
    [("dies", Crashed), ("exits", Crashed), ("ubsan", SanitizerReport), ("garbage", ProtocolViolation)],
)
def test_what_ends_a_service(target, tmp_path, mode, error):
    image = serve(target, tmp_path, mode)
    with pytest.raises(error) as caught:
        read_on(image)
    assert caught.type is error
    with pytest.raises(StorageError):
        image.read(0, 1)
    assert serve(target, tmp_path, "sound").size == 4096


@system
def test_who_does_not_answer(hasty, tmp_path):
    image = serve(hasty, tmp_path, "hangs")
    with pytest.raises(TimedOut):
        image.read(0, 1)


@system
def test_a_client_that_has_ended_is_started_again(target, tmp_path):
    image = serve(target, tmp_path, "sound")
    os.kill(target._link._process._process.pid, signal.SIGKILL)
    with pytest.raises(ProtocolViolation):
        image.read(0, 1)
    assert serve(target, tmp_path, "again").read(0, 1) == b"\0"


@system
def test_two_requests_at_once_that_both_end_in_a_crash(target, tmp_path):
    image, found = serve(target, tmp_path, "dies"), []

    def read():
        with pytest.raises((Crashed, StorageError)) as caught:
            image.read(0, 1)
        found.append(caught.type)

    threads = [Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENT)
    assert Crashed in found
    assert len(found) == len(threads)


# --- ends


@system
def test_ends_that_are_right(target, tmp_path):
    for mode in ("sound", "ends-well"):
        serve(target, tmp_path, mode).close()


@system
def test_an_end_that_fails(target, tmp_path):
    image = serve(target, tmp_path, "fails-at-end")
    with pytest.raises(Crashed):
        image.close()


@system
def test_who_does_not_end(hasty, tmp_path):
    image = serve(hasty, tmp_path, "stubborn")
    with pytest.raises(TimedOut):
        image.close()


@system
def test_a_lock_is_gone_after_a_kill(target, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "child.add-cow").touch()
    storage = FileStorage.open_path(b"child.add-cow")
    image = target.open_image(storage, writable=True, revision=Revision.V10)
    image.read(0, 1)  # it has come as far as that
    with open(tmp_path / "lock") as file:
        with pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        image.kill()
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


@system
def test_who_has_ended_cannot_be_killed(target, tmp_path):
    image = serve(target, tmp_path, "sound")
    os.kill(target._server._process._process.pid, signal.SIGKILL)
    assert target._server._process.ends_within(PATIENT)
    with pytest.raises(Crashed):
        image.kill()


@system
def test_scripts_are_kept_when_asked_for(target, tmp_path):
    assert target.transcript.lines == ()
    target.transcript.start(lambda: ["first"])
    try:
        with Session(Disk(size=4096), target, directory=tmp_path, comparing=False) as session:
            session.run([Write(1, 2)])
        first, *lines = target.transcript.lines
    finally:
        target.transcript.join(Transcript())
    assert first == "first"
    assert any("h.pwrite" in line for line in lines)
