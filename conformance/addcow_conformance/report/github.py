"""The report as workflow commands of GitHub Actions: annotations of a run, and a line that sums up."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from addcow_conformance.checker import Verdict
from addcow_conformance.report._common import TOOL, contrast, extent, omitted, one_line, path_of, tally
from addcow_conformance.report._github import MOST, annotation
from addcow_spec.rules import Severity, rule
from addcow_spec.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from addcow_conformance.checker import Report
    from addcow_spec.findings import Finding

__all__ = ["render"]

_COMMANDS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.NOTE: "notice"}


def render(reports: Iterable[Report]) -> Iterator[str]:
    """At most ten annotations of each level, as the images come; then what was found in all."""
    counts: Counter[Severity] = Counter()
    verdicts: Counter[Verdict] = Counter()
    written: Counter[Severity] = Counter()
    hidden = 0
    for report in reports:
        verdicts[report.verdict] += 1
        counts.update(report.counts)
        hidden += omitted(report)
        for severity, line in _annotations(report):
            if written[severity] < MOST:
                written[severity] += 1
                yield line
            else:
                hidden += 1
    said = [f"{verdicts.total():,} images: "]
    said.append(", ".join(f"{verdicts[verdict]:,} {verdict}" for verdict in Verdict if verdicts[verdict]))
    said.append(f"; {tally(counts)}" if counts.total() else "")
    said.append(f"; {hidden:,} not annotated" if hidden else "")
    yield f"{TOOL}: {''.join(said)}\n"


def _annotations(report: Report) -> Iterator[tuple[Severity, str]]:
    if report.problem:
        message = f"The check could not be completed: {one_line(report.problem)}"
        yield Severity.ERROR, _command(Severity.ERROR, report.filename, "check not completed", message)
    for finding in report.findings:
        severity, stated = report.severity(finding), rule(finding.rule)
        title = f"{finding.rule} {stated.title}"
        yield severity, _command(severity, path_of(report, finding), title, _message(finding, stated.hint))


def _message(finding: Finding, hint: str) -> str:
    said = (("bytes", extent(finding.span)), *contrast(finding))
    return "\n".join((*(f"{label} {text}" for label, text in said if text), hint))


def _command(severity: Severity, path: bytes, title: str, message: str) -> str:
    return annotation(_COMMANDS[severity], message, file=printable(path), title=title)
