"""One step as the tables of states look at it: what was before it, what was done, what became of it."""

from __future__ import annotations

from typing import Any, NamedTuple

from addcow_conformance._units import Units
from addcow_conformance.programs import (
    IMAGE,
    Flush,
    Kill,
    Race,
    Reopen,
    Resize,
    Result,
    Session,
    Stream,
    Write,
    Zeroes,
)
from addcow_spec.geometry import Geometry

__all__ = ["Before", "Moment", "Past"]


class Past:
    """What happened to the image at hand, as far as a later step may depend on it.

    Attributes:
        unflushed: something was written since the last flush.
        durable: something was written since then that was durable on return.
        struck: a storage call failed since the image was opened.
        flush_failed: a flush did.
        shrunk: the disk was shrunk; never forgotten.
        cut: units whose bits were set when they were cut off.
        stopped: a stream was stopped, and none came to its end since then.
        stream_failed: a stream failed, and none came to its end since then.
    """

    def __init__(self) -> None:
        self.unflushed = self.durable = self.struck = self.flush_failed = False
        self.shrunk = self.stopped = self.stream_failed = False
        self.cut = Units()

    def learn(self, moment: Moment) -> None:
        """A step was done."""
        operation, outcome = moment.operation, moment.result.outcome
        self.struck = self.struck or moment.result.struck
        if outcome == "skipped":
            return
        if isinstance(operation, Write | Zeroes | Race):
            fua = not isinstance(operation, Race) and operation.fua
            self.unflushed = self.unflushed or not fua
            self.durable = self.durable or (fua and outcome == "done")
        elif isinstance(operation, Stream):
            complete = outcome == "done" and moment.all_set
            self.stopped = not complete and (self.stopped or outcome == "done")
            self.stream_failed = not complete and (self.stream_failed or outcome == "failed")
            self.unflushed = False
        elif isinstance(operation, Flush):
            self.flush_failed = self.flush_failed or outcome == "failed"
            self.unflushed = self.unflushed and outcome == "failed"
        elif isinstance(operation, Reopen | Kill):
            self.unflushed = self.durable = self.flush_failed = False
            self.struck = moment.result.struck and moment.session.image is None
        elif isinstance(operation, Resize) and outcome == "done":
            self.unflushed = False
            self.shrunk = self.shrunk or operation.size < moment.before.size
            self.cut |= moment.before.units - moment.units(0, operation.size)


class Before(NamedTuple):
    """The disk before a step: its bytes, the units whose bits are set, and how it is open."""

    size: int
    units: Units
    writable: bool
    opened: bool


class Moment(NamedTuple):
    """A step."""

    session: Session
    operation: Any  # of a type that the table knows
    result: Result
    before: Before
    past: Past

    # --- what became of it

    @property
    def done(self) -> bool:
        """It was done."""
        return self.result.outcome == "done"

    @property
    def failed(self) -> bool:
        """It failed."""
        return self.result.outcome == "failed"

    @property
    def refused(self) -> bool:
        """It was refused."""
        return self.result.outcome == "refused"

    @property
    def all_set(self) -> bool:
        """Every bit is set now."""
        oracle = self.session.oracle
        return oracle.must_be_set == self.units(0, oracle.size)

    @property
    def all_were_set(self) -> bool:
        """Every bit was set before."""
        return self.before.units == self.units(0, self.before.size)

    # --- the disk

    @property
    def unit(self) -> int:
        """Bytes of a unit."""
        return self.session.oracle.unit_size

    @property
    def below(self) -> int:
        """Bytes of the backing file, 0 without one."""
        return len(self.session.backing.data)

    @property
    def kind(self) -> str:
        """Kind of the backing file, empty without one."""
        backing = self.session.disk.backing
        return backing.kind if backing else ""

    def units(self, offset: int, length: int) -> Units:
        """The units of a range."""
        return self.session.oracle.units(offset, length)

    # --- a write

    @property
    def range(self) -> tuple[int, int]:
        """Start and end of a request; nothing for those that have no range."""
        operation = self.operation
        start, length = getattr(operation, "offset", 0), getattr(operation, "length", 0)
        return start, start + length

    @property
    def touched(self) -> Units:
        """The units of a request."""
        start, end = self.range
        return self.units(start, end - start)

    @property
    def edges(self) -> Units:
        """The clear units that a write covered in part, so that the rest had to be copied."""
        start, end = self.range
        if not self.done or start == end:
            return Units()
        cut = {start // self.unit} if start % self.unit else set()
        if end % self.unit and end < self.before.size:
            cut.add(end // self.unit)
        return Units(cut) - self.before.units

    def copies(self, *, begins_below: bool = True) -> bool:
        """Whether the rest of a unit was copied that begins inside or beyond the backing file."""
        return any((unit * self.unit < self.below) is begins_below for unit in self.edges)

    @property
    def evicts(self) -> bool:
        """A page of the bitmap was written, though nothing asked for it."""
        if getattr(self.operation, "fua", False):
            return False
        disk = self.session.disk
        start = Geometry(disk.revision, disk.size).bitmap_offset
        return any(  # what was read to compare is among the changes
            change.operation == "write" and change.name == IMAGE and change.offset >= start
            for change in self.session.watch.changes
        )
