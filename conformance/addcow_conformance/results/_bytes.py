"""Bytes that differ, side by side."""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from addcow_conformance.results._model import Difference

__all__ = ["Cell", "Row", "byte_rows", "byte_text"]

_WIDTH = 8
_MOST = 16 * _WIDTH
_NONE = "--"


class Cell(NamedTuple):
    """A byte as hex digits, twice; ``--`` where one side has no byte."""

    expected: str
    seen: str

    @property
    def differs(self) -> bool:
        """Whether the two are not the same."""
        return self.expected != self.seen


class Row(NamedTuple):
    """Eight bytes, or fewer in the last row, and the offset of the first."""

    offset: int
    cells: tuple[Cell, ...]


def byte_rows(difference: Difference) -> tuple[Row, ...]:
    """The bytes in rows, 128 at most."""
    both = zip_longest(difference.expected[:_MOST], difference.seen[:_MOST])
    cells = [Cell(*(_NONE if byte is None else f"{byte:02x}" for byte in pair)) for pair in both]
    starts = range(0, len(cells), _WIDTH)
    return tuple(Row(difference.offset + start, tuple(cells[start : start + _WIDTH])) for start in starts)


def byte_text(difference: Difference) -> Iterator[str]:
    """The rows as lines: what is expected at the left, what was seen at the right, and marks beneath."""
    width = 3 * _WIDTH - 1
    yield f"{'offset (hex)':>12}  {'expected':{width}}  seen"
    for row in byte_rows(difference):
        expected, seen = (" ".join(side) for side in zip(*row.cells, strict=True))
        marks = " ".join("^^" if cell.differs else "  " for cell in row.cells)
        yield f"{row.offset:>12x}  {expected:{width}}  {seen}"
        if marks.strip():
            yield f"{'':12}  {'':{width}}  {marks}".rstrip()
