"""The oracle of a session, and beside it the disks that a resize which failed may have left instead."""

from __future__ import annotations

from typing import Self

from addcow_conformance.oracle import Oracle, Outcome

__all__ = ["Disks"]


class Disks(Oracle):
    """What the disk is, and what else a loss of power may make of it.

    A resize that failed has been undone, or done, for whoever reads on; but nothing of that need be durable
    until the next flush has returned.

    Args:
        size: bytes of the disk.
        backing: the bytes below it, of any length; None without a backing file.
        unit_size: bytes that a bit stands for.
        told_twice: whether the size is in two files, which may differ while it is not certain (ACW-SIZ-006).

    Attributes:
        others: the disks that a loss of power may leave instead.
        told_twice: as above.
    """

    def __init__(self, size: int, backing: bytes | None, unit_size: int, *, told_twice: bool = False) -> None:
        super().__init__(size, backing, unit_size)
        self.told_twice = told_twice
        self.others: tuple[Oracle, ...] = ()

    def copy(self) -> Self:
        """See `Oracle.copy`."""
        twin = super().copy()
        twin.others = tuple(each.copy() for each in self.others)
        return twin

    def write(self, offset: int, data: bytes, outcome: Outcome = Outcome.DONE) -> None:
        """See `Oracle.write`."""
        super().write(offset, data, outcome)
        for each in self.others:
            if offset < each.size:
                each.write(offset, data[: each.size - offset], outcome)

    def stream(self, outcome: Outcome = Outcome.DONE) -> None:
        """See `Oracle.stream`."""
        super().stream(outcome)
        for each in self.others:
            each.stream(outcome)

    def flush(self) -> None:
        """See `Oracle.flush`. What is seen now is what there is."""
        super().flush()
        self.others = ()

    def kill(self) -> None:
        """See `Oracle.kill`."""
        super().kill()
        for each in self.others:
            each.kill()

    def resize(self, size: int) -> None:
        """See `Oracle.resize`."""
        super().resize(size)
        self.others = ()

    def fail_resize(self, size: int, shown: int) -> None:
        """A resize to ``size`` has failed, and left the size that is ``shown``."""
        others = (*self.others, *self.while_resized(size))
        if shown != self.size:
            self.resize(shown)
        self.others = others

    def while_resized(self, size: int) -> tuple[Oracle, Oracle]:
        """The disk of the old size and of the new, while it is resized (ACW-DYN-011).

        What is about to be cut off may read as it did, as below, or as zeros.
        """
        old, new = self.copy(), self.copy()
        old.others = ()
        new.resize(size)
        if size < old.size:
            for shown in (self._disk.below(size, old.size), bytes(old.size - size)):
                old.write(size, shown, Outcome.FAILED)
            old.durable_units &= old.units(0, size)
        return old, new
