"""Processes for slices; where one dies, there are new ones for what comes next."""

from __future__ import annotations

import os
import signal
from concurrent.futures import BrokenExecutor, Executor, ProcessPoolExecutor
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any

from addcow_fuzz._environment import end_with

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

__all__ = ["Pool"]


class Pool(Executor):
    """An executor of processes that goes on when one of them dies.

    Python fails all that a pool has been given when a process dies; who has given it gives it again.

    Args:
        processes: how many, 1 or more.
    """

    def __init__(self, processes: int) -> None:
        self._processes = processes
        self._pool = self._made()

    def _made(self) -> ProcessPoolExecutor:
        # Forks of a process that has threads may hang; the live view is one.
        return ProcessPoolExecutor(
            self._processes, get_context("spawn"), initializer=_serve, initargs=(os.getpid(),)
        )

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:  # noqa: ANN401
        """See `Executor.submit`."""
        try:
            return self._pool.submit(fn, *args, **kwargs)
        except BrokenExecutor:
            self._pool.shutdown(wait=False)
            self._pool = self._made()
            return self._pool.submit(fn, *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002
        """See `Executor.shutdown`."""
        self._pool.shutdown(wait, cancel_futures=cancel_futures)


def _serve(parent: int) -> None:
    """Prepare a process: an interrupt is the campaign's to handle, and the process ends with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with(parent)
