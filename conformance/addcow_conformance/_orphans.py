"""Processes whose parents have ended: what a target starts and leaves behind ends with the command."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["no_orphans", "reap"]

_PR_SET_CHILD_SUBREAPER, _PR_GET_CHILD_SUBREAPER = 36, 37
# Seconds that they may take to be gone; each that ends may leave others.
_GONE = 5.0
_LOOK = 0.005


@contextmanager
def no_orphans() -> Iterator[None]:
    """End what the body has started, and all that those have started, when it is left.

    Orphans become children of this process, so that nobody else can have the number of one that is signalled:
    it is kept until it is reaped here.
    """
    prctl = ctypes.CDLL(None).prctl
    before, was = _children(), ctypes.c_int()
    prctl(_PR_GET_CHILD_SUBREAPER, ctypes.byref(was))
    prctl(_PR_SET_CHILD_SUBREAPER, 1)
    try:
        yield
    finally:
        until = time.monotonic() + _GONE
        while (left := _children() - before) and time.monotonic() < until:
            for process in left:
                with suppress(OSError):
                    os.kill(process, signal.SIGKILL)
                    os.waitpid(process, os.WNOHANG)
            time.sleep(_LOOK)
        prctl(_PR_SET_CHILD_SUBREAPER, was.value)


def reap() -> None:
    """Forget orphans that have ended; those of our own session are somebody's here, who waits for them."""
    here = os.getsid(0)
    for process in _children():
        with suppress(OSError):
            if os.getsid(process) != here:
                os.waitpid(process, os.WNOHANG)


def _children() -> set[int]:
    found: set[int] = set()
    for task in os.listdir("/proc/self/task"):
        with suppress(OSError), open(f"/proc/self/task/{task}/children", "rb") as file:
            found.update(map(int, file.read().split()))
    return found
