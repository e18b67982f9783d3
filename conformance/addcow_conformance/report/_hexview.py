"""The header's bytes as a hex view: coloured by field, the findings marked beneath the bytes at fault."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

from addcow_spec.codec import HEADER_LENGTH
from addcow_spec.rules import Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from addcow_conformance.checker import Report

__all__ = ["HexLine", "HexView", "Mark", "Run", "hex_view"]

BYTES_PER_LINE = 16
FIELD_COLORS = 10


class Run(NamedTuple):
    """Consecutive bytes of a line that look the same.

    Attributes:
        classes: CSS classes: the field's colour, and the worst severity of the findings on these bytes.
        gap: white space before the bytes.
        hex: the bytes in hexadecimal.
        ascii: the bytes as characters, a middle dot for those that are none.
    """

    classes: str
    gap: str
    hex: str
    ascii: str


class Mark(NamedTuple):
    """A finding, pinned under the line that its first byte is in; ``pad`` and ``width`` count characters."""

    number: int
    rule: str
    severity: Severity
    pad: int = 0
    width: int = 0
    until: int | None = None


class HexLine(NamedTuple):
    """A line of 16 bytes, or a run of ``folded`` lines of zeros."""

    offset: int
    end: int
    runs: tuple[Run, ...] = ()
    marks: tuple[Mark, ...] = ()
    folded: int = 0


class HexView(NamedTuple):
    """The whole view; ``end_marks`` pin the findings on header bytes that the file does not have."""

    lines: tuple[HexLine, ...]
    end_marks: tuple[Mark, ...]

    @property
    def pinned(self) -> frozenset[int]:
        """Numbers of the findings that have a mark."""
        marks = [mark for line in self.lines for mark in line.marks]
        return frozenset(mark.number for mark in (*marks, *self.end_marks))


class _Pin(NamedTuple):
    """A finding on bytes of the header; ``stop`` is the offset after the last byte at fault."""

    number: int
    rule: str
    severity: Severity
    start: int
    stop: int


def hex_view(report: Report) -> HexView:
    """The hex view of a report's header; findings are numbered from 1 in the order of the report."""
    header, pins = report.header, list(_pins(report))
    starts = {field.span.offset for field in report.fields}
    lines = tuple(_folded(list(_lines(report, pins)), starts))
    end_marks = (Mark(pin.number, pin.rule, pin.severity) for pin in pins if pin.start >= len(header))
    return HexView(lines, tuple(end_marks))


def _pins(report: Report) -> Iterator[_Pin]:
    """The findings on bytes that belong to the header, whether or not the file has them."""
    limit = HEADER_LENGTH[report.revision] if report.revision else max(HEADER_LENGTH.values())
    limit = max(limit, len(report.header))
    for number, finding in enumerate(report.findings, 1):
        if finding.file == 0 and finding.span is not None and finding.span.offset < limit:
            start, stop = finding.span.offset, max(finding.span.end, finding.span.offset + 1)
            yield _Pin(number, finding.rule, report.severity(finding), start, stop)


def _lines(report: Report, pins: list[_Pin]) -> Iterator[HexLine]:
    header = report.header
    looks = _looks(report, pins)
    for offset in range(0, len(header), BYTES_PER_LINE):
        end = min(offset + BYTES_PER_LINE, len(header))
        groups = groupby(range(offset, end), looks.__getitem__)
        runs = (_run(header, list(places), offset, look) for look, places in groups)
        marks = (_mark(pin, offset, end) for pin in pins if offset <= pin.start < end)
        yield HexLine(offset, end, tuple(runs), tuple(marks))


def _looks(report: Report, pins: list[_Pin]) -> list[tuple[str, str]]:
    """Classes of each byte: of the shortest field around it, and of the worst finding on it."""
    size = len(report.header)
    colors, hits = [""] * size, [""] * size
    longest_first = sorted(enumerate(report.fields), key=lambda entry: -entry[1].span.length)
    for number, field in longest_first:
        _paint(colors, field.span.offset, field.span.end, f"f{number % FIELD_COLORS}")
    worst_last = tuple(reversed(Severity))
    for pin in sorted(pins, key=lambda pin: worst_last.index(pin.severity)):
        _paint(hits, pin.start, pin.stop, f"hit {pin.severity}")
    return list(zip(colors, hits, strict=True))


def _paint(cells: list[str], start: int, end: int, value: str) -> None:
    """Set the cells of a range that may lie partly or wholly outside."""
    start, end = min(start, len(cells)), min(end, len(cells))
    cells[start:end] = [value] * (end - start)


def _run(header: bytes, places: list[int], line: int, look: tuple[str, str]) -> Run:
    first, after = places[0], places[-1] + 1
    gap = _column(first - line) - (_column(first - line - 1) + 2) if first > line else 0
    halves = (header[first : max(first, min(after, line + 8))], header[max(first, line + 8) : after])
    return Run(
        " ".join(filter(None, look)),
        " " * gap,
        "  ".join(half.hex(" ") for half in halves if half),
        "".join(chr(byte) if 0x20 <= byte < 0x7F else "\N{MIDDLE DOT}" for byte in header[first:after]),
    )


def _column(place: int) -> int:
    """First character of a line's byte 0 to 15; there is one more space before byte 8."""
    return 3 * place + (place >= BYTES_PER_LINE // 2)


def _mark(pin: _Pin, line: int, end: int) -> Mark:
    last = min(pin.stop, end) - 1
    pad = _column(pin.start - line)
    width = _column(last - line) + 2 - pad
    return Mark(pin.number, pin.rule, pin.severity, pad, width, pin.stop - 1 if pin.stop > end else None)


def _folded(lines: list[HexLine], starts: set[int]) -> Iterator[HexLine]:
    """The lines with each run of plain zero lines as one; a line that starts a field or has a mark stays."""

    def foldable(line: HexLine) -> bool:
        if line.marks or starts.intersection(range(line.offset, line.end)):
            return False
        return not any(run.hex.strip("0 ") for run in line.runs)

    for fold, group in groupby(lines, foldable):
        run = list(group)
        if fold and len(run) > 1:
            yield HexLine(run[0].offset, run[-1].end, folded=len(run))
        else:
            yield from run
