"""The run as workflow commands of GitHub Actions: ten annotations at most, and a line that sums up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from addcow_conformance.report._common import one_line
from addcow_conformance.report._github import MOST, annotation
from addcow_conformance.results._words import NOTHING, TOOL, contrast, described, entry, summary

if TYPE_CHECKING:
    from collections.abc import Iterator

    from addcow_conformance.results._model import Run

__all__ = ["render"]


def render(run: Run) -> Iterator[str]:
    """An annotation for each deviation, then for each expectation without a case; then what was found."""
    told = [
        _command(
            f"{result.outcome}: {one_line(result.case)}",
            "\n".join((described(result), *(" ".join(pair) for pair in contrast(result)))),
        )
        for result in run.deviations
    ]
    told += [_command(f"no such case: {one_line(known.case)}", entry(known)) for known in run.unmatched]
    if not run.tried:
        told.append(_command(NOTHING, "no case says anything of the target"))
    yield from told[:MOST]
    hidden = len(told) - MOST
    more = f"; {hidden:,} more not annotated" if hidden > 0 else ""
    yield f"{TOOL}: {summary(run)}{more}\n"


def _command(title: str, message: str) -> str:
    return annotation("error", message, title=title)
