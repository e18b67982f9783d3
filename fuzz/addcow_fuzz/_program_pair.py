"""A program run on two implementations at once, each beside an oracle of its own, and the two compared.

What two right implementations may differ in is left out: which writes outlive a kill, how far a stream comes
that is stopped, which of two requests at once was the last, and how a storage call that fails is met.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from addcow_conformance.programs import (
    IMAGE,
    RAW,
    Disk,
    Fault,
    Flush,
    Kill,
    Operation,
    Race,
    Read,
    Reopen,
    Resize,
    Result,
    Session,
    Stream,
    Violation,
    Write,
    Zeroes,
)
from addcow_fuzz._reached import counting
from addcow_spec.errors import StorageError, UsageError
from addcow_spec.geometry import Geometry

if TYPE_CHECKING:
    from addcow_conformance.targets import Image, Target

__all__ = ["Pair"]

# A disk of this size or less is compared whole, another at its beginning.
_WHOLE = 1 << 20

# Operations after which bits and bytes are on disk, and the same ones.
_DURABLE = (Flush, Reopen, Resize, Stream)

# Start and layer of each stretch of a disk, the layer None where there is none.
_Runs: TypeAlias = list[tuple[int, int | None]]


class Pair:
    """A disk of an implementation, and the same of the one that it is held to.

    Args:
        disk: the disk.
        target: the implementation.
        model: the one that it is held to, in this process.
        directory: an empty directory for the files of the implementation; None to keep them in memory.
        data: the input that the program is from, for what is counted.

    Raises:
        AdapterError: the implementation gave no answer; so may every operation.
        Unsupported: it has no such disks.
        Violation: an image was not created as it must be.
    """

    def __init__(
        self, disk: Disk, target: Target, model: Target, directory: str | None, data: bytes = b""
    ) -> None:
        self._revision = disk.revision
        self._model = Session(disk, model, comparing=False)
        self._step_of_model = counting(self._model, data)
        self._tried = Session(disk, target, directory=directory, comparing=False)
        # Whether bytes, and bits, have to be the same; and whether a kill may change that.
        self._same_bytes = self._same_bits = True
        self._unflushed = False

    def step(self, operation: Operation) -> None:
        """Do one operation to both, and compare; what the implementation does not take is left out.

        Raises:
            AdapterError: the implementation gave no answer.
            Violation: one of the two is wrong, or they differ.
        """
        skipped = self._tried.skipped.total()
        if isinstance(operation, Fault):
            return
        # One to the size that there is does nothing, and makes nothing durable.
        idle = isinstance(operation, Resize) and operation.size == self._tried.oracle.size
        result = self._tried.step(operation)
        if self._tried.skipped.total() > skipped:
            return
        expected = self._step_of_model(operation)
        if result.outcome != expected.outcome:
            raise Violation("ACW-DYN-007", f"{operation} is {result.outcome}, and not {expected.outcome}")
        if idle:
            return
        self._learn(operation, result)
        if isinstance(operation, _DURABLE):
            try:
                self._compare(operation)
            except (StorageError, UsageError) as error:
                raise Violation("ACW-DYN-001", f"it cannot be compared: {error}") from error

    def close(self) -> None:
        """Close the image, as a process that goes on does; a right one stays alive for the next program.

        Raises:
            AdapterError: the implementation gave no answer.
            Violation: it is not closed.
        """
        self._model.kill()
        if self._tried.image is not None:
            failed = self._tried.attempt("ACW-DYN-005", lambda image: image.close())
            if failed is not None:
                raise Violation("ACW-DYN-005", f"closing fails: {failed}")
            self._tried.image = None

    def kill(self) -> None:
        """End both, after a violation or for want of an answer."""
        for session in (self._model, self._tried):
            session.__exit__(Violation, None, None)

    def _learn(self, operation: Operation, result: Result) -> None:
        """What may be another in the two from now on."""
        if result.outcome != "done":
            return
        if isinstance(operation, Race) or (isinstance(operation, Kill) and self._unflushed):
            self._same_bytes = self._same_bits = False
        elif isinstance(operation, Stream):
            self._same_bits = operation.steps is None
        if isinstance(operation, Write | Zeroes | Race):
            self._unflushed = True
        elif not isinstance(operation, Read | Kill):
            self._unflushed = isinstance(operation, Stream) and operation.steps is not None

    # --- the two beside one another

    def _compare(self, operation: Operation) -> None:
        tried, model = self._tried.image, self._model.image
        if tried is None or model is None:
            return
        if tried.size != model.size:
            raise Violation("ACW-DYN-011", f"the size is {tried.size}, and not {model.size}")
        if self._same_bytes:
            length = min(model.size, _WHOLE)
            _same("ACW-DYN-001", "the disk", tried.read(0, length), model.read(0, length))
        if self._same_bits and "extents" in self._tried.abilities and _runs(tried) != _runs(model):
            raise Violation("ACW-DYN-002", f"the extents are {_runs(tried)}, and not {_runs(model)}")
        if self._same_bits:
            _same("ACW-DYN-002", "the bitmap", self._bits(self._tried), self._bits(self._model))
        whole = operation == Stream() and self._model.writable and model.size <= _WHOLE
        if whole and self._same_bytes:
            raw = self._tried.files.get(RAW), self._model.files.get(RAW)
            _same("ACW-DYN-012", "the image file", *raw)

    def _bits(self, session: Session) -> bytes:
        geometry = Geometry(self._revision, session.oracle.size)
        bits = session.files.get(IMAGE)[geometry.bitmap_offset : geometry.bitmap_end]
        return bits.ljust(geometry.bitmap_size, b"\0")


def _same(rule: str, what: str, found: bytes, expected: bytes) -> None:
    if found != expected:
        wrong = next(
            (at for at, pair in enumerate(zip(found, expected, strict=False)) if pair[0] != pair[1]), 0
        )
        difference = wrong, expected[wrong : wrong + 32], found[wrong : wrong + 32]
        raise Violation(rule, f"{what} differs from the engine's at {wrong}", difference)


def _runs(image: Image) -> _Runs:
    """The disk by the layers that have it, stretches of one layer in one."""
    found: _Runs = []
    for extent in image.extents():
        layer = extent.depth if extent.present else None
        if not found or found[-1][1] != layer:
            found.append((extent.start, layer))
    return found
