"""Requests of a guest: made of an image, and told to an oracle."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

from addcow_conformance.oracle import Oracle, Outcome
from addcow_conformance.programs._program import Flush, Read, Request, Stream, Write, Zeroes, pattern

if TYPE_CHECKING:
    from addcow_conformance.programs._session import Session
    from addcow_conformance.targets import Image

__all__ = ["data_of", "end_of", "must_refuse", "perform", "tell"]


def end_of(request: Request) -> int:
    """Where the range of a request ends, 0 if it has none."""
    return request.offset + request.length if isinstance(request, Read | Write | Zeroes) else 0


def must_refuse(session: Session, request: Request) -> bool:
    """Whether a request has to be refused (ACW-DYN-004, ACW-DYN-007)."""
    changes = isinstance(request, Write | Zeroes | Stream)
    return end_of(request) > session.oracle.size or (changes and not session.writable)


def data_of(request: Write | Zeroes) -> bytes:
    """What a write leaves in its range."""
    if isinstance(request, Zeroes):
        return bytes(request.length)
    return pattern(request.seed, request.offset, request.length)


def perform(image: Image, request: Request) -> bytes | bool | None:
    """Make a request: the bytes of a read, and of a stream whether it came to its end.

    Raises:
        UsageError, StorageError: as the image does.
    """
    if isinstance(request, Read):
        return image.read(request.offset, request.length)
    if isinstance(request, Write):
        image.write(request.offset, data_of(request), fua=request.fua)
    elif isinstance(request, Zeroes):
        image.write_zeroes(request.offset, request.length, unmap=request.unmap, fua=request.fua)
    elif isinstance(request, Flush):
        image.flush()
    else:
        asked, steps = count(), request.steps
        return image.stream(stop=None if steps is None else lambda: next(asked) >= steps)
    return None


def tell(oracle: Oracle, request: Request, *, failed: bool = False) -> None:
    """Let the oracle know of a request that was made, or that failed or was cut off on the way."""
    outcome = Outcome.FAILED if failed else Outcome.DONE
    if isinstance(request, Write | Zeroes):
        durable = Outcome.DURABLE if request.fua and not failed else outcome
        oracle.write(request.offset, data_of(request), durable)
    elif isinstance(request, Stream):
        oracle.stream(outcome)
    elif isinstance(request, Flush) and not failed:
        oracle.flush()
