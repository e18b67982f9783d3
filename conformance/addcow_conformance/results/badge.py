"""The run as a badge: the JSON that an endpoint badge of shields.io is made of."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from addcow_conformance.report._common import one_line
from addcow_conformance.results._model import BAD, Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator

    from addcow_conformance.results._model import Run

__all__ = ["render"]


def render(run: Run) -> Iterator[str]:
    """One object. A rule counts where a case of it was tried; it is kept where each of these passes."""
    tried = {result.rule for result in run.results if result.outcome in {Outcome.PASS, *BAD}}
    kept = tried - {result.rule for result in run.results if result.outcome in BAD}
    badge = {
        "schemaVersion": 1,
        "label": one_line(" ".join(("add-cow", *run.revisions))),
        "message": f"{len(kept)} of {len(tried)} rules" if tried else "nothing tried",
        "color": _color(run, kept=len(kept), tried=len(tried)),
    }
    yield json.dumps(badge, indent=2) + "\n"


def _color(run: Run, *, kept: int, tried: int) -> str:
    """Yellow is for rules that are broken, and known to be."""
    if not tried:
        return "lightgrey"
    if kept == tried:
        return "brightgreen"
    return "yellow" if run.as_expected else "red"
