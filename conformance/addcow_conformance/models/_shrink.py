"""Making a program that breaks a rule as short and as plain as it can be.

Hypothesis shrinks the numbers that it drew, and knows nothing of disks. Here the operations themselves are
left out and made plainer, which takes a tenth of the time and ends in less; and it works for any program,
wherever it comes from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from addcow_conformance.models._folder import Folder
from addcow_conformance.programs import (
    Backing,
    BackingKind,
    Disk,
    Flush,
    Operation,
    Program,
    Race,
    Read,
    Session,
    StorageKind,
    Stream,
    Via,
    Violation,
    Write,
    Zeroes,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from addcow_conformance.targets import Target

__all__ = ["run_program", "shrink"]

# Programs that are tried at most.
_TRIES = 3000


def run_program(program: Program, target: Target) -> Violation | None:
    """Run a program but for its loss of power: the first violation, with as many operations as it took."""
    return _run(program, target)[0]


def _run(program: Program, target: Target) -> tuple[Violation | None, int]:
    """The violation, and the number of operations that were begun."""
    folder = Folder() if program.storage is StorageKind.FILES else None
    begun = 0
    try:
        with Session(program.disk, target, directory=folder.fresh() if folder else None) as session:
            for operation in program.operations:
                begun += 1
                session.step(operation)
    except Violation as violation:
        return violation, begun
    finally:
        if folder:
            folder.remove()
    return None, begun


def shrink(program: Program, target: Target) -> Program:
    """The plainest program that can be made of one so that it still breaks the same rule.

    One that breaks it sometimes only is returned as it is.
    """
    return _Shrinker(program, target).run()


class _Shrinker:
    def __init__(self, program: Program, target: Target) -> None:
        self._best = program
        self._target = target
        self._tries = _TRIES

    def run(self) -> Program:
        if not self._try(self._best):
            return self._best
        before = None
        while before != self._best and self._tries > 0:
            before = self._best
            self._leave_out()
            self._simplify(self._storages)
            self._simplify(self._disks)
            self._simplify(self._plainer_operations)
        return self._best

    def _try(self, program: Program) -> bool:
        """Take a program if it breaks the rule, without the operations after that."""
        if self._tries <= 0:
            return False
        self._tries -= 1
        violation, begun = _run(program, self._target)
        if violation is None or violation.rule != self._best.rule:
            return False
        self._best = program._replace(operations=program.operations[:begun], note=violation.detail)
        return True

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

    def _simplify(self, plainer: Any) -> None:  # noqa: ANN401 - one of the methods below
        """Take the first that will do, over and over."""
        while any(self._try(program) for program in plainer(self._best)):
            pass

    def _storages(self, program: Program) -> Iterator[Program]:
        if program.storage is not StorageKind.MEMORY:
            yield program._replace(storage=StorageKind.MEMORY)

    def _disks(self, program: Program) -> Iterator[Program]:
        disk = program.disk
        for other in _plainer_disks(disk):
            yield program._replace(disk=other)

    def _plainer_operations(self, program: Program) -> Iterator[Program]:
        for at, operation in enumerate(program.operations):
            for other in _plainer(operation, program.disk.unit_size):
                operations = (*program.operations[:at], other, *program.operations[at + 1 :])
                yield program._replace(operations=operations)


def _plainer_disks(disk: Disk) -> Iterator[Disk]:
    if disk.backing:
        yield disk._replace(backing=None)
        if disk.backing.kind is not BackingKind.RAW:
            yield disk._replace(backing=Backing(BackingKind.RAW, disk.backing.size))
        for size in _smaller(disk.backing.size, disk.unit_size):
            yield disk._replace(backing=disk.backing._replace(size=size))
    if disk.fill not in {0, 0xDD}:
        yield disk._replace(fill=0xDD)
    for size in _smaller(disk.size, disk.unit_size):
        yield disk._replace(size=size)


def _plainer(operation: Operation, unit: int) -> Iterator[Operation]:
    """Operations that do less."""
    if isinstance(operation, Race):
        yield operation.first
        yield operation.second
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
    found = [0, 1, 512, unit, *rounded, value // 2, value - unit, value - 512, value - 1]
    yield from dict.fromkeys(number for number in found if 0 <= number < value)
