"""Workers of a Dask cluster, on this machine or others, as an executor.

Workers may come and go: Dask gives what a dead one had to another one, and gives up a call that four of them
have died of. Files are reached by the same paths as here, on a file system that all share.
"""

from __future__ import annotations

import ctypes
import logging
import os
import re
import time
from concurrent.futures import BrokenExecutor, Executor, Future, InvalidStateError
from contextlib import contextmanager, suppress
from importlib import import_module
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

from addcow_conformance._work import ClusterError
from addcow_conformance._workers import relayed
from addcow_spec.errors import UsageError
from addcow_spec.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from addcow_conformance._work import Work

__all__ = ["cluster"]

# Seconds to find the scheduler in, between two looks at its workers, and for an answer of it.
_CONNECTING, _LOOK, _ANSWER = 20.0, 1.0, 10.0
_CLONE_FS = 0x200
_ADDRESS = re.compile(r"(tcp|tls|ws|wss)://\S+:[0-9]{1,5}")


@contextmanager
def cluster(scheduler: str, work: Work) -> Iterator[tuple[Executor, int]]:
    """An executor on a cluster, and how many calls it can do at a time at the moment.

    Its calls fail by `ClusterError` when the scheduler is gone or there are no workers, by `TimeoutError`
    when they take too long, and by `BrokenExecutor` when workers have died of them.

    Args:
        scheduler: the address of the scheduler, such as ``tcp://192.0.2.1:8786``.
        work: what the work is like.

    Raises:
        ClusterError: the scheduler does not answer within 20 seconds.
        UsageError: distributed is not installed, or this is no address.
    """
    if not _ADDRESS.fullmatch(scheduler):
        raise UsageError("a scheduler's address is like tcp://192.0.2.1:8786")
    client_class = _client_class()
    try:
        client = _within(_CONNECTING, client_class, scheduler, timeout=_CONNECTING, set_as_default=False)
        threads = sum(_within(_ANSWER, client.nthreads).values())
    except (ImportError, OSError, RuntimeError, TypeError, ValueError) as error:
        raise ClusterError(f"no scheduler answers at {_line(scheduler)}: {_line(str(error))}") from error
    executor = _Cluster(client, work)
    try:
        with executor.watched():
            yield executor, max(threads, 1)
    finally:
        client.close(timeout=_ANSWER)


def _client_class() -> type[Any]:
    """Dask's client, an extra and typed by halves.

    Raises:
        UsageError: distributed is not installed.
    """
    try:
        found: Any = import_module("distributed").Client
    except ImportError as error:
        raise UsageError("a cluster needs distributed: pip install 'add-cow-toolkit[cluster]'") from error
    # What it logs is said here, in a line.
    for name in ("distributed", "distributed.client"):
        logging.getLogger(name).handlers = [logging.NullHandler()]
    # One that could not be made would wait for itself for 40 seconds when it goes.
    return type(found.__name__, (found,), {"__del__": lambda _: None})


def _line(text: str) -> str:
    return printable(" ".join(text.split()).encode("utf-8", "surrogateescape"))


class _Cluster(Executor):
    """Dask's executor, with limits, and errors that other executors have too."""

    def __init__(self, client: Any, work: Work) -> None:  # noqa: ANN401 - see above
        self._client = client
        self._work = work
        self._executor = client.get_executor(pure=False)  # no call is the same as another one
        self._given = set[Future[Any]]()
        self._trouble: ClusterError | None = None

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:  # noqa: ANN401
        """See `Executor.submit`.

        Raises:
            ClusterError: there is nobody to do it.
        """
        if self._trouble:
            raise self._trouble
        try:
            done = self._executor.submit(_limited, self._work, fn, args, kwargs)
        except (OSError, RuntimeError) as error:
            raise ClusterError(f"the scheduler is gone: {_line(str(error))}") from error
        given = relayed(done, _told)
        self._given.add(given)
        given.add_done_callback(self._given.discard)
        given.add_done_callback(lambda given: given.cancelled() and done.cancel())
        if self._trouble:  # since it was looked at
            self._fail(self._trouble)
        return given

    @contextmanager
    def watched(self) -> Iterator[None]:
        """See to it that nobody waits for workers that do not come."""
        if (absence := self._work.absence) is None:
            yield
            return
        left = Event()
        watch = Thread(target=self._watch, args=(left, absence), daemon=True)
        watch.start()
        try:
            yield
        finally:
            left.set()
            watch.join(_ANSWER)

    def _watch(self, left: Event, absence: float) -> None:
        seen = time.monotonic()
        while not left.wait(_LOOK):
            with suppress(Exception):  # whatever it is, there is no worker to be seen
                if self._client.sync(self._client.scheduler.ncores, callback_timeout=_ANSWER):
                    seen = time.monotonic()
            if time.monotonic() - seen > absence:
                self._trouble = ClusterError(f"the cluster has had no worker for {absence:g} seconds")
                self._fail(self._trouble)
                return

    def _fail(self, trouble: ClusterError) -> None:
        for given in tuple(self._given):
            with suppress(InvalidStateError):
                given.set_exception(trouble)


def _told(error: BaseException | None) -> BaseException:
    if error is None:
        return ClusterError("the scheduler is gone")
    if type(error).__name__ == "KilledWorker":
        return BrokenExecutor("the workers that were at it have died")
    return error


# --- on a worker


def _limited(work: Work, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:  # noqa: ANN401 - the call's own
    """The result of a call, within the limits of the work.

    Raises:
        ClusterError: it cannot be done in its directory.
        TimeoutError: it takes too long.
    """

    def call() -> Any:  # noqa: ANN401 - the call's own
        if work.directory is not None:
            _work_in(work.directory)
        return fn(*args, **kwargs)

    return _within(work.seconds, call)


def _within(seconds: float | None, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - the call's own
    """The result of a call in a thread of its own, which is left to itself when it takes too long.

    Raises:
        RuntimeError: it raises what would end a worker.
        TimeoutError: it takes too long.
    """
    done: Future[Any] = Future()

    def work() -> None:
        try:
            done.set_result(call(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - raised again where it is waited for
            done.set_exception(error)
        except BaseException as error:  # noqa: BLE001 - the same
            done.set_exception(RuntimeError(f"{type(error).__name__}: {error}"))

    Thread(target=work, daemon=True).start()
    try:
        return done.result(seconds)
    except TimeoutError as error:
        if done.done():
            raise
        raise TimeoutError(f"not done within {seconds:g} seconds") from error


def _work_in(directory: bytes) -> None:
    """Give this thread alone another working directory."""
    try:
        if ctypes.CDLL(None).unshare(_CLONE_FS) == 0:
            os.chdir(directory)
        elif not os.path.samefile(directory, b"."):
            raise ClusterError(f"a worker that is not in {printable(directory)} needs absolute paths")
    except OSError as error:
        raise ClusterError(
            f"a worker has no {printable(directory)}: {os.strerror(error.errno or 0)}"
        ) from error
