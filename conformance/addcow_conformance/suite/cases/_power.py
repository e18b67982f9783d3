"""Loss of power: every workload of a few operations, cut at every event.

A module's storage calls are seen as it makes them; of a process, its system calls are.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from addcow_conformance.powerloss import FAMILIES, CannotTrace, Effort, Family, explore, judge_traced
from addcow_conformance.programs import Unsupported, Violation
from addcow_conformance.suite._case import Bench, Case

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["cases"]

_RULE = "ACW-DYN-005"


def cases() -> Iterator[Case]:
    """One for each family of workloads."""
    for family in FAMILIES:
        title = f"power is cut at every event of the short workloads of {family.name}"
        yield Case(_RULE, family.disk.revision, f"power-{family.name}", title, partial(_check, family))


def _check(family: Family, bench: Bench) -> None:
    effort = Effort(seed=bench.effort.seed)
    if bench.external:
        _trace(family, bench, effort)
        return
    summary = explore(target=bench.name, families=[family], operations=bench.effort.operations, effort=effort)
    for found in summary.found:
        bench.program = found.program
        raise Violation(found.rule, "; ".join((found.detail, *found.order)))


def _trace(family: Family, bench: Bench, effort: Effort) -> None:
    bench.need("write")
    for length in range(bench.effort.operations + 1):
        for number in range(family.count(length)):
            operations = family.workload(length, number)
            try:
                _, found = judge_traced(bench.load, family.disk, operations, bench.folder(), effort)
            except CannotTrace as error:
                raise Unsupported(str(error)) from error
            if found is not None:
                bench.program = found.program
                raise Violation(found.rule, "; ".join((found.detail, *found.order)))
