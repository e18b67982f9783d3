"""The report for people: verdict, what the image is, and each finding with the bytes at fault.

Lines begin with words of our own, never with a text from outside: a log reader that takes commands from the
start of a line (as CI services do) then takes none from a file's name.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, TypeAlias

import click

from addcow_conformance.checker import Verdict
from addcow_conformance.report import _hexdump
from addcow_conformance.report._common import contrast, counted, extent, omitted, one_line, path_of, tally
from addcow_spec.geometry import SECTOR_SIZE
from addcow_spec.rules import Rule, Severity, rule
from addcow_spec.text import printable, quantity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from addcow_conformance.checker import BitmapSummary, ChainFile, Report
    from addcow_spec.findings import Finding

    Paint: TypeAlias = Callable[[str, str], str]

__all__ = ["render"]

_FACT = 14
_DETAIL = 10
_NAME = 28
_DEEPEST_INDENT = 10
_NARROWEST, _WIDEST = 60, 100

_STYLES: dict[str, dict[str, Any]] = {
    Severity.ERROR: {"fg": "red", "bold": True},
    Severity.WARNING: {"fg": "yellow", "bold": True},
    Severity.NOTE: {"fg": "cyan"},
    Verdict.VALID: {"fg": "green", "bold": True},
    Verdict.ACCEPTABLE: {"fg": "yellow", "bold": True},
    Verdict.INVALID: {"fg": "red", "bold": True},
    Verdict.NOT_ADD_COW: {"fg": "red", "bold": True},
    Verdict.UNKNOWN: {"fg": "magenta", "bold": True},
    "path": {"bold": True},
    "label": {"dim": True},
}


def _plain(text: str, _style: str) -> str:
    return text


def _coloured(text: str, style: str) -> str:
    return click.style(text, **_STYLES[style])


def render(reports: Iterable[Report], *, many: bool, color: bool) -> Iterator[str]:
    """Each report as it comes; of many, those without findings on one line each, and the sum at the end."""
    paint = _coloured if color else _plain
    verdicts: Counter[Verdict] = Counter()
    after_block = False
    for report in reports:
        block = not many or bool(report.findings or report.problem or report.repairs)
        lines = list(_block(report, paint)) if block else [_brief(report, paint)]
        if after_block or (block and verdicts):
            lines.insert(0, "")
        verdicts[report.verdict] += 1
        after_block = block
        yield "\n".join((*lines, ""))
    if many:
        if after_block:
            yield "\n"
        said = ", ".join(f"{verdicts[verdict]:,} {verdict}" for verdict in Verdict if verdicts[verdict])
        yield f"images checked: {verdicts.total():,}{' - ' if said else ''}{said}\n"


def _headline(report: Report, paint: Paint) -> str:
    return f"{paint(report.verdict, report.verdict)}: {paint(printable(report.filename), 'path')}"


def _brief(report: Report, paint: Paint) -> str:
    size = report.files[0].virtual_size if report.files else None
    facts = (
        report.revision or "",
        "" if size is None else quantity(size),
        f"{_percent(report.bitmap)} set" if report.bitmap else "",
    )
    said = ", ".join(filter(None, facts))
    return _headline(report, paint) + (f" ({said})" if said else "")


def _block(report: Report, paint: Paint) -> Iterator[str]:
    counts = tally(report.counts)
    yield _headline(report, paint) + (f" ({counts})" if counts else "")
    if report.problem:
        yield f"  {paint('the check could not be completed:', Verdict.UNKNOWN)} {one_line(report.problem)}"
    for label, lines in _facts(report):
        yield from _labelled(label, lines, indent=2, width=_FACT, paint=paint)
    if report.findings:
        yield ""
        yield from _findings(report, paint)
    if report.repairs:
        yield ""
        yield from _repairs(report)


def _labelled(label: str, lines: list[str], *, indent: int, width: int, paint: Paint) -> Iterator[str]:
    """The lines, the label before the first of them and as much space before the others."""
    for number, line in enumerate(lines):
        before = " " * width if number else paint(f"{label:{width}}", "label")
        yield " " * indent + before + line


def _facts(report: Report) -> Iterator[tuple[str, list[str]]]:
    if report.revision:
        yield "revision", [f"{report.revision}, judged by the {report.profile} profile"]
    size = report.files[0].virtual_size if report.files else None
    if size is not None:
        yield "virtual size", [quantity(size) + (f" ({size:,} bytes)" if size >= 1024 else "")]
    if report.bitmap:
        yield "bitmap", [_bitmap(report.bitmap)]
        yield "state", [_state(report.bitmap)]
    if len(report.files) > 1:
        yield "chain", _chain(report.files)


def _unit(bitmap: BitmapSummary) -> str:
    return "sector" if bitmap.unit_size == SECTOR_SIZE else "cluster"


def _bitmap(bitmap: BitmapSummary) -> str:
    units = counted(bitmap.units, _unit(bitmap))
    return f"{bitmap.set_units:,} of {units} set ({_percent(bitmap)}), {quantity(bitmap.unit_size)} each"


def _percent(bitmap: BitmapSummary) -> str:
    """The share of set units, rounded down, so that 100% is said of a complete image alone."""
    permille = bitmap.set_units * 1000 // bitmap.units if bitmap.units else 0
    if bitmap.set_units and not permille:
        return "<0.1%"
    return f"{permille // 10}.{permille % 10}%" if permille % 1000 else f"{permille // 10}%"


def _state(bitmap: BitmapSummary) -> str:
    clear = bitmap.units - bitmap.set_units
    if not bitmap.units:
        return "empty disk"
    if not clear:
        return "complete: the add-cow file and the backing file can be discarded"
    read = ((bitmap.backed_units, "from the backing file"), (clear - bitmap.backed_units, "as zeros"))
    return "thin: " + ", ".join(f"{counted(units, _unit(bitmap))} read {how}" for units, how in read if units)


def _chain(files: tuple[ChainFile, ...]) -> list[str]:
    """A row a file: its part, indented below the file that names it; format, length, path."""
    depths: list[int] = []
    rows: list[tuple[str, str, str, str]] = []
    for file in files:
        depths.append(0 if file.parent is None else depths[file.parent] + 1)
        part = "  " * min(depths[-1], _DEEPEST_INDENT) + (file.role or "this file")
        length = "-" if file.length is None else quantity(file.length)
        rows.append((part, f"{file.format} {file.revision}".rstrip(), length, printable(file.path)))
    parts, kinds, lengths = (max(len(row[column]) for row in rows) for column in range(3))
    return [
        f"{part:{parts}}  {kind:{kinds}}  {length:>{lengths}}  {path}" for part, kind, length, path in rows
    ]


def _findings(report: Report, paint: Paint) -> Iterator[str]:
    title = ("level", "rule", "file", "bytes")
    rows = [_row(report, finding) for finding in report.findings]
    widths = [max(len(row[column]) for row in (title, *rows)) for column in range(len(title))]

    def aligned(cells: tuple[str, ...]) -> list[str]:
        return [f"{cell:{width}}" for cell, width in zip(cells, widths, strict=True)]

    yield "  " + paint("  ".join((*aligned(title), "the rule says")), "label")
    dumped = None
    for finding, row in zip(report.findings, rows, strict=True):
        stated, severity = rule(finding.rule), report.severity(finding)
        level, *cells = aligned(row)
        yield "  " + "  ".join((paint(level, severity), *cells, stated.title))
        indent = widths[0] + 4
        shown = () if finding.span == dumped else tuple(_bytes_at_fault(report, finding, paint))
        for line in shown:
            yield " " * indent + line
        dumped = finding.span if shown else dumped
        for label, lines in _details(report, finding, stated, indent + _DETAIL):
            if label == "field" and shown:
                continue
            yield from _labelled(label, lines, indent=indent, width=_DETAIL, paint=paint)
    more = omitted(report)
    if more:
        yield f"  and {more:,} more"


def _row(report: Report, finding: Finding) -> tuple[str, str, str, str]:
    name = printable(path_of(report, finding).rpartition(b"/")[2])
    if len(name) > _NAME:
        half = (_NAME - 3) // 2
        name = f"{name[:half]}...{name[-half:]}"
    return report.severity(finding), finding.rule, name, extent(finding.span)


def _bytes_at_fault(report: Report, finding: Finding, paint: Paint) -> Iterator[str]:
    found = _hexdump.dump(report.header, finding.span) if finding.span and finding.file == 0 else None
    if found is None:
        return
    *above, (last_row, last_marks) = found.rows
    for row, marks in above:
        yield row
        yield paint(marks.rstrip(), report.severity(finding))
    more = f" and {counted(found.more, 'byte')} more" if found.more else ""
    yield last_row
    yield paint(f"{last_marks}  {one_line(finding.field)}{more}".rstrip(), report.severity(finding))


def _details(report: Report, finding: Finding, stated: Rule, indent: int) -> Iterator[tuple[str, list[str]]]:
    if finding.file:
        yield "in", [printable(path_of(report, finding))]
    if finding.field:
        yield "field", [one_line(finding.field)]
    for label, text in contrast(finding):
        yield label, [text]
    yield "source", _wrapped("; ".join(map(str, stated.sources)), indent)
    yield "hint", _wrapped(stated.hint, indent)


def _wrapped(text: str, indent: int) -> list[str]:
    """Text of our own in lines that fit beside ``indent`` columns; text with names in it is never wrapped."""
    from shutil import get_terminal_size  # noqa: PLC0415 - an image without findings does without both
    from textwrap import wrap  # noqa: PLC0415

    width = max(_NARROWEST, min(_WIDEST, get_terminal_size((_WIDEST, 0)).columns))
    return wrap(text, width - indent, break_long_words=False, break_on_hyphens=False)


def _repairs(report: Report) -> Iterator[str]:
    if report.backup is None:
        yield "  repairs planned; nothing was written:"
    else:
        yield f"  repairs made; the bytes replaced are kept in {printable(report.backup)}:"
    for repair in report.repairs:
        yield f"    {repair.rule}  bytes {extent(repair.span)}: {one_line(repair.action)}"
