"""Processes that work for a command, and end with it."""

from __future__ import annotations

import os
import signal
from concurrent.futures import BrokenExecutor, Executor, Future, InvalidStateError, ProcessPoolExecutor
from contextlib import contextmanager, suppress
from multiprocessing import active_children, get_context
from multiprocessing.connection import wait
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from multiprocessing.connection import Connection

__all__ = ["apart", "pool", "relayed"]

_FAILED = 1
_PR_SET_PDEATHSIG = 1
_ENDING = (signal.SIGINT, signal.SIGTERM)


def relayed(
    done: Future[Any], told: Callable[[BaseException | None], BaseException | None] = lambda error: error
) -> Future[Any]:
    """A future that may be cancelled, or settled by others, at any time, whatever its executor makes of that.

    Args:
        done: the executor's own.
        told: what to say of an error; it is given None for a future that the executor has cancelled, and
            `BrokenExecutor` is said where it returns that.
    """
    given: Future[Any] = Future()

    def settle(done: Future[Any]) -> None:
        with suppress(InvalidStateError):
            if given.done() or not given.set_running_or_notify_cancel():
                return
            if done.cancelled():
                given.set_exception(told(None) or BrokenExecutor("the executor was shut down"))
            elif error := done.exception():
                given.set_exception(told(error))
            else:
                given.set_result(done.result())

    done.add_done_callback(settle)
    return given


class _Pool(Executor):
    """Processes, and new ones where one of them has died.

    Python fails by `BrokenExecutor` all that a pool has been given when a process of it dies, and takes
    nothing more. Where somebody cancels one of its futures meanwhile it stops halfway, with a traceback, and
    other workers are waited for without end.
    """

    def __init__(self, processes: int, start: str) -> None:
        self._processes, self._start = processes, start
        self._pool = self._made()

    def _made(self) -> ProcessPoolExecutor:
        context = get_context(self._start)
        return ProcessPoolExecutor(self._processes, context, initializer=_serve, initargs=(os.getpid(),))

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:  # noqa: ANN401
        """See `Executor.submit`."""
        try:
            return self._submitted(fn, *args, **kwargs)
        except BrokenExecutor:
            # Its thread ends first: a fork has none of its locks.
            self._pool.shutdown()
            self._pool = self._made()
            return self._submitted(fn, *args, **kwargs)

    def _submitted(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Future[Any]:  # noqa: ANN401
        with _undisturbed():
            done = self._pool.submit(fn, *args, **kwargs)
        return relayed(done)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002
        """See `Executor.shutdown`."""
        self._pool.shutdown(wait, cancel_futures=cancel_futures)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Let no signal end the process in the body, where Python starts processes and threads by halves."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def pool(processes: int, *, finish: bool, start: str = "fork") -> Iterator[Executor]:
    """An executor of so many processes, which are gone when the block is left.

    When one of them dies, all that was given fails by `BrokenExecutor`, and what is given then is done by new
    ones. What waits is cancelled at the end.

    Args:
        processes: how many, 1 or more.
        finish: whether workers finish what they are at where an exception leaves the block; else they are
            killed.
        start: ``fork``, so that a worker has what this process has loaded; or ``spawn``, as a fork of a
            process that has threads may hang.
    """
    executor = _Pool(processes, start)
    try:
        yield executor
    except BaseException as error:
        if not finish or isinstance(error, BrokenExecutor):
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
