"""Processes that work for a command, and end with it."""

from __future__ import annotations

import os
import signal
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import active_children, get_context
from multiprocessing.connection import wait
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Executor
    from multiprocessing.connection import Connection

__all__ = ["BrokenProcessPool", "apart", "pool"]

_FAILED = 1
_PR_SET_PDEATHSIG = 1
_ENDING = (signal.SIGINT, signal.SIGTERM)


class _Pool(ProcessPoolExecutor):
    """Gives out futures of its own, that may be cancelled at any time.

    When a worker dies, Python fails every future of the pool; one that somebody cancels meanwhile stops it
    halfway, with a traceback, and other workers are waited for without end.
    """

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:  # noqa: ANN401
        """See `Executor.submit`."""
        given: Future[Any] = Future()

        def settle(done: Future[Any]) -> None:
            if not given.set_running_or_notify_cancel():
                return
            if done.cancelled():
                given.set_exception(BrokenProcessPool("the pool was shut down"))
            elif error := done.exception():
                given.set_exception(error)
            else:
                given.set_result(done.result())

        with _undisturbed():
            done = super().submit(fn, *args, **kwargs)
        done.add_done_callback(settle)
        return given


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Let no signal end the process in the body, where Python starts processes and threads by halves."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def pool(processes: int, *, finish: bool) -> Iterator[Executor]:
    """An executor of so many processes, which are gone when the block is left.

    They are forks: a worker has what this process has loaded. What waits is cancelled at the end.

    Args:
        processes: how many.
        finish: whether workers finish what they are at where an exception leaves the block; else they are
            killed.
    """
    executor = _Pool(processes, get_context("fork"), initializer=_serve, initargs=(os.getpid(),))
    try:
        yield executor
    except BaseException as error:
        if not finish or isinstance(error, BrokenProcessPool):
            for worker in active_children():
                worker.kill()
        raise
    finally:
        executor.shutdown(cancel_futures=True)


def apart(call: Callable[..., Any], *args: Any, seconds: float) -> Any:  # noqa: ANN401 - the call's own
    """The result of a call in a process of its own, a fork that is gone when this returns.

    Args:
        call: what is called; its result can be pickled.
        args: its arguments.
        seconds: how long it may take.

    Raises:
        TimeoutError: it takes longer.
        ChildProcessError: the process ends, and there is no result.
    """
    context = get_context("fork")
    result, giver = context.Pipe(duplex=False)
    process = context.Process(target=_give, args=(os.getpid(), giver, call, args), daemon=True)
    with result:
        with _undisturbed():
            process.start()
        giver.close()
        try:
            if not wait([result, process.sentinel], seconds):
                raise TimeoutError(f"not done within {seconds:g} seconds")
            if not result.poll():
                raise ChildProcessError("it ends the process")
            return result.recv()
        except EOFError as error:
            raise ChildProcessError("it ends the process") from error
        finally:
            process.kill()
            process.join()


def _give(parent: int, giver: Connection, call: Callable[..., Any], args: tuple[Any, ...]) -> None:
    _serve(parent)
    giver.send(call(*args))


def _serve(parent: int) -> None:
    """Prepare a worker: an interrupt is the parent's to handle, and the worker ends with the parent."""
    import ctypes  # noqa: PLC0415 - in workers only

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(_FAILED)
