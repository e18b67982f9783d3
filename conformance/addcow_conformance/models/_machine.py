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


_PLACE, _LENGTH, _MODE = _below(draws.PLACES), _below(draws.LENGTHS), _below(draws.MODES)


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

    @rule(place=_PLACE, length=_LENGTH, mode=_MODE)
    def write(self, place: int, length: int, mode: int) -> None:
        """Write anywhere."""
        self._do(draws.a_write(self._ground, place, length, mode, len(self.operations)))

    @rule(place=_PLACE, length=_LENGTH, mode=_MODE)
    def write_zeroes(self, place: int, length: int, mode: int) -> None:
        """Zero anything."""
        self._do(draws.some_zeroes(self._ground, place, length, mode))

    @rule(place=_PLACE, length=_LENGTH, mode=_MODE)
    def read(self, place: int, length: int, mode: int) -> None:
        """Read anything; all else is read after each step."""
        self._do(draws.a_read(self._ground, place, length, mode))

    @rule()
    def flush(self) -> None:
        """Flush."""
        self._do(Flush())

    @rule(how=_below(draws.REOPENS))
    def reopen(self, how: int) -> None:
        """Close and open."""
        self._do(draws.a_reopen(how, self.plan.storage))

    @rule()
    def kill(self) -> None:
        """End without a flush."""
        self._do(Kill())

    @rule(to=_below(16))
    def resize(self, to: int) -> None:
        """Grow or shrink."""
        self._do(draws.a_resize(self._ground, to, self.disk.size))

    @rule(steps=_below(len(draws.STEPS)))
    def stream(self, steps: int) -> None:
        """Copy what is below."""
        self._do(draws.a_stream(steps))

    @rule(number=_below(draws.FAULTS), what=_below(8), place=_PLACE, length=_LENGTH)
    def fault(self, number: int, what: int, place: int, length: int) -> None:
        """Let a storage call of what comes next fail; mostly we know what comes."""
        if not self.session.writable:
            self._do(Reopen())
        self._do(draws.a_fault(number))
        if what == 0:
            self.write(place, length, 0)
        elif what == 1:
            self.write_zeroes(place, length, 0)
        elif what == 2:
            self.read(place, length, 0)
        elif what == 3:
            self.stream(0)
        elif what == 4:
            self.resize(length)
        elif what == 5:
            self.flush()

    @precondition(lambda self: self.session.writable)
    @rule(place=_PLACE, kinds=_below(draws.RACES), shape=_below(draws.SHAPES))
    def race(self, place: int, kinds: int, shape: int) -> None:
        """Two requests at once."""
        self._do(draws.a_race(self._ground, place, kinds, shape, len(self.operations)))

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
