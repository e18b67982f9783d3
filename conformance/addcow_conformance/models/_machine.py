"""The state machine: hypothesis chooses the operations, a session does them and compares."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from hypothesis import event
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from addcow_conformance.models import _draws as draws
from addcow_conformance.models._draws import Ground
from addcow_conformance.models._folder import Folder
from addcow_conformance.models._states import ODD
from addcow_conformance.programs import (
    Disk,
    Fault,
    Flush,
    Kill,
    Operation,
    Program,
    Reopen,
    Session,
    StorageKind,
    Violation,
    Write,
    Zeroes,
)
from addcow_spec.model import Revision

if TYPE_CHECKING:
    from collections.abc import Callable

    from addcow_conformance.models._reach import Reach
    from addcow_conformance.targets import Target

__all__ = ["DiskMachine", "Plan"]


class Plan(Protocol):
    """What a machine is to try, and who hears of it."""

    revision: Revision
    storage: StorageKind
    target: Target
    reach: Reach | None

    def found(self, program: Program) -> None:
        """A program breaks a rule."""

    def step(self) -> None:
        """An operation was done."""


# Operations on a disk of more than a page of bits, which take ten times as long as others to compare.
_ENOUGH = 30

# All that a rule draws, in one go. Whole numbers would take one draw each, and hypothesis prefers small ones:
# of a range of some thousands it hardly ever chooses anything from the upper half. There are more bytes than
# are needed, as now and then it takes constants of the modules at hand, and none of them is as long.
_BYTES = 37
_RAW = st.binary(min_size=_BYTES, max_size=_BYTES)


def _split(raw: bytes, count: int) -> tuple[int, int]:
    """A number from 0 to ``count`` - 1, and one made of what is left."""
    rest, number = divmod(int.from_bytes(raw, "little"), count)
    return number, rest


class DiskMachine(RuleBasedStateMachine):
    """A disk, and a session that compares it with the oracle after each step.

    Args:
        plan: revision, storage and implementation.
    """

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self.plan = plan
        self.operations: list[Operation] = []
        self.folder = Folder() if plan.storage is StorageKind.FILES else None
        self.last = 0
        self.events: set[str] = set()
        self.session: Session

    # --- the disk

    @initialize(raw=_RAW)
    def create(self, raw: bytes) -> None:
        """Make the image; rarely, try before whether one of an odd size is refused."""
        size, rest = _split(raw, draws.SIZES)
        backing, odd = rest % draws.BACKINGS, rest // draws.BACKINGS
        strange = draws.an_odd_disk(self.plan.revision, odd // 16) if odd % 16 == 15 else None
        if strange:
            self._open(strange)
            self._close()
            self._reached(ODD)
        self._open(draws.a_disk(self.plan.revision, size, backing))
        if self.plan.reach:
            self._tell(self.plan.reach.begin(self.session))

    def _open(self, disk: Disk) -> None:
        self.disk = disk
        directory = self.folder.fresh() if self.folder else None
        try:
            self.session = Session(disk, self.plan.target, directory=directory)
        except Violation as violation:
            self._found(violation)
            raise

    def _close(self) -> None:
        session = self.__dict__.pop("session", None)
        if session:
            session.kill()

    def teardown(self) -> None:
        """Close all files."""
        try:
            self._close()
        finally:
            if self.folder:
                self.folder.remove()

    # --- operations

    # Most rules do two operations: to choose a rule takes hypothesis as long as an operation. A program that
    # is found is shrunk by operations, whatever rule they came from.

    @rule(raw=_RAW)
    def write(self, raw: bytes) -> None:
        """Write twice, anywhere."""
        first, second = _split(raw, draws.REQUESTS)
        self._write(first)
        self._write(second)

    @rule(raw=_RAW)
    def write_zeroes(self, raw: bytes) -> None:
        """Write, and zero anything."""
        first, second = _split(raw, draws.REQUESTS)
        self._write(first)
        self._zero(second)

    @rule(raw=_RAW)
    def read(self, raw: bytes) -> None:
        """Zero anything, and read anything; all else is read after each step."""
        first, second = _split(raw, draws.REQUESTS)
        self._zero(first)
        self._read(second)

    @rule(raw=_RAW)
    def flush(self, raw: bytes) -> None:
        """Write, and flush."""
        _, number = _split(raw, 1)
        self._write(number)
        self._flush(0)

    @rule(raw=_RAW)
    def end(self, raw: bytes) -> None:
        """Write or not, then close or kill, and open again."""
        how, number = _split(raw, 2 * draws.ENDS)
        if how % 2:
            self._write(number)
        self._end(how // 2)

    @rule(raw=_RAW)
    def resize(self, raw: bytes) -> None:
        """Grow or shrink, twice."""
        first, second = _split(raw, draws.RESIZES)
        self._resize(first)
        self._resize(second)

    @rule(raw=_RAW)
    def stream(self, raw: bytes) -> None:
        """Write or not, then copy what is below, to the end or not."""
        how, number = _split(raw, 2 * draws.STREAMS)
        if how % 2:
            self._write(number)
        self._stream(how // 2)

    @rule(raw=_RAW)
    def fault(self, raw: bytes) -> None:
        """Let a storage call of an operation fail."""
        if not self.session.writable:
            self._do(Reopen())
        fault, rest = _split(raw, draws.FAULTS)
        what, number = rest % len(_FAILING), rest // len(_FAILING)
        do, calls = _FAILING[what]
        self._do(draws.a_fault(fault, calls))
        do(self, number)

    @precondition(lambda self: self.session.writable)
    @rule(raw=_RAW)
    def race(self, raw: bytes) -> None:
        """Two requests at once."""
        self._race(_split(raw, draws.RACES)[0])

    def _write(self, number: int) -> None:
        number %= draws.REQUESTS
        self._do(draws.a_write(self._ground, number, len(self.operations)))

    def _zero(self, number: int) -> None:
        self._do(draws.some_zeroes(self._ground, number % draws.REQUESTS))

    def _read(self, number: int) -> None:
        self._do(draws.a_read(self._ground, number % draws.REQUESTS))

    def _resize(self, number: int) -> None:
        self._do(draws.a_resize(self._ground, number % draws.RESIZES, self.disk.size))

    def _flush(self, _: int) -> None:
        self._do(Flush())

    def _end(self, number: int) -> None:
        self._do(draws.an_end(number % draws.ENDS, self.plan.storage))

    def _race(self, number: int) -> None:
        self._do(draws.a_race(self._ground, number % draws.RACES, len(self.operations)))

    def _stream(self, number: int) -> None:
        self._do(draws.a_stream(self._ground, number % draws.STREAMS))

    @property
    def _ground(self) -> Ground:
        session = self.session
        return Ground(
            session.oracle.size,
            session.oracle.unit_size,
            len(session.backing.data),
            self.last,
            self.plan.revision is Revision.V10,
        )

    def _do(self, operation: Operation) -> None:
        """Do an operation; where an image could not be opened, open it before."""
        if len(self.operations) >= _ENOUGH and self._ground.size > self._ground.page:
            return
        if self.session.image is None and not isinstance(operation, Fault | Reopen | Kill):
            self._step(Reopen())
        self._step(operation)
        if isinstance(operation, Write | Zeroes):
            self.last = min(operation.offset, self.session.oracle.size)

    def _step(self, operation: Operation) -> None:
        self.operations.append(operation)
        reach = self.plan.reach
        if reach:
            reach.before(self.session)
        try:
            result = self.session.step(operation)
        except Violation as violation:
            self._found(violation)
            raise
        self.plan.step()
        if reach:
            self._tell(reach.after(self.session, operation, result))

    def _tell(self, names: list[str]) -> None:
        for name in names:
            if name not in self.events:
                self.events.add(name)
                event(name)

    def _reached(self, name: str) -> None:
        if self.plan.reach:
            self.plan.reach.count(name)
            self._tell([name])

    def _found(self, violation: Violation) -> None:
        self.plan.found(
            Program(
                self.disk,
                tuple(self.operations),
                self.plan.storage,
                rule=violation.rule,
                note=violation.detail,
            )
        )


# What is made to fail, each with the number that was drawn for it, and how many storage calls it makes: a
# resize has the most, and its last ones matter.
_FAILING: tuple[tuple[Callable[[DiskMachine, int], None], range], ...] = (
    (DiskMachine._write, range(3)),  # noqa: SLF001 - of this module, as all below
    (DiskMachine._zero, range(4)),  # noqa: SLF001
    (DiskMachine._read, range(2)),  # noqa: SLF001
    (DiskMachine._stream, range(6)),  # noqa: SLF001
    (DiskMachine._resize, range(6)),  # noqa: SLF001
    (DiskMachine._flush, range(4)),  # noqa: SLF001
    (DiskMachine._end, range(12)),  # noqa: SLF001
    (DiskMachine._resize, range(3, 14)),  # noqa: SLF001
    (DiskMachine._race, range(6)),  # noqa: SLF001
    (DiskMachine._write, range(2)),  # noqa: SLF001
)
