"""What a program does that is no answer: each kind is told for what it is, and leaves no process behind."""

from __future__ import annotations

import os
import signal
import time

import pytest

from addcow_conformance.adapters.stdio import StdioTarget, load
from addcow_spec.errors import (
    AdapterError,
    CannotStart,
    Crashed,
    ProtocolViolation,
    SanitizerReport,
    StorageError,
    TimedOut,
    UsageError,
)
from addcow_spec.model import Revision
from tests.conformance.stdio_programs import wrong

# Seconds; longer than an answer takes on a machine that is busy, where an answer comes at all.
PATIENT, HASTY = 20.0, 0.4

# What is raised by the request that goes wrong, or, in the second table, by the one after it.
AT_ONCE = {
    "garbage": ProtocolViolation,
    "not-utf-8": ProtocolViolation,
    "no-object": ProtocolViolation,
    "empty-line": ProtocolViolation,
    "wrong-seq": ProtocolViolation,
    "seq-number": ProtocolViolation,
    "no-seq": ProtocolViolation,
    "two-outcomes": ProtocolViolation,
    "no-outcome": ProtocolViolation,
    "more-members": ProtocolViolation,
    "twice-a-name": ProtocolViolation,
    "huge-line": ProtocolViolation,
    "half-a-line": ProtocolViolation,
    "closes-output": ProtocolViolation,
    "exit-3": Crashed,
    "exit-0": Crashed,
    "sigsegv": Crashed,
    "sigabrt": Crashed,
    "sanitizer-and-exit": SanitizerReport,
}
LATER = {"two-answers": ProtocolViolation, "sanitizer": SanitizerReport}
AT_START = {
    "silent-start": CannotStart,
    "early": ProtocolViolation,
    "other-version": ProtocolViolation,
    "no-start": ProtocolViolation,
}


def create(target):
    target.ask(
        "create",
        path="/nowhere/a",
        image_file="b",
        backing_file=None,
        backing_format=None,
        revision=str(Revision.V10),
    )


def pid_of(target):
    return target._link._process._process.pid


def is_running(pid):
    """Whether there is such a process, and not only its entry that nobody has read yet."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] not in {b"Z", b"X"}
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.parametrize("mode", AT_ONCE)
def test_wrong_answers(mode):
    with StdioTarget(wrong(mode), timeout=PATIENT) as target:
        pid = pid_of(target)
        with pytest.raises(AdapterError) as caught:
            create(target)
        assert type(caught.value) is AT_ONCE[mode]
        assert not is_running(pid)
        # The next request finds a new process.
        with pytest.raises(AT_ONCE[mode]):
            create(target)


@pytest.mark.parametrize("mode", LATER)
def test_what_comes_after_an_answer(mode):
    with StdioTarget(wrong(mode), timeout=PATIENT) as target:
        pid = pid_of(target)

        def ask_until_seen():
            # It may be seen with the answer itself, or by the next request.
            for _ in range(1000):
                create(target)

        with pytest.raises(AdapterError) as caught:
            ask_until_seen()
        assert type(caught.value) is LATER[mode]
        assert not is_running(pid)


@pytest.mark.parametrize("mode", AT_START)
def test_wrong_starts(mode):
    timeout = HASTY if mode == "silent-start" else PATIENT
    with pytest.raises(AdapterError) as caught:
        StdioTarget(wrong(mode), timeout=timeout)
    assert type(caught.value) is AT_START[mode]


@pytest.mark.parametrize("command", [["./no-such-program"], ["/"], ["a\0b"], ["false"], ["true"]])
def test_programs_that_cannot_start(command):
    with pytest.raises(CannotStart):
        StdioTarget(command, timeout=PATIENT)


@pytest.mark.parametrize("command", ["", "   ", "'", "''"])
def test_no_command(command):
    with pytest.raises(UsageError):
        load(command, timeout=PATIENT, validate=False)


def test_a_hang_has_an_end():
    with StdioTarget(wrong("silence"), timeout=PATIENT) as target:
        target._link._timeout = HASTY
        pid = pid_of(target)
        with pytest.raises(TimedOut):
            create(target)
        assert not is_running(pid)


def test_a_program_that_reads_nothing_does_not_stop_us():
    with StdioTarget(wrong("silence"), timeout=PATIENT) as target:
        target._link._timeout = HASTY
        with pytest.raises(TimedOut):
            target.ask("write", offset=0, data="A" * (4 << 20), fua=False)


def test_a_child_ends_with_the_group():
    with StdioTarget(wrong("child"), timeout=PATIENT) as target:
        target._link._timeout = 5 * HASTY
        with pytest.raises(TimedOut) as caught:
            create(target)
        # It is no child of ours: the kernel ends it when it gets to it, and nobody can wait for that.
        child, end = int(caught.value.said[0]), time.monotonic() + PATIENT
        while is_running(child) and time.monotonic() < end:
            time.sleep(0.01)
        assert not is_running(child)


def test_last_words_are_fit_to_be_shown():
    with StdioTarget(wrong("last-words"), timeout=PATIENT) as target:
        with pytest.raises(Crashed) as caught:
            create(target)
        assert caught.value.said[:2] == ("one", "\\u{1b}[31mred")
        assert len(caught.value.said[2]) < 1000


def test_refusals_and_errors_are_neither():
    with StdioTarget(wrong("refuses"), timeout=PATIENT) as target:
        with pytest.raises(UsageError) as refused:
            create(target)
        assert refused.value.rule == "ACW-DYN-010"
    with StdioTarget(wrong("fails"), timeout=PATIENT) as target, pytest.raises(StorageError):
        create(target)


# --- ends


@pytest.fixture
def _soon(monkeypatch):
    monkeypatch.setattr("addcow_conformance.adapters._process._GRACE", HASTY)


@pytest.mark.usefixtures("_soon")
@pytest.mark.parametrize("mode", ["ignores-sigterm", "exit-9"])
def test_programs_that_do_not_end_as_they_must(mode):
    target = StdioTarget(wrong(mode), timeout=PATIENT)
    pid = pid_of(target)
    with pytest.raises(ProtocolViolation):
        target.close()
    assert not is_running(pid)


def test_an_end_and_a_kill():
    target = StdioTarget(wrong("answers"), timeout=PATIENT)
    target.close()
    target.close()
    create(target)
    pid = pid_of(target)
    target.kill()
    assert not is_running(pid)
    create(target)
    os.kill(pid_of(target), signal.SIGKILL)
    os.waitid(os.P_PID, pid_of(target), os.WEXITED | os.WNOWAIT)
    with pytest.raises(Crashed):
        target.kill()
    target.close()
