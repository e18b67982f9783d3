"""The report for programs: a superset of QEMU's ImageCheck object, as `schemas/check-v1.json` describes it.

A path appears twice: as text that is fit to be shown, and exactly, as the hex digits of its bytes.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from addcow_conformance.checker import FileFormat
from addcow_conformance.report._common import TOOL, omitted, one_line, path_of
from addcow_spec import __version__
from addcow_spec.rules import Level, Severity, rule
from addcow_spec.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from addcow_conformance.checker import BitmapSummary, ChainFile, Report
    from addcow_spec.findings import Finding
    from addcow_spec.model import Span

__all__ = ["render", "render_lines"]

_SCHEMA_VERSION = 1
_UNUSED_BYTES = "ACW-BMP-003"


def render(reports: Iterable[Report], *, many: bool) -> Iterator[str]:
    """One object, or where many images were asked for an array of them."""
    before = "[\n" if many else ""
    for report in reports:
        yield before + json.dumps(_check(report), indent=2)
        before = ",\n"
    if many:
        yield "[]\n" if before == "[\n" else "\n]\n"
    else:
        yield "\n"


def render_lines(reports: Iterable[Report]) -> Iterator[str]:
    """One object a line, each as soon as its image was checked."""
    for report in reports:
        yield json.dumps(_check(report), separators=(",", ":")) + "\n"


def _check(report: Report) -> dict[str, Any]:
    return {
        "schema-version": _SCHEMA_VERSION,
        "tool": {"name": TOOL, "version": __version__},
        **_path("filename", report.filename),
        **_image_check(report),
        "revision": report.revision,
        "profile": report.profile,
        "verdict": report.verdict,
        "problem": one_line(report.problem) or None,
        "counts": {severity: report.counts.get(severity, 0) for severity in Severity},
        "rule-counts": dict(sorted(report.rule_counts.items())),
        "header": [
            {"name": field.name, **_span(field.span), "value": _value(field.value)} for field in report.fields
        ],
        "bitmap": _bitmap(report.bitmap) if report.bitmap else None,
        "chain": [_file(file) for file in report.files],
        "findings": [_finding(report, finding) for finding in report.findings],
        "findings-omitted": omitted(report),
        "repairs": [
            {"rule": repair.rule, **_span(repair.span), "action": one_line(repair.action)}
            for repair in report.repairs
        ],
        "repaired": _repaired(report),
        **_path("backup", report.backup),
    }


def _image_check(report: Report) -> dict[str, Any]:
    """The members of ImageCheck; as there, those that need a bitmap are absent without one."""
    made = [rule(repair.rule) for repair in report.repairs if _repaired(report)]
    members: dict[str, Any] = {
        "format": report.files[0].format if report.files else FileFormat.UNAVAILABLE,
        "check-errors": int(bool(report.problem)),
        "corruptions": report.counts.get(Severity.ERROR, 0),
        "leaks": report.rule_counts.get(_UNUSED_BYTES, 0),
        "corruptions-fixed": sum(stated.level[report.profile] is Level.MUST for stated in made),
        "leaks-fixed": sum(stated.id == _UNUSED_BYTES for stated in made),
    }
    if report.bitmap:
        members["image-end-offset"] = report.bitmap.span.end
        members["total-clusters"] = report.bitmap.units
        members["allocated-clusters"] = report.bitmap.set_units
    return members


def _repaired(report: Report) -> bool:
    """Whether the repairs were made, not only planned: no byte is replaced without a backup."""
    return report.backup is not None


def _path(key: str, path: bytes | None) -> dict[str, str | None]:
    if path is None:
        return {key: None, f"{key}-hex": None}
    return {key: printable(path), f"{key}-hex": path.hex()}


def _span(span: Span | None) -> dict[str, int | None]:
    return {"offset": span.offset if span else None, "length": span.length if span else None}


def _value(value: int | str) -> int | str:
    return value if isinstance(value, int) else one_line(value)


def _bitmap(bitmap: BitmapSummary) -> dict[str, int | None]:
    return {
        **_span(bitmap.span),
        "unit-size": bitmap.unit_size,
        "units": bitmap.units,
        "set-units": bitmap.set_units,
        "backed-units": bitmap.backed_units,
    }


def _file(file: ChainFile) -> dict[str, Any]:
    return {
        "index": file.index,
        "parent": file.parent,
        "role": file.role,
        **_path("name", file.name),
        **_path("path", file.path),
        "format": file.format,
        "revision": file.revision or None,
        "length": file.length,
        "virtual-size": file.virtual_size,
    }


def _finding(report: Report, finding: Finding) -> dict[str, Any]:
    stated = rule(finding.rule)
    return {
        "rule": finding.rule,
        "level": report.severity(finding),
        "title": stated.title,
        "statement": stated.statement,
        "stage": stated.stage,
        "file": finding.file,
        **_path("path", path_of(report, finding)),
        **_span(finding.span),
        "field": one_line(finding.field),
        "expected": one_line(finding.expected),
        "actual": one_line(finding.actual),
        "hint": stated.hint,
        "sources": [
            {"document": s.document, "section": s.section, "reviewer": s.reviewer, "date": s.date}
            for s in stated.sources
        ],
        "anchor": stated.anchor,
        "fingerprint": report.fingerprint(finding),
    }
