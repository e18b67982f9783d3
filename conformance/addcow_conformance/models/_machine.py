"""The state machine: hypothesis chooses the operations, a session does them and compares."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Protocol, TypeAlias, TypeVar

from hypothesis import event
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from addcow_conformance.models import _draws as draws
from addcow_conformance.models._draws import Ground
from addcow_conformance.models._folder import Folder
from addcow_conformance.programs import (
    Disk,
    Fault,
    Flush,
    Kill,
    Operation,
    Patience,
    Program,
    Reopen,
    Session,
    StorageKind,
    Violation,
    Write,
    Zeroes,
    backing_kinds,
)
from addcow_spec.model import Revision

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from addcow_conformance.reach import Reach
    from addcow_conformance.targets import Target

    Phrase: TypeAlias = Callable[["DiskMachine", "Numbers"], None]

_T = TypeVar("_T")

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

# To choose a rule takes hypothesis as long as two operations, so that each is a burst of so many phrases.
_PHRASES = 8


class Numbers:
    """Numbers made of the bytes that a rule drew."""

    def __init__(self, raw: bytes) -> None:
        self._left = int.from_bytes(raw, "little")

    def below(self, count: int) -> int:
        """A number from 0 to ``count`` - 1."""
        self._left, number = divmod(self._left, count)
        return number

    def one_of(self, choices: Sequence[_T]) -> _T:
        """One of some."""
        return choices[self.below(len(choices))]


def _burst(phrase: Phrase) -> Callable[[DiskMachine, bytes], None]:
    """A rule that begins with a phrase, and goes on with those that were chosen before in this program.

    So the rules that hypothesis leaves out of a program stay out of it.
    """

    @rule(raw=_RAW)
    @wraps(phrase)
    def run(self: DiskMachine, raw: bytes) -> None:
        numbers = Numbers(raw)
        self.phrases.append(phrase)
        with Patience():  # that of each step is within it, and so costs less
            phrase(self, numbers)
            for _ in range(_PHRASES - 1):
                numbers.one_of(self.phrases)(self, numbers)

    return run


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
        self.phrases: list[Phrase] = []
        self.session: Session

    # --- the disk

    @initialize(raw=_RAW)
    def create(self, raw: bytes) -> None:
        """Make the image; rarely, try before whether one of an odd size is refused."""
        numbers = Numbers(raw)
        size, backing = numbers.below(draws.SIZES), numbers.below(draws.BACKINGS)
        odd = numbers.below(16) == 15
        strange = draws.an_odd_disk(self.plan.revision, numbers.below(draws.SIZES)) if odd else None
        if strange:
            self._open(strange)
            self._close()
        self._open(draws.a_disk(self.plan.revision, size, backing, backing_kinds(self.plan.target)))

    def _open(self, disk: Disk) -> None:
        self.disk = disk
        directory = self.folder.fresh() if self.folder else None
        try:
            self.session = Session(disk, self.plan.target, directory=directory)
        except Violation as violation:
            self._found(violation)
            raise
        if self.plan.reach:
            self._tell(self.plan.reach.begin(self.session))

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

    # A program that is found is shrunk by operations, whatever rule they came from.

    @_burst
    def write(self, numbers: Numbers) -> None:
        """Write twice, anywhere."""
        self._write(numbers)
        self._write(numbers)

    @_burst
    def write_zeroes(self, numbers: Numbers) -> None:
        """Write, and zero anything."""
        self._write(numbers)
        self._zero(numbers)

    @_burst
    def read(self, numbers: Numbers) -> None:
        """Zero anything, and read anything; all else is read after each step."""
        self._zero(numbers)
        self._read(numbers)

    @_burst
    def flush(self, numbers: Numbers) -> None:
        """Write, and flush."""
        self._write(numbers)
        self._flush(numbers)

    @_burst
    def end(self, numbers: Numbers) -> None:
        """Write or not, then close or kill, and open again."""
        if numbers.below(2):
            self._write(numbers)
        self._end(numbers)

    @_burst
    def resize(self, numbers: Numbers) -> None:
        """Grow or shrink, twice."""
        self._resize(numbers)
        self._resize(numbers)

    @_burst
    def stream(self, numbers: Numbers) -> None:
        """Write or not, then copy what is below, to the end or not."""
        if numbers.below(2):
            self._write(numbers)
        self._stream(numbers)

    @_burst
    def fault(self, numbers: Numbers) -> None:
        """Let a storage call of an operation fail."""
        if not self.session.writable:
            self._do(Reopen())
        do, calls = numbers.one_of(_FAILING)
        self._do(draws.a_fault(numbers.below(draws.FAULTS), calls))
        do(self, numbers)

    @_burst
    def race(self, numbers: Numbers) -> None:
        """Two requests at once, of an image that can be written."""
        if self.session.writable:
            self._race(numbers)

    def _write(self, numbers: Numbers) -> None:
        self._do(draws.a_write(self._ground, numbers.below(draws.REQUESTS), len(self.operations)))

    def _zero(self, numbers: Numbers) -> None:
        self._do(draws.some_zeroes(self._ground, numbers.below(draws.REQUESTS)))

    def _read(self, numbers: Numbers) -> None:
        self._do(draws.a_read(self._ground, numbers.below(draws.REQUESTS)))

    def _resize(self, numbers: Numbers) -> None:
        self._do(draws.a_resize(self._ground, numbers.below(draws.RESIZES), self.disk.size))

    def _flush(self, _: Numbers) -> None:
        self._do(Flush())

    def _end(self, numbers: Numbers) -> None:
        self._do(draws.an_end(numbers.below(draws.ENDS), self.plan.storage))

    def _race(self, numbers: Numbers) -> None:
        self._do(draws.a_race(self._ground, numbers.below(draws.RACES), len(self.operations)))

    def _stream(self, numbers: Numbers) -> None:
        self._do(draws.a_stream(self._ground, numbers.below(draws.STREAMS)))

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


# What is made to fail, and how many storage calls it makes: a resize has the most, and its last ones matter.
_FAILING: tuple[tuple[Phrase, range], ...] = (
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
