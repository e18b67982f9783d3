"""A few rows of a hex dump with marks under the bytes at fault."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from addcow_spec.model import Span

__all__ = ["Dump", "dump"]

_WIDTH = 16
_ROWS = 3


class Dump(NamedTuple):
    """Pairs of a row and its marks, and how many bytes at fault are in no row."""

    rows: tuple[tuple[str, str], ...]
    more: int


def dump(data: bytes, span: Span) -> Dump | None:
    """The rows of ``data`` that ``span`` touches, at most three; None where it touches no byte of it."""
    end = min(span.end, len(data))
    if span.offset >= end:
        return None
    first = span.offset - span.offset % _WIDTH
    starts = range(first, end, _WIDTH)[:_ROWS]
    shown = min(starts[-1] + _WIDTH, end)
    rows = tuple(_row(data[start : start + _WIDTH], start, span.offset, shown) for start in starts)
    return Dump(rows, span.end - shown)


def _row(data: bytes, start: int, first: int, end: int) -> tuple[str, str]:
    cells = [f"{byte:02x}" for byte in data]
    marks = ["^^" if first <= start + column < end else "  " for column in range(len(data))]
    text = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in data)
    return f"{start:08x}  {_columns(cells)}  {text}", f"{'':8}  {_columns(marks)}"


def _columns(cells: list[str]) -> str:
    cells = cells + ["  "] * (_WIDTH - len(cells))
    half = _WIDTH // 2
    return f"{' '.join(cells[:half])}  {' '.join(cells[half:])}"
