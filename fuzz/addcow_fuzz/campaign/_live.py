"""The live view of a campaign: a table on the terminal, a row for each target."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.table import Table

    from addcow_fuzz.campaign._campaign import Row

__all__ = ["opened_view", "table"]

_COLUMNS = ("target", "workers", "exec/s", "execs", "edges", "corpus", "new", "known", "last new input")


@contextmanager
def opened_view(*, enabled: bool) -> Iterator[Callable[[list[Row]], None]]:
    """What shows rows on standard error, as long as the block lasts.

    Nothing is shown where it is no terminal, or rich is not installed.

    Args:
        enabled: whether to show anything at all.
    """
    if not (enabled and sys.stderr.isatty() and find_spec("rich")):
        yield lambda _rows: None
        return
    from rich.console import Console  # noqa: PLC0415 - for a terminal only
    from rich.live import Live  # noqa: PLC0415

    # What is told on the same terminal goes above the table; elsewhere, it stays as it is.
    same = sys.stdout.isatty()
    with Live(console=Console(stderr=True), auto_refresh=False, redirect_stdout=same) as live:
        yield lambda rows: live.update(table(rows, time.time()), refresh=True)


def table(rows: list[Row], now: float) -> Table:
    """The rows, and their sum, as a table of rich's.

    Args:
        rows: one a target.
        now: the time, in seconds since 1970.
    """
    from rich.table import Table  # noqa: PLC0415 - for a terminal only

    made = Table(box=None, header_style="bold", show_footer=True)
    total = (
        "all",
        str(sum(row.workers for row in rows)),
        f"{sum(row.rate for row in rows):,.0f}",
        f"{sum(row.execs for row in rows):,}",
        "",
        f"{sum(row.corpus for row in rows):,}",
        str(sum(row.new for row in rows)),
        str(sum(row.known for row in rows)),
        _since(max((row.grew for row in rows), default=0), now),
    )
    for column, footer in zip(_COLUMNS, total, strict=True):
        made.add_column(column, footer=footer, justify="left" if column == "target" else "right")
    for row in rows:
        made.add_row(
            row.name,
            str(row.workers),
            f"{row.rate:,.0f}",
            f"{row.execs:,}",
            f"{row.edges:,}",
            f"{row.corpus:,}",
            str(row.new),
            str(row.known),
            _since(row.grew, now),
            style="red" if row.new else "",
        )
    return made


def _since(then: float, now: float) -> str:
    if not then:
        return "-"
    minutes, seconds = divmod(max(int(now - then), 0), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02} ago"
