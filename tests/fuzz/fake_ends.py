"""Targets that end badly; the environment says how."""

from __future__ import annotations

import os
import signal
import sys

__all__ = ["check_one"]

HOW, FLAG = "FAKE_HOW", "FAKE_FLAG"


def hang():
    while True:
        pass


def fail_under_atheris():
    if "atheris" in sys.modules:
        raise KeyError("as from a handler of signals")


# What the worst input does.
ENDS = {"hang": hang, "abort": os.abort, "once": fail_under_atheris}

if os.environ.get(FLAG) and os.path.exists(os.environ[FLAG]):
    # Once: the worker that has started this process dies.
    os.unlink(os.environ[FLAG])
    os.kill(os.getppid(), signal.SIGKILL)


def check_one(data):
    """An 'x' in the first place ends it."""
    if data[:1] == b"x":
        ENDS[os.environ[HOW]]()
