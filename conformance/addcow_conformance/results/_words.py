"""What several formats say of a run in the same words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from addcow_conformance.report._common import counted, one_line
from addcow_conformance.results._model import BAD, Outcome
from addcow_spec.rules import catalogue

if TYPE_CHECKING:
    from addcow_conformance.results._model import CaseResult, Expectation, Run
    from addcow_spec.rules import Rule

__all__ = [
    "NOTHING",
    "TOOL",
    "contrast",
    "described",
    "entry",
    "known_cases",
    "rule_id",
    "run_facts",
    "script_lines",
    "stated",
    "summary",
    "verdict",
]

TOOL = "addcow-conformance"
# Of a run that says nothing of the target.
NOTHING = "nothing was tried"


def rule_id(result: CaseResult) -> str:
    """The rule that is broken where the catalogue has it, else that of the case; fit to be shown."""
    return one_line(result.broken if result.broken in catalogue() else result.rule)


def stated(result: CaseResult) -> Rule | None:
    """The rule of that id; None where the catalogue has none."""
    return catalogue().get(rule_id(result))


def described(result: CaseResult) -> str:
    """The rule of a result with its title."""
    found = stated(result)
    return f"{found.id}: {found.title}" if found else rule_id(result)


def contrast(result: CaseResult) -> tuple[tuple[str, str], ...]:
    """What a result says, as pairs of label and text; what there is nothing to say of is left out."""
    known = result.known
    pairs = (
        ("expected", entry(known) if known else ""),
        ("found", one_line(result.detail)),
    )
    return tuple((label, text) for label, text in pairs if text)


def entry(known: Expectation) -> str:
    """What an expectation says, but for its case."""
    when = "".join(f", when {name} is {one_line(glob)}" for name, glob in known.when)
    issue = f" ({one_line(known.issue)})" if known.issue else ""
    return f"{known.outcome}{when}: {one_line(known.reason)}{issue}"


def known_cases(run: Run) -> tuple[CaseResult, ...]:
    """The deviations that are as expected."""
    return tuple(result for result in run.results if result.outcome in BAD and not result.deviates)


def run_facts(run: Run) -> tuple[tuple[str, str], ...]:
    """What a run is about, as pairs of label and text; what is not known is left out."""
    about = run.about
    pairs = (
        ("target", run.target),
        ("implementation", f"{about.name} {about.version}".rstrip()),
        ("language", about.language),
        ("homepage", about.homepage),
        ("issues", about.issues),
        ("capabilities", ", ".join(about.capabilities)),
        ("revisions", ", ".join(run.revisions)),
        ("profile", run.profile),
        ("seed", str(run.seed)),
        ("started", run.started),
    )
    return tuple((label, one_line(text)) for label, text in pairs if text)


def verdict(run: Run) -> str:
    """The run in two or three words."""
    return "as expected" if run.as_expected else "not as expected"


def summary(run: Run) -> str:
    """Cases by outcome, and what is not as expected, in a line."""
    outcomes = ", ".join(f"{run.counts[outcome]:,} {outcome}" for outcome in Outcome if run.counts[outcome])
    parts = [counted(len(run.results), "case") + (f": {outcomes}" if outcomes else "")]
    if not run.tried:
        parts.append(NOTHING)
    if run.deviations:
        parts.append(f"{len(run.deviations):,} not as expected")
    if run.unmatched:
        parts.append(f"{counted(len(run.unmatched), 'expectation')} without a case")
    return "; ".join(parts)


def script_lines(result: CaseResult) -> list[str]:
    """The script in lines that are fit to be shown; tabs mean something to a shell, and stay."""
    lines = result.script.rstrip("\n").split("\n") if result.script else []
    return ["\t".join(map(one_line, line.split("\t"))) for line in lines]
