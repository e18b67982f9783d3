"""Making a program that breaks a rule as short and as plain as it can be.

Hypothesis shrinks the numbers that it drew, and knows nothing of disks. Here the operations themselves are
left out and made plainer, which takes a tenth of the time and ends in less; and it works for any program,
wherever it comes from.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

from addcow_conformance.models._folder import Folder
from addcow_conformance.programs import (
    BackingKind,
    Disk,
    Flush,
    Operation,
    Program,
    Race,
    Read,
    Resize,
    Session,
    StorageKind,
    Stream,
    Via,
    Violation,
    Write,
    Zeroes,
)
from addcow_spec.errors import AddCowError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from addcow_conformance.targets import Target

__all__ = ["shrink"]

# Programs that are tried at most.
_TRIES = 1000


def _run(program: Program, target: Target) -> tuple[Violation | None, int]:
    """Run a program, but for its loss of power: the violation, and how many operations were begun.

    What ends in another error breaks another rule, if any: a crash, or files in memory for a process.
    """
    folder = Folder() if program.storage is StorageKind.FILES else None
    begun = 0
    try:
        with Session(program.disk, target, directory=folder.fresh() if folder else None) as session:
            for operation in program.operations:
                begun += 1
                session.step(operation)
    except Violation as violation:
        return violation, begun
    except AddCowError:
        return None, begun
    finally:
        if folder:
            folder.remove()
    return None, begun


def shrink(program: Program, target: Target, seconds: float = math.inf) -> Program:
    """The plainest program that can be made of one, in so many seconds, that still breaks the same rule.

    One that breaks it sometimes only is returned as it is.
    """
    return _Shrinker(program, target, time.monotonic() + seconds).run()


class _Shrinker:
    def __init__(self, program: Program, target: Target, until: float) -> None:
        self._best = program
        self._until = until
        self._target = target
        self._tried: set[tuple[object, ...]] = set()

    def run(self) -> Program:
        if not self._try(self._best):
            return self._best
        before = None
        while before != self._best:
            before = self._best
            self._leave_out()
            self._part_races()
            self._begin_larger()
            while self._try_any(_plainer_disks(self._best)):
                pass
            for at in range(len(self._best.operations)):
                while self._try_any(self._plainer_at(at)):
                    pass
        return self._best

    def _try(self, program: Program, *, any_rule: bool = False) -> bool:
        """Take a program if it breaks the rule, without the operations after that."""
        # A name tuple is equal to another of the same values, so that the type of each operation counts.
        key = (*program[:3], *map(type, program.operations))
        if key in self._tried or len(self._tried) >= _TRIES or time.monotonic() >= self._until:
            return False
        self._tried.add(key)
        violation, begun = _run(program, self._target)
        if violation is None or not (any_rule or violation.rule == self._best.rule):
            return False
        operations = program.operations[:begun]
        self._best = program._replace(operations=operations, rule=violation.rule, note=violation.detail)
        return True

    def _try_any(self, programs: Iterator[Program]) -> bool:
        return any(self._try(program) for program in programs)

    def _leave_out(self) -> None:
        """Leave out as many operations in a row as can be."""
        size = max(len(self._best.operations) // 2, 1)
        while size:
            at = max(len(self._best.operations) - size, 0)
            while at >= 0:
                operations = self._best.operations
                self._try(self._best._replace(operations=operations[:at] + operations[at + size :]))
                at -= size
            size //= 2

    def _part_races(self) -> None:
        """Make one request of two at once, or one after the other; what breaks has another rule then."""
        for at, operation in enumerate(self._best.operations):
            if not isinstance(operation, Race):
                continue
            first, second = operation.first, operation.second
            for parts in ((first,), (second,), (first, second), (second, first)):
                operations = (*self._best.operations[:at], *parts, *self._best.operations[at + 1 :])
                if self._try(self._best._replace(operations=operations), any_rule=True):
                    return

    def _begin_larger(self) -> None:
        """Begin with the size that the first operation makes."""
        operations = self._best.operations
        if operations and isinstance(operations[0], Resize):
            disk = self._best.disk._replace(size=operations[0].size)
            self._try(self._best._replace(disk=disk, operations=operations[1:]))

    def _plainer_at(self, at: int) -> Iterator[Program]:
        operations = self._best.operations
        if at < len(operations):
            for other in _plainer(operations[at], self._best.disk.unit_size):
                yield self._best._replace(operations=(*operations[:at], other, *operations[at + 1 :]))


def _plainer_disks(program: Program) -> Iterator[Program]:
    """The same program in memory, or on a disk of which there is less to say."""
    if program.storage is not StorageKind.MEMORY:
        yield program._replace(storage=StorageKind.MEMORY)
    disk, unit = program.disk, program.disk.unit_size
    found = [disk._replace(size=size) for size in _smaller(disk.size, unit)]
    if disk.fill != Disk().fill:
        # What lies in the image file beforehand may spare the operations that put something there.
        found.append(disk._replace(fill=Disk().fill))
    if disk.backing:
        raw = disk.backing._replace(kind=BackingKind.RAW)
        sizes = [disk.backing._replace(size=size) for size in _smaller(disk.backing.size, unit)]
        found = [*(disk._replace(backing=backing) for backing in (None, raw, *sizes)), *found]
    for other in found:
        yield program._replace(disk=other)


def _plainer(operation: Operation, unit: int) -> Iterator[Operation]:
    """Operations that do less."""
    if isinstance(operation, Race):
        for first in _plainer(operation.first, unit):
            if isinstance(first, Read | Write | Zeroes | Flush | Stream):
                yield operation._replace(first=first)
        for second in _plainer(operation.second, unit):
            if isinstance(second, Read | Write | Zeroes | Flush | Stream):
                yield operation._replace(second=second)
    if isinstance(operation, Zeroes):
        yield Write(operation.offset, operation.length)
    other: Any = operation
    for name, value in other._asdict().items():
        for plainer in _plainer_values(name, value, other._field_defaults.get(name), unit):
            yield other._replace(**{name: plainer})


def _plainer_values(name: str, value: object, default: object, unit: int) -> Iterator[object]:
    if isinstance(value, bool | Via):
        if value != default:
            yield default
    elif name == "seed":
        if isinstance(value, int) and value > 1:
            yield 1
    elif name == "steps":
        if value is not None:
            yield None
    elif name == "code":
        if value != default:
            yield default
    elif isinstance(value, int):
        yield from _smaller(value, unit)


def _smaller(value: int, unit: int) -> Iterator[int]:
    """Smaller numbers, the roundest first."""
    rounded = [value // grain * grain for grain in (unit, 512) if value % grain]
    found = [0, 1, 512, unit, *rounded, value // 2, value * 3 // 4, value * 15 // 16]
    yield from dict.fromkeys(number for number in found if 0 <= number < value)
