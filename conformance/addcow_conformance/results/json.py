"""The run for programs, as `schemas/run-v1.json` describes it. Bytes are hex digits."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from addcow_conformance.report._common import one_line
from addcow_conformance.results._model import Outcome
from addcow_conformance.results._words import TOOL, script_lines
from addcow_spec import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator

    from addcow_conformance.results._model import CaseResult, Difference, Expectation, Run

__all__ = ["render"]

_SCHEMA_VERSION = 1


def render(run: Run) -> Iterator[str]:
    """One object."""
    yield json.dumps(_run(run), indent=2) + "\n"


def _run(run: Run) -> dict[str, Any]:
    about = run.about
    return {
        "schema-version": _SCHEMA_VERSION,
        "tool": {"name": TOOL, "version": __version__},
        "target": one_line(run.target),
        "implementation": {
            "name": one_line(about.name),
            "version": one_line(about.version),
            "language": one_line(about.language),
            "homepage": one_line(about.homepage),
            "issues": one_line(about.issues),
            "revisions": [one_line(revision) for revision in about.revisions],
            "capabilities": [one_line(capability) for capability in about.capabilities],
        },
        "profile": run.profile,
        "revisions": list(run.revisions),
        "seed": run.seed,
        "started": run.started,
        "seconds": round(run.seconds, 3),
        "as-expected": run.as_expected,
        "counts": {outcome: run.counts[outcome] for outcome in Outcome},
        "deviations": len(run.deviations),
        "choices": {one_line(point): one_line(said) for point, said in run.choices.items()},
        "unmatched": [_expectation(known) for known in run.unmatched],
        "cases": [_case(result) for result in run.results],
    }


def _case(result: CaseResult) -> dict[str, Any]:
    return {
        "case": one_line(result.case),
        "rule": one_line(result.rule),
        "revision": one_line(result.revision),
        "title": one_line(result.title),
        "outcome": result.outcome,
        "deviates": result.deviates,
        "seconds": round(result.seconds, 3),
        "broken": one_line(result.broken) or None,
        "detail": one_line(result.detail) or None,
        "difference": _difference(result.difference) if result.difference else None,
        "stderr": [one_line(line) for line in result.said],
        "script": "".join(f"{line}\n" for line in script_lines(result)) or None,
        "program": result.program,
        "known": _expectation(result.known) if result.known else None,
    }


def _difference(difference: Difference) -> dict[str, Any]:
    return {
        "offset": difference.offset,
        "expected": difference.expected.hex(),
        "seen": difference.seen.hex(),
    }


def _expectation(known: Expectation) -> dict[str, Any]:
    return {
        "case": one_line(known.case),
        "outcome": known.outcome,
        "reason": one_line(known.reason),
        "issue": one_line(known.issue) or None,
        "when": {name: one_line(glob) for name, glob in known.when},
    }
