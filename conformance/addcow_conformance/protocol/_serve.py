"""The other end: answers requests from a stream, in Python."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor, wait
from threading import Lock
from typing import IO, TYPE_CHECKING, Any, TypeAlias

from addcow_conformance.protocol._messages import (
    LONGEST_LINE,
    Message,
    check_request,
    decode_line,
    encode_line,
)
from addcow_spec.errors import AddCowError, ImageError, ImageInUse, ProtocolViolation, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["serve"]

_Handler: TypeAlias = "Callable[[Message], Message]"

# Requests that others of them may run beside; any other waits until all before it are answered.
_PARALLEL = frozenset({"read", "write", "zeroes", "flush", "stream"})
_THREADS = 4


def serve(handlers: Mapping[str, _Handler], requests: IO[bytes], answers: IO[bytes]) -> None:
    """Answer requests until their stream ends.

    Args:
        handlers: for each kind of request that is understood, what gives its result. What a
            handler raises is told as a refusal, if it is a UsageError, ImageError or ImageInUse, else as an
            error.
        requests: where they come from.
        answers: where the answers go to.

    Raises:
        ProtocolViolation: a line is no JSON object, or has no ``seq`` to answer to.
    """
    lock = Lock()

    def answer(do: str, message: Message) -> None:
        line = encode_line({"seq": message["seq"], **_answer(handlers.get(do, _not_understood), message)})
        with lock:
            answers.write(line)
            answers.flush()

    with ThreadPoolExecutor(_THREADS) as pool:
        running: set[Future[None]] = set()
        while line := requests.readline(LONGEST_LINE + 1):
            message = decode_line(line)
            do = _kind(message, handlers)
            if do not in _PARALLEL:
                wait(running)
                running.clear()
                answer(do, message)
            else:
                running = {future for future in running if not future.done()}
                running.add(pool.submit(answer, do, message))


def _kind(message: Message, handlers: Mapping[str, _Handler]) -> str:
    """The kind of a request; empty where it is none that is understood, and that can be answered.

    Raises:
        ProtocolViolation: there is no ``seq`` to answer to.
    """
    if type(message.get("seq")) is not str:
        raise ProtocolViolation("a request has no seq")
    try:
        do = check_request(message)
    except ProtocolViolation:
        return ""
    return do if do in handlers else ""


def _not_understood(message: Message) -> Message:
    check_request(message)
    raise ProtocolViolation(f"there is no request {message['do']} here")


def _answer(handler: _Handler, message: Message) -> Message:
    try:
        return {"result": handler(message)}
    except (UsageError, ImageError, ImageInUse) as error:
        refused: dict[str, Any] = {"reason": str(error)}
        return {"refused": refused | ({"rule": error.rule} if error.rule else {})}
    except AddCowError as error:
        return {"error": str(error)}
    except Exception as error:  # noqa: BLE001 - told to who asked; the process goes on
        return {"error": f"{type(error).__name__}: {error}"}
