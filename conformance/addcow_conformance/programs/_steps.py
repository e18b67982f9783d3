"""The operations, one function each: done to the image, and to the oracle as it turned out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from addcow_conformance.programs._compare import differing, windows_of
from addcow_conformance.programs._files import RAW
from addcow_conformance.programs._program import (
    Flush,
    Kill,
    Operation,
    Race,
    Read,
    Reopen,
    Request,
    Resize,
    Stream,
    Write,
    Zeroes,
)
from addcow_conformance.programs._race import race
from addcow_conformance.programs._requests import end_of, must_refuse, perform, tell
from addcow_conformance.programs._violation import Violation
from addcow_spec.errors import StorageError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from addcow_conformance.programs._session import Session

__all__ = ["RULES", "STEPS"]

# The rule that is at stake in an operation, where no other is known to be.
RULES: dict[type[Operation], str] = {
    Read: "ACW-DYN-001",
    Write: "ACW-DYN-003",
    Zeroes: "ACW-DYN-003",
    Flush: "ACW-DYN-005",
    Reopen: "ACW-DYN-005",
    Kill: "ACW-DYN-005",
    Resize: "ACW-DYN-011",
    Stream: "ACW-DYN-012",
    Race: "ACW-DYN-006",
}

# An image file of this size or less is compared whole.
_WHOLE = 4 << 20


def _request(session: Session, request: Request) -> str:
    rule = RULES[type(request)]
    result = session.attempt(rule, lambda image: perform(image, request))
    if _refused(session, request, result):
        return "refused"
    if isinstance(result, StorageError):
        if not must_refuse(session, request):  # what has to be refused does nothing, whatever fails
            tell(session.oracle, request, failed=True)
        return "failed"
    if isinstance(request, Read):
        _compare_read(session, request, result)
    if isinstance(request, Stream) and result is not True:
        if request.steps is None:
            raise Violation(rule, "a stream that nobody stopped says that it was stopped")
        tell(session.oracle, request, failed=True)
    elif session.writable:
        tell(session.oracle, request)
        if isinstance(request, Stream) and session.oracle.size <= _WHOLE:
            _compare_raw(session)
    return "done"


def _refused(session: Session, request: Request, result: Any) -> bool:  # noqa: ANN401 - see Session.attempt
    """Whether a request was refused, as it had to be.

    Raises:
        Violation: it was and had not to be, or the other way round (ACW-DYN-004, ACW-DYN-007).
    """
    changes = isinstance(request, Write | Zeroes | Stream)
    outside = end_of(request) > session.oracle.size
    refused = isinstance(result, UsageError)
    if refused and not outside and not (changes and not session.writable):
        raise Violation("ACW-DYN-007", f"{request} is refused: {result}")
    if refused and outside and (session.writable or not changes) and not session.names(result, "ACW-DYN-007"):
        raise Violation("ACW-DYN-007", f"{request} is refused by {result.rule or 'no rule'}: {result}")
    if not refused and not isinstance(result, StorageError):
        if outside:
            raise Violation("ACW-DYN-007", f"{request} is beyond {session.oracle.size}, and is not refused")
        if changes and not session.writable:
            raise Violation("ACW-DYN-004", f"{request} of an image that is open for reading")
    return refused


def _compare_read(session: Session, request: Read, data: bytes) -> None:
    if len(data) != request.length:
        raise Violation("ACW-DYN-001", f"{request} gives {len(data)} bytes")
    wrong = session.oracle.see(request.offset, data)
    if wrong is not None:
        raise differing(
            session, "ACW-DYN-001", f"{request} gives a wrong byte at {wrong}", request.offset, data
        )


def _compare_raw(session: Session) -> None:
    """After a stream that came to its end the image file alone is the disk."""
    raw = session.files.get(RAW)
    if len(raw) != session.oracle.size:
        raise Violation(
            "ACW-DYN-012", f"the image file has {len(raw)} bytes, and the disk {session.oracle.size}"
        )
    if session.oracle.see(0, raw) is not None:
        raise differing(session, "ACW-DYN-012", "the image file alone is not the disk", 0, raw)


def _reopen(session: Session, operation: Reopen) -> str:
    closed: Any = None
    if session.image is not None:
        closed = session.attempt("ACW-DYN-005", lambda image: image.close())
        if isinstance(closed, UsageError):
            raise Violation("ACW-DYN-005", f"closing is refused: {closed}")
        _no_writes(session, 0, "closing an image that was open for reading")
        if session.watch.opened:
            raise Violation("ACW-DYN-014", f"{session.watch.opened} files are open after closing")
        if closed is not None:
            session.oracle.kill()
        elif session.writable:
            session.oracle.flush()
    session.watch.close_all()
    before = len(session.watch.changes)
    opened = session.open(writable=operation.writable, via=operation.via)
    _no_writes(session, before, "opening for reading")
    return "done" if opened and closed is None else "failed"


def _no_writes(session: Session, since: int, what: str) -> None:
    for change in () if session.writable else session.watch.changes[since:]:
        if change.operation != "sync":
            raise Violation("ACW-DYN-004", f"{what} writes: {change}")


def _kill(session: Session, _operation: Kill) -> str:
    session.kill()
    session.oracle.kill()
    return "done" if session.open(writable=True) else "failed"


def _resize(session: Session, operation: Resize) -> str:
    old, new = session.oracle.size, operation.size
    result = session.attempt("ACW-DYN-011", lambda image: image.resize(new))
    refuse = session.odd(new) or not session.writable
    if isinstance(result, UsageError):
        if not refuse:
            raise Violation("ACW-DYN-011", f"{operation} from {old} is refused: {result}")
        if session.writable and not session.names(result, "ACW-SIZ-007"):
            raise Violation("ACW-SIZ-007", f"{operation} is refused by {result.rule or 'no rule'}: {result}")
        return "refused"
    if isinstance(result, StorageError):
        size = session.image.size if session.image else old
        if size not in ({old, new} if new < old and not refuse else {old}):
            raise Violation("ACW-DYN-011", f"{operation} from {old} fails, and the size is {size}")
        session.tail = session.tail or (new < old and not refuse)
        if session.logging and session.watch.changes:
            session.oracle.fail_resize(new, size)
        elif size != old:
            session.oracle.resize(size)
        return "failed"
    if refuse:
        raise Violation("ACW-SIZ-007" if session.writable else "ACW-DYN-004", f"{operation} is not refused")
    session.touched |= windows_of(Write(old, 0))
    session.oracle.resize(new)
    session.tail = session.tail and new == old
    return "done"


STEPS: dict[type[Operation], Callable[[Session, Any], str]] = {
    Read: _request,
    Write: _request,
    Zeroes: _request,
    Flush: _request,
    Stream: _request,
    Reopen: _reopen,
    Kill: _kill,
    Resize: _resize,
    Race: race,
}
