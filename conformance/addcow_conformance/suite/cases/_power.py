"""Loss of power: every workload of a few operations, cut at every event.

A module's storage calls are seen as it makes them; of a process, its system calls are.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NoReturn

from addcow_conformance.powerloss import (
    FAMILIES,
    CannotTrace,
    Effort,
    Family,
    Found,
    Trial,
    explore,
    judge_traced,
)
from addcow_conformance.programs import Unsupported, Violation
from addcow_conformance.suite._case import Bench, Case

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from addcow_conformance.programs import Operation

__all__ = ["cases"]

_RULE = "ACW-DYN-005"


# Longer workloads, of operations of an alphabet by their numbers: pages of bits that leave the cache, and
# bits of a process that was killed.
_LONGER = ((0, 3), (3, 0), (0, 3, 7, 5))


def cases() -> Iterator[Case]:
    """One for each family of workloads, and one for longer workloads where pages leave the cache."""
    for family in FAMILIES:
        revision = family.disk.revision
        title = f"power is cut at every event of the short workloads of {family.name}"
        yield Case(_RULE, revision, f"power-{family.name}", title, partial(_check, family))
        if family.name.endswith("-pages"):
            title = "power is cut where pages of bits leave the cache"
            yield Case(_RULE, revision, f"power-{family.name}-evicted", title, partial(_evicted, family))


def _check(family: Family, bench: Bench) -> None:
    bench.need("write")
    lengths = range(bench.effort.operations + 1)
    if bench.external:
        _trace(bench, family, [family.workload(n, at) for n in lengths for at in range(family.count(n))])
        return
    summary = explore(
        target=bench.name,
        families=[family],
        operations=bench.effort.operations,
        effort=Effort(seed=bench.effort.seed),
    )
    for found in summary.found:
        _tell(bench, found)


def _evicted(family: Family, bench: Bench) -> None:
    bench.need("write")
    workloads = [tuple(family.alphabet[at] for at in numbers) for numbers in _LONGER]
    if bench.external:
        _trace(bench, family, workloads)
        return
    trial = Trial(family.disk, bench.target, Effort(seed=bench.effort.seed), family.alphabet)
    for workload in workloads:
        for end in range(1, len(workload) + 1):
            found = trial.run(workload[:end])
            if found is not None:
                _tell(bench, found)


def _trace(bench: Bench, family: Family, workloads: Sequence[tuple[Operation, ...]]) -> None:
    effort = Effort(seed=bench.effort.seed)
    for workload in workloads:
        try:
            _, found = judge_traced(bench.load, family.disk, workload, bench.folder(), effort)
        except CannotTrace as error:
            raise Unsupported(str(error)) from error
        if found is not None:
            _tell(bench, found)


def _tell(bench: Bench, found: Found) -> NoReturn:
    bench.program = found.program
    raise Violation(found.rule, "; ".join((found.detail, *found.order)))
