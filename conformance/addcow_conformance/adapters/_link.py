"""Requests and answers over a process: who asks gets the answer of that seq, or an error that says why."""

from __future__ import annotations

import secrets
import time
import weakref
from itertools import count
from queue import Empty, SimpleQueue
from threading import Lock
from typing import TYPE_CHECKING, Any, NoReturn

from addcow_conformance.adapters._process import Process
from addcow_conformance.protocol import (
    REQUESTS,
    Message,
    Validator,
    check_answer,
    check_result,
    decode_line,
    encode_line,
)
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

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Link"]


class _Asked:
    """A request that waits for its answer."""

    def __init__(self, do: str) -> None:
        self.do = do
        self.answers: SimpleQueue[tuple[str, Any] | ProtocolViolation | None] = SimpleQueue()


class Link:
    """A process, and the requests to it. Any thread may ask.

    Args:
        command: the words of the command.
        timeout: seconds that an answer may take.
        validator: holds each message against the schema; None for the usual checks alone.

    Raises:
        CannotStart: there is no such program.
    """

    def __init__(self, command: Sequence[str], timeout: float, validator: Validator | None) -> None:
        self._timeout = timeout
        self._validator = validator
        self._numbers = count(1)
        self._lock = Lock()
        self._waiting: dict[str, _Asked] = {}
        self._broken: ProtocolViolation | None = None
        self._silent = False
        self._process = Process(command, self._hear)
        # The process ends with whoever has the link, however that comes about.
        self._finalizer = weakref.finalize(self, self._process.kill)

    # --- hearing, in the thread of the process's output

    def _hear(self, line: bytes | None) -> None:
        if line is None:
            with self._lock:
                self._silent = True
                self._tell_all(None)
            return
        try:
            self._take(line)
        except ProtocolViolation as error:
            with self._lock:
                self._broken = self._broken or error
                self._tell_all(error)

    def _take(self, line: bytes) -> None:
        """Give an answer to who waits for it."""
        message = decode_line(line)
        seq, outcome, said = check_answer(message)
        with self._lock:
            asked = self._waiting.get(seq)
        if asked is None:
            raise ProtocolViolation("an answer has a seq that no request waits for")
        self._check(asked.do, message)
        with self._lock:
            self._waiting.pop(seq, None)
        asked.answers.put((outcome, said))

    def _check(self, do: str, message: Message) -> None:
        if "result" in message and do not in REQUESTS:
            raise ProtocolViolation("a request that there is not has a result")
        if "result" in message:
            check_result(do, message["result"])
        if self._validator:
            self._validator.answer(do, message)

    def _tell_all(self, what: ProtocolViolation | None) -> None:
        for asked in self._waiting.values():
            asked.answers.put(what)
        self._waiting = {}

    # --- asking

    def ask(self, do: str, **members: Any) -> Message:  # noqa: ANN401 - whatever the request holds
        """The result of a request.

        Raises:
            UsageError: it is refused; ``rule`` is the one that the answer names, else empty.
            StorageError: the answer is an error.
            AdapterError: there is no answer, or none to take for one; the process has been ended.
        """
        outcome, said = self._ask(do, members)
        if outcome == "refused":
            raise UsageError(said["reason"], rule=said.get("rule", ""))
        if outcome == "error":
            raise StorageError(said)
        result: Message = said
        return result

    def _ask(self, do: str, members: Message) -> tuple[str, Any]:
        # The second half is there so that nobody can know it before it was asked.
        seq, asked = f"{next(self._numbers)}-{secrets.token_hex(3)}", _Asked(do)
        message = {"seq": seq, "do": do, **members}
        if self._validator and do in REQUESTS:
            self._validator.request(message)
        with self._lock:
            wrong = self._broken
            if not wrong and not self._silent:
                self._waiting[seq] = asked
        if wrong:
            self._fail(wrong)
        if self._silent:
            self._fail_silent(do)
        until = time.monotonic() + self._timeout
        try:
            taken = self._process.write(encode_line(message), until)
            answer = asked.answers.get(timeout=max(until - time.monotonic(), 0)) if taken else None
        except (Empty, TimeoutError):
            self._fail(self._late(do))
        if isinstance(answer, ProtocolViolation):
            self._fail(answer)
        if answer is None:
            self._fail_silent(do)
        if self._process.sanitizer:
            self._fail(SanitizerReport(self._process.sanitizer))
        return answer

    def _late(self, do: str) -> AdapterError:
        said = f"no answer to {do} within {self._timeout:g} seconds"
        return CannotStart(said) if do == "start" else TimedOut(said)

    def _fail_silent(self, do: str) -> NoReturn:
        how = self._process.ended()
        if not how:
            self._fail(ProtocolViolation(f"standard output is closed, and there is no answer to {do}"))
        self._fail((CannotStart if do == "start" else Crashed)(f"{how}, and has not answered {do}"))

    def _fail(self, error: AdapterError) -> NoReturn:
        self._process.kill()
        if self._process.sanitizer and not isinstance(error, SanitizerReport):
            error = SanitizerReport(f"{self._process.sanitizer}; {error}")
        raise self._with_last_words(error)

    def _with_last_words(self, error: AdapterError) -> AdapterError:
        error.said = self._process.said
        return error

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    # --- the end

    def kill(self) -> None:
        """End the process by SIGKILL, without a word.

        Raises:
            AdapterError: it had ended before, or said what it must not.
        """
        how = self._process.kill()
        self._finalizer.detach()
        self._judge_end()
        if how:
            raise self._with_last_words(Crashed(how))

    def close(self) -> None:
        """End the process by the end of its input.

        Raises:
            AdapterError: it does not end, or fails on the way, or said what it must not.
        """
        how = self._process.end()
        self._finalizer.detach()
        self._judge_end()
        if how:
            raise self._with_last_words(ProtocolViolation(how))

    def drop(self) -> None:
        """End the process by SIGKILL; what it did before is nobody's concern any more."""
        self._process.kill()
        self._finalizer.detach()

    def _judge_end(self) -> None:
        if self._process.sanitizer:
            raise self._with_last_words(SanitizerReport(self._process.sanitizer))
        if self._broken:
            raise self._with_last_words(self._broken)
