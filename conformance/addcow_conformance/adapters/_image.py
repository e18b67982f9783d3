"""An image that a program has open: requests and answers, as the interface of a target has them."""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from addcow_conformance.protocol import LARGEST_DATA, Message
from addcow_spec.errors import AdapterError, AddCowError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["StdioImage", "pieces"]

# How much of the disk one request may stream where the stream has to ask now and then whether to stop.
_STEP = 1 << 16


class Asked(Protocol):
    """Who passes requests on."""

    abilities: frozenset[str]

    def ask(self, do: str, **members: Any) -> Message:  # noqa: ANN401 - whatever the request holds
        """The result of a request."""

    def closed(self) -> None:
        """The image has been closed."""

    def kill(self) -> None:
        """End the implementation as a crash would."""


class _Extent(NamedTuple):
    """See `targets.Extent`."""

    start: int
    length: int
    depth: int
    present: bool
    zero: bool


class StdioImage:
    """An opened image; see `targets.Image` for what its methods raise.

    Args:
        target: whose image it is.
        size: bytes of the disk.

    Attributes:
        size: the same; `resize` changes it.
    """

    def __init__(self, target: Asked, size: int) -> None:
        self._target = target
        self.size = size

    def _can(self, ability: str) -> bool:
        return ability in self._target.abilities

    def read(self, offset: int, length: int) -> bytes:
        """See `targets.Image.read`."""
        parts = []
        for start, size in pieces(offset, length, LARGEST_DATA):
            data = b64decode(self._target.ask("read", offset=start, length=size)["data"])
            if len(data) != size:
                # Not the protocol's concern: whoever reads has to see how many bytes came.
                return data
            parts.append(data)
        return b"".join(reversed(parts))

    def write(self, offset: int, data: bytes, *, fua: bool = False) -> None:
        """See `targets.Image.write`."""
        durable = fua and self._can("fua")
        for start, size in pieces(offset, len(data), LARGEST_DATA):
            piece = data[start - offset : start - offset + size]
            self._target.ask("write", offset=start, data=b64encode(piece).decode(), fua=durable)
        if fua and not durable:
            self.flush()

    def write_zeroes(self, offset: int, length: int, *, unmap: bool = True, fua: bool = False) -> None:
        """See `targets.Image.write_zeroes`."""
        durable = fua and self._can("fua")
        self._target.ask("zeroes", offset=offset, length=length, unmap=unmap, fua=durable)
        if fua and not durable:
            self.flush()

    def flush(self) -> None:
        """See `targets.Image.flush`."""
        self._target.ask("flush")

    def extents(self) -> Iterator[_Extent]:
        """See `targets.Image.extents`; an answer may stop early, and the rest is asked for."""
        at = 0
        while at < self.size:
            found = self._target.ask("extents", offset=at, length=self.size - at)["extents"]
            if not found:
                return
            for extent in found:
                yield _Extent(**extent)
            at = found[-1]["start"] + found[-1]["length"]

    def info(self) -> Message:
        """The answer to ``info``: size, revision, image_file and backing_file."""
        return self._target.ask("info")

    def resize(self, size: int) -> None:
        """See `targets.Image.resize`."""
        try:
            self.size = self._target.ask("resize", size=size)["size"]
        except AdapterError:
            raise
        except AddCowError:
            if self._can("info"):
                self.size = self.info()["size"]
            raise

    def stream(self, *, stop: Callable[[], bool] | None = None) -> bool:
        """See `targets.Image.stream`; where it may have to stop, it goes by requests of a part each."""
        while True:
            over = stop is None or stop()
            # At the end nothing is asked for: a stream that must be refused is refused however short.
            length = None if stop is None else 0 if over else _STEP
            complete: bool = self._target.ask("stream", length=length)["complete"]
            if complete or over:
                return complete

    def close(self) -> None:
        """See `targets.Image.close`."""
        try:
            self._target.ask("close")
        finally:
            self._target.closed()

    def kill(self) -> None:
        """End without a flush, as a process that is killed."""
        self._target.kill()


def pieces(offset: int, length: int, most: int) -> Iterator[tuple[int, int]]:
    """A range in pieces of so many bytes, the last one first: one that ends outside is refused whole."""
    starts = range(offset, offset + length, most) or range(offset, offset + 1)
    return ((start, min(most, offset + length - start)) for start in reversed(starts))
