"""The report as SARIF 2.1.0: one run, with every static rule of the catalogue and a result a finding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from addcow_conformance.report._common import TOOL, contrast, one_line, path_of
from addcow_conformance.report._sarif import document, driver, message
from addcow_spec.rules import Severity, catalogue
from addcow_spec.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from addcow_conformance.checker import Report
    from addcow_spec.findings import Finding

__all__ = ["render"]

# The library that most readers use holds a region in 32 bits, and drops a whole log for one beyond.
_LARGEST = 2**31 - 1

_FINGERPRINT = "addcowFinding/v1"


def render(reports: Iterable[Report]) -> Iterator[str]:
    """One document, when all reports have come."""
    rules = [rule for rule in catalogue().values() if rule.check == "static"]
    index = {rule.id: number for number, rule in enumerate(rules)}
    artifacts, results, notifications = [], [], []
    for report in reports:
        artifacts.append(_artifact(report))
        results += [_result(report, finding, index) for finding in report.findings]
        if report.problem:
            notifications.append(_notification(report))
    invocation: dict[str, Any] = {"executionSuccessful": not notifications}
    if notifications:
        invocation["toolExecutionNotifications"] = notifications
    run = {
        "tool": {"driver": driver(TOOL, "add-cow image checker", rules)},
        "invocations": [invocation],
        "artifacts": artifacts,
        "results": results,
    }
    yield document(run)


def _result(report: Report, finding: Finding, index: dict[str, int]) -> dict[str, Any]:
    rule = catalogue()[finding.rule]
    details = ", ".join(map(" ".join, contrast(finding)))
    return {
        "ruleId": finding.rule,
        "ruleIndex": index[finding.rule],
        "level": report.severity(finding),
        "message": message(f"{rule.title}: {details}" if details else rule.title),
        "locations": [_location(report, finding)],
        "partialFingerprints": {_FINGERPRINT: report.fingerprint(finding)},
    }


def _location(report: Report, finding: Finding) -> dict[str, Any]:
    physical: dict[str, Any] = {"artifactLocation": {"uri": _uri(path_of(report, finding))}}
    location: dict[str, Any] = {"physicalLocation": physical}
    if finding.span:
        region = {"byteOffset": finding.span.offset, "byteLength": finding.span.length}
        if max(region.values()) <= _LARGEST:
            physical["region"] = region
        else:
            location["properties"] = region
    if finding.field:
        location["logicalLocations"] = [{"name": one_line(finding.field), "kind": "member"}]
    return location


def _artifact(report: Report) -> dict[str, Any]:
    return {
        "location": {"uri": _uri(report.filename)},
        "roles": ["analysisTarget"],
        "properties": {"verdict": report.verdict, "profile": report.profile, "revision": report.revision},
    }


def _notification(report: Report) -> dict[str, Any]:
    text = f"The check of {printable(report.filename)} could not be completed: {one_line(report.problem)}"
    return {
        "level": Severity.ERROR,
        "message": message(text),
        "locations": [{"physicalLocation": {"artifactLocation": {"uri": _uri(report.filename)}}}],
    }


def _uri(path: bytes) -> str:
    """The path as a URI: absolute where the path is, else relative; every byte of it can be told again."""
    return ("file://" if path.startswith(b"/") else "") + quote(path, safe="/")
