"""The run as GitHub-flavoured Markdown, for the summary of a step in CI; it never outgrows that place."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from addcow_conformance.report._common import counted, one_line
from addcow_conformance.report._markdown import plain, row
from addcow_conformance.results._bytes import byte_text
from addcow_conformance.results._model import Outcome
from addcow_conformance.results._words import (
    TOOL,
    contrast,
    described,
    entry,
    known_cases,
    run_facts,
    script_lines,
    stated,
    verdict,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from addcow_conformance.results._model import CaseResult, Run

__all__ = ["render"]

# GitHub drops what a step writes if it is more than 1 MiB; a little is left to others.
_MOST = 1_000_000

_LINES = 200


def render(run: Run) -> Iterator[str]:
    """Counts, a table of what is not as expected, what is known; then the deviations in full, while they fit.

    The whole is at most 1,000,000 bytes and a line that says what was left out.
    """
    left, dropped = _MOST, 0
    for piece in _pieces(run):
        size = len(piece.encode())
        if size > left:
            dropped += 1
            continue
        left -= size
        yield piece
    if dropped:
        yield f"\n{counted(dropped, 'part')} left out: a summary holds no more.\n"


def _pieces(run: Run) -> Iterator[str]:
    """Parts of the document, each of which may be left out."""
    yield f"## {TOOL}: {verdict(run)}\n"
    yield from _table(("outcome", "cases"), [(o, f"{run.counts[o]:,}") for o in Outcome if run.counts[o]])
    yield from _table(("run", ""), run_facts(run))
    rows = [(r.case, r.outcome, described(r), r.title) for r in run.deviations]
    yield from _table(("not as expected", "outcome", "rule", "what is tried"), rows)
    yield from _table(("no such case", "expected"), [(known.case, entry(known)) for known in run.unmatched])
    known = [(r.case, entry(r.known)) for r in known_cases(run) if r.known]
    yield from _table(("known", "expected"), known)
    yield from _table(("choice", "seen"), run.choices.items())
    yield from map(_details, run.deviations)


def _table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    """A table in pieces, its rows one by one; nothing where there are none."""
    head = f"\n{row(*heads)}{row(*('---' for _ in heads))}"
    for cells in rows:
        yield head + row(*map(plain, cells))
        head = ""


def _details(result: CaseResult) -> str:
    rule = stated(result)
    lines = [
        *((rule.statement, *(f"source: {source}" for source in rule.sources)) if rule else ()),
        *(f"{label}: {text}" for label, text in contrast(result)),
        *(byte_text(result.difference) if result.difference else ()),
        *(f"stderr: {one_line(line)}" for line in result.said),
        *([f"hint: {rule.hint}"] if rule else ()),
    ]
    script = script_lines(result)
    if len(script) > _LINES:
        script[_LINES:] = [f"# and {counted(len(script) - _LINES, 'line')} more"]
    blocks = [lines, script] if script else [lines]
    body = "\n".join(f"<pre>{escape(chr(10).join(block))}</pre>\n" for block in blocks)
    return f"\n<details><summary>{plain(result.case)}: {result.outcome}</summary>\n\n{body}\n</details>\n"
