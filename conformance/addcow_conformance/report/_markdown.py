"""GitHub-flavoured Markdown, as far as it is the same for every tool here: rows of tables, and plain text."""

from __future__ import annotations

import re

from addcow_conformance.report._common import one_line

__all__ = ["plain", "row"]

# What starts markup, a link, a mention, an emoji or a formula, in the middle of a table's cell as elsewhere.
_ACTIVE = re.compile(r"(?<=www)\.|[!\"#$&'*:;<>?@\[\\\]^_`{|}~]")


def plain(text: str) -> str:
    """Text that stands for itself: as entities, its characters have no part in any markup."""
    return _ACTIVE.sub(lambda found: f"&#{ord(found[0])};", one_line(text))


def row(*cells: str) -> str:
    """A row of a table, each cell in markup."""
    return f"| {' | '.join(cells)} |\n"
