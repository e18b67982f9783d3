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


def _below(stop: int) -> st.SearchStrategy[int]:
    return st.integers(0, stop - 1)


_ONE, _TWO = _below(draws.REQUESTS), _below(draws.REQUESTS * draws.REQUESTS)


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

    @initialize(size=_below(draws.SIZES), backing=_below(draws.BACKINGS), odd=_below(64))
    def create(self, size: int, backing: int, odd: int) -> None:
        """Make the image; rarely, try before whether one of an odd size is refused."""
        strange = draws.an_odd_disk(self.plan.revision, odd) if odd % 16 == 15 else None
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
            session.__exit__()

    def teardown(self) -> None:
        """Close all files."""
        self._close()
        if self.folder:
            self.folder.remove()

    # --- operations

    # Most rules do two operations: to choose a rule takes hypothesis as long as an operation. A program that
    # is found is shrunk by operations, whatever rule they came from.

    @rule(number=_TWO)
    def write(self, number: int) -> None:
        """Write twice, anywhere."""
        for part in divmod(number, draws.REQUESTS):
            self._write(part)

    @rule(number=_TWO)
    def write_zeroes(self, number: int) -> None:
        """Write, and zero anything."""
        first, second = divmod(number, draws.REQUESTS)
        self._write(first)
        self._zero(second)

    @rule(number=_TWO)
    def read(self, number: int) -> None:
        """Zero anything, and read anything; all else is read after each step."""
        first, second = divmod(number, draws.REQUESTS)
        self._zero(first)
        self._read(second)

    @rule(number=_ONE)
    def flush(self, number: int) -> None:
        """Write, and flush."""
        self._write(number)
        self._do(Flush())

    @rule(number=_below(draws.ENDS * draws.REQUESTS))
    def end(self, number: int) -> None:
        """Write, then close or kill, and open again."""
        how, number = divmod(number, draws.REQUESTS)
        if number // 64 % 2:
            self._write(number)
        self._do(draws.an_end(how, self.plan.storage))

    @rule(number=_below(draws.RESIZES * draws.RESIZES))
    def resize(self, number: int) -> None:
        """Grow or shrink, twice."""
        for part in divmod(number, draws.RESIZES):
            self._resize(part)

    @rule(number=_below(draws.STREAMS * draws.REQUESTS))
    def stream(self, number: int) -> None:
        """Write, then copy what is below, to the end or not."""
        how, number = divmod(number, draws.REQUESTS)
        if number // 64 % 2:
            self._write(number)
        self._do(draws.a_stream(self._ground, how))

    @rule(fault=_below(draws.FAULTS), what=_below(8), number=_ONE)
    def fault(self, fault: int, what: int, number: int) -> None:
        """Let a storage call of what comes next fail; mostly we know what comes."""
        if not self.session.writable:
            self._do(Reopen())
        self._do(draws.a_fault(fault))
        if what < len(_FAILING):
            _FAILING[what](self, number)

    @precondition(lambda self: self.session.writable)
    @rule(number=_below(draws.RACES))
    def race(self, number: int) -> None:
        """Two requests at once."""
        self._do(draws.a_race(self._ground, number, len(self.operations)))

    def _write(self, number: int) -> None:
        self._do(draws.a_write(self._ground, number, len(self.operations)))

    def _zero(self, number: int) -> None:
        self._do(draws.some_zeroes(self._ground, number))

    def _read(self, number: int) -> None:
        self._do(draws.a_read(self._ground, number))

    def _resize(self, number: int) -> None:
        self._do(draws.a_resize(self._ground, number % draws.RESIZES, self.disk.size))

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


# What is made to fail, each with the number that was drawn for it.
_FAILING: tuple[Callable[[DiskMachine, int], None], ...] = (
    DiskMachine._write,  # noqa: SLF001 - of this module
    DiskMachine._zero,  # noqa: SLF001
    DiskMachine._read,  # noqa: SLF001
    DiskMachine._stream,  # noqa: SLF001
    DiskMachine._resize,  # noqa: SLF001
    lambda machine, _: machine._do(Flush()),  # noqa: SLF001
)
