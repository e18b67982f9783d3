"""Rows of tables of programs: what a disk does, in a few operations each, about one rule.

Places are in units of the revision: a cluster of 65,536 bytes in v10, a sector of 512 in v4 and v6.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from addcow_conformance.programs import Backing, BackingKind, Disk, Operation, Program, Read
from addcow_conformance.suite._case import Bench, Case
from addcow_spec.geometry import SECTOR_SIZE, Geometry
from addcow_spec.model import Revision

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

__all__ = ["Operations", "Row", "cases_of", "none", "units", "whole"]

# What is done, given the bytes of a unit.
Operations: TypeAlias = "Callable[[int], tuple[Operation, ...]]"


class Row(NamedTuple):
    """A program for each revision.

    Attributes:
        rule: the rule that it is about.
        slug: its name.
        title: what it tries.
        size: bytes of the disk, given those of a unit; cut to whole sectors in v4 and v6.
        below: bytes of the backing file, 0 for none.
        operations: what is done.
        revisions: which have it.
        kind: what the backing file is.
    """

    rule: str
    slug: str
    title: str
    size: Callable[[int], int]
    below: Callable[[int], int]
    operations: Operations
    revisions: tuple[Revision, ...] = tuple(Revision)
    kind: BackingKind = BackingKind.RAW


def none(_unit: int) -> int:
    """No bytes."""
    return 0


def units(count: int, more: int = 0) -> Callable[[int], int]:
    """So many units, and bytes."""
    return lambda unit: count * unit + more


def whole(unit: int, count: int) -> Read:
    """A read of the first units."""
    return Read(0, count * unit)


def cases_of(rows: Iterable[Row]) -> Iterator[Case]:
    """A case for each row and revision."""
    for row in rows:
        for revision in row.revisions:
            program = _program(row, revision)
            yield Case(row.rule, revision, row.slug, row.title, partial(_check, program), program)


def _program(row: Row, revision: Revision) -> Program:
    unit = Geometry(revision, 0).unit_size
    size, below = row.size(unit), row.below(unit)
    if revision is not Revision.V10:
        size -= size % SECTOR_SIZE
    return Program(Disk(revision, size, Backing(row.kind, below) if below else None), row.operations(unit))


def _check(program: Program, bench: Bench) -> None:
    bench.run(program.disk, program.operations)
