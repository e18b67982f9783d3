"""One input in a process of its own: what it comes to, and the smallest one that comes to the same."""

from __future__ import annotations

import json
import os
import sys
import time
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple

from addcow_fuzz.campaign._child import Child
from addcow_fuzz.campaign._model import NOT_REPRODUCED, SliceFailed
from addcow_fuzz.campaign._one import OUT_OF_MEMORY
from addcow_fuzz.invariants import Finding

if TYPE_CHECKING:
    from collections.abc import Sequence

    from addcow_fuzz.campaign._model import Subject

__all__ = ["Judged", "ended_token", "judge", "judged_again", "smallest"]

_WORDS = {"timeout": "timeout", "oom": OUT_OF_MEMORY, "leak": "leak"}


class Judged(NamedTuple):
    """What an input comes to.

    Attributes:
        token: that of the finding; empty without one.
        detail: what was expected and seen.
        operations: what the target says that the input does; None where it does not say.
    """

    token: str
    detail: str = ""
    operations: object = None


def ended_token(kind: str, target: str) -> str:
    """The token of an input that ends the target without an error of Python's.

    Args:
        kind: ``timeout``, ``oom``, ``leak``, or ``crash`` by a signal.
        target: name of the target; nothing else is known of where that was.
    """
    return Finding("strict", "", operation=target, site=_WORDS.get(kind, "crash")).token


def judge(subject: Subject, data: bytes, seconds: float) -> Judged:
    """What an input comes to.

    Args:
        subject: the target.
        data: the input.
        seconds: how long it may take; longer than that is a finding.

    Raises:
        SliceFailed: the target cannot be run.
    """
    with TemporaryDirectory() as directory:
        answer, status, said = _run(directory, subject, "judge", data, seconds)
    if answer:
        told = json.loads(answer)
        if told["token"] == OUT_OF_MEMORY:
            told["token"] = ended_token("oom", subject.name)
        return Judged(**told)
    if status is None:
        return Judged(ended_token("timeout", subject.name), f"no end within {seconds:g} s")
    if status < 0:
        return Judged(ended_token("crash", subject.name), f"ended by signal {-status}")
    raise SliceFailed(f"{subject.name}: cannot be run: {said[-1] if said else f'exit status {status}'}")


def judged_again(subject: Subject, data: bytes, token: str, seconds: float) -> Judged:
    """What an input comes to that libFuzzer has told of; a token that says so where it comes to nothing.

    libFuzzer's handler of SIGALRM runs amid the target's code, and what it raises there can pass for a
    finding; an input that was too slow may have met a busy machine, and be fast.

    Args:
        subject: the target.
        data: the input.
        token: what it has come to under libFuzzer.
        seconds: how long it may take.

    Raises:
        SliceFailed: the target cannot be run.
    """
    judged = judge(subject, data, seconds)
    return judged if judged.token else Judged(NOT_REPRODUCED + token)


def smallest(subject: Subject, data: bytes, token: str, seconds: float, stop: str = "") -> bytes:
    """The smallest input that was found within so many seconds; the same one where it does not come to that.

    Args:
        subject: the target.
        data: the input.
        token: what it comes to.
        seconds: how long to look.
        stop: a path; the search ends once there is something. Empty for none.
    """
    with TemporaryDirectory() as directory:
        answer, _, _ = _run(directory, subject, "minimize", data, seconds, token, stop=stop)
    return data if answer is None else answer


def _run(
    directory: str, subject: Subject, verb: str, data: bytes, seconds: float, *more: str, stop: str = ""
) -> tuple[bytes | None, int | None, Sequence[str]]:
    """The answer, None without one; the exit status, None for one that was stopped; and the last words."""
    source, answer = os.path.join(directory, "input"), os.path.join(directory, "answer")
    with open(source, "wb") as file:
        file.write(data)
    until = time.monotonic() + seconds
    said: list[str] = []
    stopped = False
    command = [sys.executable, "-m", "addcow_fuzz.campaign._one", subject.module, verb, source, answer, *more]
    with Child(command, {"TMPDIR": directory}) as child:
        for line in child.lines():
            said = [*said, line][-20:] if line else said
            if time.monotonic() >= until or (stop and os.path.exists(stop)):
                stopped = True
                break
        status = child.end()
    try:
        with open(answer, "rb") as file:
            return file.read(), status, said
    except FileNotFoundError:
        return None, None if stopped else status, said
