"""The state machines of hypothesis, with a budget."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from addcow_conformance.programs import StorageKind, Unsupported, Violation
from addcow_conformance.suite._case import Bench, Case
from addcow_spec.model import Revision

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["cases"]

# Programs between two looks at the clock; a process may take seconds for each.
_ROUND, _EXTERNAL_ROUND = 12, 4


def cases() -> Iterator[Case]:
    """One for each revision."""
    for revision in Revision:
        yield Case("ACW-DYN-001", revision, "models", "programs that are made up keep to the oracle", _check)


def _check(bench: Bench) -> None:
    try:
        from hypothesis import settings  # noqa: PLC0415 - an extra

        from addcow_conformance.models import find  # noqa: PLC0415 - the same
    except ImportError as error:
        raise Unsupported("models need hypothesis: install add-cow-toolkit[models]") from error
    storage = StorageKind.FILES if bench.external else StorageKind.MEMORY
    few = _EXTERNAL_ROUND if bench.external else _ROUND
    seconds = bench.effort.seconds
    until = time.monotonic() + seconds
    for start in range(0, bench.effort.examples, few):
        using = settings(
            max_examples=min(few, bench.effort.examples - start),
            derandomize=True,
            database=None,
            deadline=None,
        )
        first = bench.effort.seed + start
        found = find(bench.revision, bench.target, using, storage=storage, first=first, seconds=seconds)
        if found is not None:
            bench.program = found
            raise Violation(found.rule, found.note)
        if time.monotonic() > until:
            return
