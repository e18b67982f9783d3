"""The report as JUnit XML: a test suite an image, a test case a finding."""

# mypy: allow-untyped-calls
# junitparser annotates only part of its functions.

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

from junitparser import Error, Failure, JUnitXml, Properties, Property, TestCase, TestSuite

from addcow_conformance.report._common import TOOL, contrast, extent, omitted, one_line, path_of
from addcow_spec.rules import Severity, rule
from addcow_spec.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from addcow_conformance.checker import Report
    from addcow_spec.findings import Finding

__all__ = ["render"]

_WHOLE = "add-cow image"


def render(reports: Iterable[Report]) -> Iterator[str]:
    """One document, when all reports have come.

    An error is a failure; a warning or a note passes and says what it is in its output. A check that could
    not be completed is an error of the case ``add-cow image``, which an image without findings passes.
    """
    document = JUnitXml(TOOL)
    for report in reports:
        document.append(_suite(report))
    document.update_statistics()
    written = BytesIO()
    document.write(written)
    yield written.getvalue().decode() + "\n"


def _suite(report: Report) -> TestSuite:
    name = printable(report.filename)
    suite = TestSuite(name)
    facts = {"verdict": report.verdict, "profile": report.profile, "revision": report.revision or "unknown"}
    if omitted(report):
        facts["findings-omitted"] = str(omitted(report))
    for key, value in facts.items():
        suite.add_property(key, str(value))
    cases = [_case(report, finding, name) for finding in report.findings]
    if report.problem or not cases:
        whole = TestCase(_WHOLE, classname=name)
        if report.problem:
            whole.result = [Error(one_line(report.problem), "problem")]
        cases.insert(0, whole)
    suite.add_testcases(cases)
    return suite


def _case(report: Report, finding: Finding, suite: str) -> TestCase:
    stated, severity = rule(finding.rule), report.severity(finding)
    case = TestCase(f"{finding.rule} {stated.title}", classname=suite)
    properties = Properties()
    properties.add_property(Property("rule", finding.rule))
    for source in stated.sources:
        properties.add_property(Property("source", str(source)))
    case.append(properties)
    text = _text(report, finding)
    if severity is Severity.ERROR:
        failure = Failure(", ".join(map(" ".join, contrast(finding))), finding.rule)
        failure.text = text
        case.result = [failure]
    else:
        case.system_out = f"{severity}: {text}"
    return case


def _text(report: Report, finding: Finding) -> str:
    stated = rule(finding.rule)
    lines = (
        ("file", printable(path_of(report, finding))),
        ("bytes", extent(finding.span)),
        ("field", one_line(finding.field)),
        *contrast(finding),
        ("hint", stated.hint),
        ("fingerprint", report.fingerprint(finding)),
    )
    return "\n".join((stated.statement, *(f"{label}: {text}" for label, text in lines if text)))
