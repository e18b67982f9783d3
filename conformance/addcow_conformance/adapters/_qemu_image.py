"""An image that a qemu-io has open: requests in its language, as the interface of a target has them."""

from __future__ import annotations

from contextlib import contextmanager
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from addcow_conformance.adapters._qemu_io import LARGEST, Complaint
from addcow_spec.errors import StorageError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from addcow_conformance.adapters._qemu_img import Facts
    from addcow_conformance.adapters._qemu_io import Letters, QemuIo

__all__ = ["QemuImage"]

# qemu-io takes less than 2 GiB of zeroes at a time.
_ZEROES = 1 << 30


class _Opened(Protocol):
    """How an image was opened, so that it can be looked at and opened again."""

    def io(self) -> QemuIo:
        """A qemu-io that has it open."""

    def info(self) -> Facts:
        """What qemu-img says of it."""

    def map(self) -> list[dict[str, Any]]:
        """Where qemu-img says its bytes come from."""

    def stream(self) -> None:
        """Copy what is in the backing file."""


class _Extent(NamedTuple):
    """See `targets.Extent`."""

    start: int
    length: int
    depth: int
    present: bool
    zero: bool


class QemuImage:
    """An opened image; see `targets.Image` for what its methods raise.

    The tools have no word for a refusal: a request that fails is taken to be refused where it has to be.

    Args:
        opened: how the image is opened.
        letters: the options of qemu-io's commands.
        writable: whether it is for writing.

    Attributes:
        size: bytes of the disk; `resize` changes it.
    """

    def __init__(self, opened: _Opened, letters: Letters, *, writable: bool) -> None:
        self._opened = opened
        self._letters = letters
        self._writable = writable
        self._facts = opened.info()
        self.size = self._facts.size
        self._below: list[dict[str, Any]] | None = None
        self._io = opened.io()

    def read(self, offset: int, length: int) -> bytes:
        """See `targets.Image.read`."""
        with self._blaming(offset + length, writing=False):
            pieces = [self._io.read(start, size) for start, size in _pieces(offset, length, LARGEST)]
        return b"".join(reversed(pieces))

    def write(self, offset: int, data: bytes, *, fua: bool = False) -> None:
        """See `targets.Image.write`."""
        command = self._command("p", "f" if fua else "")
        for start, size in _pieces(offset, len(data), LARGEST):
            self._write(command, start, data[start - offset : start - offset + size])
        self._made_durable(fua=fua)

    def _write(self, command: str, offset: int, data: bytes) -> None:
        """Write bytes from a file, or each run of equal bytes; the last first, as in `_pieces`."""
        if "s" in self._letters.write and len(set(data)) > 1:
            with self._blaming(offset + len(data)):
                self._io.write_file(command, offset, data)
            return
        end = offset + len(data)
        for byte, length in reversed([(byte, len(list(run))) for byte, run in groupby(data)] or [(0, 0)]):
            # In decimal, as the oldest have no other numbers here.
            self._request(f"{command} -P {byte}", end - length, length)
            end -= length

    def write_zeroes(self, offset: int, length: int, *, unmap: bool = True, fua: bool = False) -> None:
        """See `targets.Image.write_zeroes`."""
        command = self._command("z", "u" if unmap else "", "f" if fua else "")
        for start, size in _pieces(offset, length, _ZEROES):
            self._request(command, start, size)
        self._made_durable(fua=fua)

    def _command(self, first: str, *others: str) -> str:
        """A write with the first option, and those of the others that there are."""
        return " ".join(
            ["write", f"-{first}", *(f"-{each}" for each in others if each in self._letters.write)]
        )

    def _request(self, command: str, offset: int, length: int) -> None:
        with self._blaming(offset + length):
            self._io.request(f"{command} {offset} {length}", offset, length)

    def _made_durable(self, *, fua: bool) -> None:
        if fua and "f" not in self._letters.write:
            self.flush()

    @contextmanager
    def _blaming(self, end: int, *, writing: bool = True) -> Iterator[None]:
        """Tell what must be refused from what fails, as a request that ends there is complained of."""
        try:
            yield
        except Complaint as complaint:
            if end > self.size or (writing and not self._writable):
                raise UsageError(str(complaint), rule=complaint.rule) from complaint
            raise StorageError(str(complaint)) from complaint

    def flush(self) -> None:
        """See `targets.Image.flush`."""
        with self._blaming(0, writing=False):
            self._io.silent("flush")

    def extents(self) -> Iterator[_Extent]:
        """See `targets.Image.extents`.

        Only qemu-io knows what it has not written yet, and only qemu-img what is below, which stays.
        """
        if self._below is None:
            self._below = self._opened.map()
        for start, length, mine in self._io.allocated() or ():
            end = min(start + length, self.size)  # QEMU has whole sectors here
            if mine:
                yield _Extent(start, end - start, 0, present=True, zero=False)
            else:
                yield from _overlapping(self._below, start, end)

    def info(self) -> dict[str, Any]:
        """What qemu-img said when the image was opened: size, revision, image_file and backing_file."""
        return self._facts._asdict()

    def resize(self, size: int) -> None:
        """See `targets.Image.resize`; by ``truncate``, as qemu-img would need the image closed."""
        try:
            self._io.silent(f"truncate {size}")
        except Complaint as complaint:
            raise UsageError(str(complaint), rule=complaint.rule) from complaint
        self.size, self._below = size, None

    def stream(self, *, stop: Callable[[], bool] | None = None) -> bool:
        """See `targets.Image.stream`; by a command, for which the image is closed, and which cannot stop."""
        if not self._writable:
            raise UsageError("the image is open for reading")
        if stop is not None and stop():
            return False
        self._io.close()
        try:
            self._opened.stream()
        finally:
            self._io = self._opened.io()
        return True

    def close(self) -> None:
        """See `targets.Image.close`."""
        self._io.close()

    @property
    def pid(self) -> int:
        """The process that has it open."""
        return self._io.pid

    def kill(self) -> None:
        """End without a flush, as a process that is killed."""
        self._io.kill()

    def drop(self) -> None:
        """SIGKILL, whatever it did."""
        self._io.drop()


def _overlapping(extents: list[dict[str, Any]], start: int, end: int) -> Iterator[_Extent]:
    """What of the extents is within a range that the image itself does not have."""
    for extent in extents:
        first = max(extent["start"], start)
        last = min(extent["start"] + extent["length"], end)
        if first < last:
            below = bool(extent["present"]) and extent["depth"] > 0
            yield _Extent(first, last - first, extent["depth"] if below else 0, below, bool(extent["zero"]))


def _pieces(offset: int, length: int, most: int) -> Iterator[tuple[int, int]]:
    """A range in pieces, the last one first: one that ends outside is refused whole."""
    starts = range(offset, offset + length, most) or range(offset, offset + 1)
    return ((start, min(most, offset + length - start)) for start in reversed(starts))
