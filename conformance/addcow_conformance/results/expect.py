"""Deviations that are known: expectations held against what a run has found, and brought up to date."""

from __future__ import annotations

import platform
import re
import sys
from dataclasses import replace
from fnmatch import fnmatchcase, translate
from glob import escape
from typing import TYPE_CHECKING

from addcow_conformance.results._expect_file import (
    CONDITIONS,
    BadExpectations,
    dump_expectations,
    load_expectations,
)
from addcow_conformance.results._model import BAD, Expectation, Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from addcow_conformance.results._model import About, CaseResult

__all__ = ["CONDITIONS", "BadExpectations", "apply", "facts", "load_expectations", "render"]

_NEW = "not looked at yet"
_NOT_TRIED = {Outcome.SKIP, Outcome.UNSUPPORTED}


def facts(target: str, about: About, profile: str) -> dict[str, str]:
    """What the conditions of a run are compared with; ``revision`` is that of each case.

    Args:
        target: the target's name, as it was given.
        about: what it says of itself.
        profile: the profile that it is judged by.
    """
    return {
        "profile": profile,
        "target": target,
        "implementation": about.name,
        "version": about.version,
        "language": about.language,
        "platform": f"{sys.platform}-{platform.machine()}",
    }


def apply(
    results: Iterable[CaseResult], expectations: Iterable[Expectation], facts: Mapping[str, str]
) -> tuple[tuple[CaseResult, ...], tuple[Expectation, ...]]:
    """Results with the expectation of each, and the expectations that match none of them.

    The first expectation that matches a case is its own. One whose conditions do not hold is passed over, and
    is not among those that match none.

    Args:
        results: what became of the cases, those that were left out among them.
        expectations: the entries of a file, in their order.
        facts: what `facts` gives.
    """
    found = {result.case: replace(result, known=None) for result in results}
    unmatched = []
    for entry in expectations:
        if not _holds(entry, facts, found.values()):
            continue
        matched = _matched(entry, found.values())
        if not matched:
            unmatched.append(entry)
        for result in matched:
            if result.known is None:
                found[result.case] = replace(result, known=entry)
    return tuple(found.values()), tuple(unmatched)


def render(
    results: Iterable[CaseResult], expectations: Iterable[Expectation], facts: Mapping[str, str]
) -> str:
    """A file of expectations that the results agree with.

    An entry stays as it is where all that it matches is as expected, and where its conditions do not hold. A
    glob that is right about some of its cases only becomes an entry for each of those. What is left over is
    new, with a comment that says what was found. An entry that matches no case is dropped.

    Args:
        results: what became of the cases, those that were left out among them.
        expectations: the entries so far.
        facts: what `facts` gives.
    """
    left = {result.case: result for result in results}
    everything = tuple(left.values())
    entries: list[tuple[Expectation, str]] = []
    for entry in expectations:
        if not _holds(entry, facts, everything):
            entries.append((entry, ""))
            continue
        matched = _matched(entry, left.values())
        right = [result for result in matched if result.outcome in {entry.outcome, *_NOT_TRIED}]
        exact = [entry._replace(case=escape(result.case)) for result in right]
        entries += [(kept, "") for kept in ([entry] if len(right) == len(matched) and matched else exact)]
        for result in right:
            del left[result.case]
    for result in left.values():
        if result.outcome in BAD:
            entries.append((Expectation(escape(result.case), result.outcome, _NEW), result.detail))
    return dump_expectations(entries)


def _holds(entry: Expectation, facts: Mapping[str, str], results: Iterable[CaseResult]) -> bool:
    """Whether the conditions of an entry hold, that on the revision for one case at least."""
    of_run = ((name, glob) for name, glob in entry.when if name != "revision")
    if not all(fnmatchcase(facts[name], glob) for name, glob in of_run):
        return False
    return "revision" not in dict(entry.when) or any(_has_revision(entry, result) for result in results)


def _has_revision(entry: Expectation, result: CaseResult) -> bool:
    return fnmatchcase(result.revision, dict(entry.when).get("revision", "*"))


def _matched(entry: Expectation, results: Iterable[CaseResult]) -> Sequence[CaseResult]:
    names = re.compile(translate(entry.case)).match
    return [result for result in results if names(result.case) and _has_revision(entry, result)]
