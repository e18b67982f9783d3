"""Two requests at once, in an order that is the same each time (ACW-DYN-006).

The first request runs in a thread of its own, and waits before one of its storage calls. The second runs
meanwhile: to its end, or until it waits for the first in turn, and then the first goes on.
"""

from __future__ import annotations

from queue import SimpleQueue
from threading import Event, Thread, current_thread
from time import monotonic
from typing import TYPE_CHECKING, Any

from addcow_conformance.oracle import Oracle, Outcome
from addcow_conformance.programs._program import Flush, Race, Read, Request, Stream, Write, Zeroes
from addcow_conformance.programs._requests import data_of, end_of, must_refuse, perform, tell
from addcow_conformance.programs._violation import Violation
from addcow_spec.errors import AdapterError, StorageError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from addcow_conformance.programs._session import Session

__all__ = ["race"]

# Seconds between two looks at a request that may wait for the other; so many looks in a row that find its
# thread in one sleep say that it does. And the seconds after which a request hangs.
_LOOK, _LOOKS, _HANGING = 0.0002, 3, 30

_RULE = "ACW-DYN-006"


class _Worker:
    """A thread that does one job after the other."""

    def __init__(self) -> None:
        self._jobs: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self.thread = Thread(target=self._work, daemon=True)
        self.thread.start()

    def do(self, job: Callable[[], None]) -> None:
        self._jobs.put(job)

    def _work(self) -> None:
        while True:
            self._jobs.get()()

    def sleep(self) -> bytes:
        """Which sleep of its life the thread is in; empty if it is awake, or waits for a processor.

        The kernel counts them. `sys._current_frames` would tell where it sleeps, and at times never returns.
        """
        with open(f"/proc/self/task/{self.thread.native_id}/status", "rb") as file:
            status = file.read()
        return status[status.index(b"voluntary_ctxt_switches") :] if b"\nState:\tS" in status else b""


# To start a thread takes longer than most requests, so that those that have done their work are kept.
_idle: list[_Worker] = []


class _Runner:
    """A request in a thread.

    Attributes:
        still: set when it has ended, or has come to its pause.
    """

    def __init__(self, session: Session, request: Request) -> None:
        self.request = request
        self.result: Any = None
        self.ended = Event()
        self.still = Event()
        self._session = session
        self._worker = _idle.pop() if _idle else _Worker()

    @property
    def failed(self) -> bool:
        """Whether a fault of the storage ended it."""
        return isinstance(self.result, StorageError)

    def is_current(self) -> bool:
        """Whether the caller is its thread."""
        return current_thread() is self._worker.thread

    def start(self) -> None:
        self._worker.do(self._run)

    def _run(self) -> None:
        try:
            self.result = self._session.attempt(_RULE, lambda image: perform(image, self.request))
        except BaseException as error:  # noqa: BLE001 - told by the thread that waits
            self.result = error
        finally:
            self.ended.set()
            self.still.set()

    def settle(self) -> None:
        """Return when it has ended, or waits for another thread."""
        last, looks, until = b"", 0, monotonic() + _HANGING
        while looks < _LOOKS and not self.ended.wait(_LOOK) and monotonic() < until:
            sleep = self._worker.sleep()
            looks = looks + 1 if sleep and sleep == last else 0
            last = sleep

    def finish(self) -> bool:
        """Whether it ends at all."""
        if not self.ended.wait(_HANGING):
            return False
        _idle.append(self._worker)
        return True


def race(session: Session, operation: Race) -> str:
    """Make both requests; see `Race`.

    Raises:
        Violation: one was refused, hangs, or shows bytes that none of them can have left.
    """
    first, second = _Runner(session, operation.first), _Runner(session, operation.second)
    _run_both(session, first, second, operation.pause)
    for runner in (first, second):
        error = runner.result
        if isinstance(error, Violation | AdapterError):
            raise error
        if isinstance(error, BaseException) and not isinstance(error, StorageError | UsageError):
            raise Violation(_RULE, f"{runner.request}: {type(error).__name__}: {error}") from error
    return _judge(session, first, second)


def _run_both(session: Session, first: _Runner, second: _Runner, pause: int) -> None:
    go_on = Event()
    calls = 0

    def hook() -> None:
        nonlocal calls
        if first.is_current():
            calls += 1
            if calls == pause + 1:
                first.still.set()
                go_on.wait(_HANGING)

    session.watch.hook = hook
    try:
        first.start()
        if not session.external:  # another process cannot be made to wait: the two go out at once
            first.still.wait(_HANGING)
        second.start()
        if not (session.external or first.ended.is_set()):
            second.settle()
        session.waited = not (first.ended.is_set() or second.ended.is_set())
        go_on.set()
        if not (first.finish() and second.finish()):
            raise Violation(_RULE, f"{first.request} and {second.request} wait for each other")
    finally:
        session.watch.hook = None


def _judge(session: Session, first: _Runner, second: _Runner) -> str:
    """Compare what was read, and tell the oracle what was done."""
    _judge_refusal(session, first)
    _judge_refusal(session, second)
    _judge_read(session, first, second)
    _judge_read(session, second, first)
    requests = first.request, second.request
    writes = [r for r in requests if isinstance(r, Write | Zeroes) and not must_refuse(session, r)]
    if len(writes) == 2:
        # The second may have been the first, and a loss of power may leave it alone in a sector of both.
        tell(session.oracle, writes[1], failed=True)
    # A flush owes nothing to what was under way.
    for runner in sorted((first, second), key=lambda runner: not isinstance(runner.request, Flush)):
        if not must_refuse(session, runner.request):
            cut = isinstance(runner.request, Stream) and runner.result is not True and not runner.failed
            if cut and runner.request == Stream():
                raise Violation("ACW-DYN-012", "a stream that nobody stopped says that it was stopped")
            tell(session.oracle, runner.request, failed=cut or runner.failed)
    if len(writes) == 2:
        _tell_overlap(session.oracle, *writes)
    return "failed" if first.failed or second.failed else "done"


def _judge_refusal(session: Session, runner: _Runner) -> None:
    request, refuse = runner.request, must_refuse(session, runner.request)
    if not runner.failed and isinstance(runner.result, UsageError) != refuse:
        raise Violation(_RULE, f"{request} is {'not refused' if refuse else f'refused: {runner.result}'}")


def _judge_read(session: Session, runner: _Runner, other: _Runner) -> None:
    """A read may show the other's bytes or not, each sector by itself."""
    if isinstance(runner.request, Read) and not isinstance(runner.result, StorageError | UsageError):
        if not isinstance(runner.result, bytes) or len(runner.result) != runner.request.length:
            raise Violation(_RULE, f"{runner.request} gives something else")
        either = session.oracle.copy()
        if isinstance(other.request, Write | Zeroes) and not must_refuse(session, other.request):
            tell(either, other.request, failed=True)
        if either.see(runner.request.offset, runner.result) is not None:
            raise Violation(_RULE, f"{runner.request} shows bytes that were never there")


def _tell_overlap(oracle: Oracle, one: Write | Zeroes, two: Write | Zeroes) -> None:
    """Where both write a byte, the first may be the last to do so."""
    start, end = max(one.offset, two.offset), min(end_of(one), end_of(two))
    if start < end:
        data = data_of(one)[start - one.offset : end - one.offset]
        oracle.write(start, data, Outcome.FAILED)
