"""The report as GitHub-flavoured Markdown, as a CI service shows it beside a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from addcow_conformance.report._common import extent, omitted, path_of
from addcow_conformance.report._markdown import plain, row
from addcow_spec.rules import Severity, rule
from addcow_spec.text import printable, quantity

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from addcow_conformance.checker import Report
    from addcow_spec.findings import Finding

__all__ = ["render"]

_IMAGES = ("image", "verdict", "revision", "virtual size", "set", "errors", "warnings", "notes")
_FINDINGS = ("level", "rule", "file", "bytes", "expected", "found", "hint")


def render(reports: Iterable[Report]) -> Iterator[str]:
    """A table of the images, row by row as they come; then, for each that has any, its findings."""
    yield f"## addcow-check\n\n{row(*_IMAGES)}{row(*('---' for _ in _IMAGES))}"
    details = []
    for report in reports:
        yield _image(report)
        if report.findings or report.problem or report.repairs:
            details.append(_details(report))
    yield from details


def _name(path: bytes) -> str:
    return f"<code>{plain(printable(path))}</code>"


def _image(report: Report) -> str:
    size = report.files[0].virtual_size if report.files else None
    bitmap = report.bitmap
    return row(
        _name(report.filename),
        report.verdict,
        report.revision or "",
        "" if size is None else quantity(size),
        f"{bitmap.set_units:,} of {bitmap.units:,}" if bitmap else "",
        *(f"{report.counts.get(severity, 0):,}" for severity in Severity),
    )


def _details(report: Report) -> str:
    parts = [f"\n### {_name(report.filename)}\n"]
    if report.problem:
        parts.append(f"\nThe check could not be completed: {plain(report.problem)}\n")
    if report.findings:
        rows = "".join(_finding(report, finding) for finding in report.findings)
        parts.append(f"\n{row(*_FINDINGS)}{row(*('---' for _ in _FINDINGS))}{rows}")
    if omitted(report):
        parts.append(f"\nAnd {omitted(report):,} more.\n")
    if report.repairs:
        kept = f"made; the bytes replaced are in {_name(report.backup)}" if report.backup else "planned"
        done = (f"- {r.rule}, bytes {extent(r.span)}: {plain(r.action)}\n" for r in report.repairs)
        parts.append(f"\nRepairs {kept}:\n\n{''.join(done)}")
    return "".join(parts)


def _finding(report: Report, finding: Finding) -> str:
    stated = rule(finding.rule)
    return row(
        report.severity(finding),
        f"{finding.rule}: {plain(stated.title)}",
        _name(path_of(report, finding)),
        extent(finding.span),
        plain(finding.expected),
        plain(finding.actual),
        plain(stated.hint),
    )
