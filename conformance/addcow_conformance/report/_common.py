"""What several formats say in the same words."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from addcow_spec.rules import Severity
from addcow_spec.text import printable

if TYPE_CHECKING:
    from addcow_conformance.checker import Report
    from addcow_spec.findings import Finding
    from addcow_spec.model import Span

__all__ = [
    "TOOL",
    "contrast",
    "counted",
    "extent",
    "fit",
    "omitted",
    "one_line",
    "path_of",
    "tally",
]

TOOL = "addcow-check"


@cache
def one_line(text: str) -> str:
    """``text`` without control and format characters, which become escapes; the rest stays as it is.

    The checker gives texts that are fit to be shown already. This holds where a report came from elsewhere.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else printable(c.encode("utf-8", "surrogatepass")) for c in text)


def fit(value: object) -> object:
    """``value`` as it goes to autoescaping; markup and numbers stay as they are."""
    return one_line(value) if isinstance(value, str) and not hasattr(value, "__html__") else value


def path_of(report: Report, finding: Finding) -> bytes:
    """Path of the file that the finding is about."""
    files = report.files
    return files[finding.file].path if finding.file < len(files) else report.filename


def extent(span: Span | None) -> str:
    """The bytes of a span as people count them: ``20-23``, ``20``, or empty where there is none."""
    if span is None:
        return ""
    return f"{span.offset}-{span.end - 1}" if span.length > 1 else f"{span.offset}"


def contrast(finding: Finding) -> tuple[tuple[str, str], ...]:
    """What the finding says, as pairs of label and text: expected and found; either may be missing."""
    said = (("expected", finding.expected), ("found", finding.actual))
    return tuple((label, one_line(text)) for label, text in said if text)


def counted(number: int, noun: str) -> str:
    """A number with its noun: ``1 note``, ``1,234 clusters``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def tally(counts: dict[Severity, int]) -> str:
    """Findings by level: ``2 errors, 1 note``; empty where there are none."""
    found = ((severity, counts.get(severity, 0)) for severity in Severity)
    return ", ".join(counted(n, severity) for severity, n in found if n)


def omitted(report: Report) -> int:
    """How many findings the report counts but does not hold."""
    return max(0, sum(report.counts.values()) - len(report.findings))
