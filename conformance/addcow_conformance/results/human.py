"""The run for people: what is not as expected first, then what is known, and the counts at the end.

Lines begin with words of our own, as those of the checker's reports do: a log reader that takes commands from
the start of a line takes none from a target.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, TypeAlias

import click

from addcow_conformance.report._common import counted, one_line
from addcow_conformance.results._bytes import byte_text
from addcow_conformance.results._model import Outcome
from addcow_conformance.results._words import (
    contrast,
    described,
    entry,
    known_cases,
    run_facts,
    script_lines,
    stated,
    summary,
    verdict,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from addcow_conformance.results._model import CaseResult, Run

    Paint: TypeAlias = Callable[[str, str], str]

__all__ = ["render"]

_LABEL = 15
# Lines of a script, and characters of a line: more would push what was found out of sight.
_SCRIPT, _COLUMNS = 12, 160
_DATA = re.compile("[A-Za-z0-9+/]{40,}={0,2}")  # base64

_STYLES: dict[str, dict[str, Any]] = {
    Outcome.PASS: {"fg": "yellow", "bold": True},  # shown where a failure is expected
    Outcome.FAIL: {"fg": "red", "bold": True},
    Outcome.CRASH: {"fg": "red", "bold": True},
    Outcome.TIMEOUT: {"fg": "red", "bold": True},
    Outcome.ERROR: {"fg": "magenta", "bold": True},
    "as expected": {"fg": "green", "bold": True},
    "not as expected": {"fg": "red", "bold": True},
    "label": {"dim": True},
}


def _plain(text: str, _style: str) -> str:
    return text


def _coloured(text: str, style: str) -> str:
    return click.style(text, **_STYLES[style])


def render(run: Run, *, color: bool = False) -> Iterator[str]:
    """Each deviation in full, the rest in short."""
    paint = _coloured if color else _plain
    for result in run.deviations:
        yield "\n".join((*_deviation(result, paint), "", ""))
    yield "\n".join((*_rest(run, paint), ""))


def _deviation(result: CaseResult, paint: Paint) -> Iterator[str]:
    outcome = paint(result.outcome.upper(), result.outcome)
    yield f"{outcome}  {one_line(result.case)}: {one_line(result.title)}"
    yield from _labelled((("rule", described(result)), *contrast(result)), paint)
    yield from _block("bytes", list(byte_text(result.difference)) if result.difference else [], paint)
    yield from _block("stderr", [one_line(line) for line in result.said], paint)
    rule = stated(result)
    if rule:
        sources = (("source", str(source)) for source in rule.sources)
        yield from _labelled((("says", rule.statement), *sources, ("hint", rule.hint)), paint)
    yield from _script(script_lines(result), paint)


def _script(lines: list[str], paint: Paint) -> Iterator[str]:
    """The last lines, as the first make the files; what a file holds means nothing to people."""
    last = (
        lines if len(lines) <= _SCRIPT else [line for line in lines if not _DATA.fullmatch(line)][-_SCRIPT:]
    )
    shown = [line if len(line) <= _COLUMNS else f"{line[:_COLUMNS]} ..." for line in last]
    label = "again"
    if shown != lines:
        said = f"the end of {counted(len(lines), 'line')}, which --scripts, --json and --html have"
        yield from _labelled([(label, said)], paint)
        label = ""
    yield from _block(label, shown, paint)


def _rest(run: Run, paint: Paint) -> Iterator[str]:
    parts = (
        ("known", [f"{one_line(r.case)}: {entry(r.known)}" for r in known_cases(run) if r.known]),
        ("no such case", [f"{one_line(known.case)}: {entry(known)}" for known in run.unmatched]),
        ("choice", [f"{one_line(point)}: {one_line(said)}" for point, said in run.choices.items()]),
    )
    yield from _labelled(run_facts(run), paint)
    for label, texts in parts:
        yield from _labelled(((label, text) for text in texts), paint)
    said = verdict(run)
    yield f"{paint(said, said)}: {summary(run)} in {run.seconds:.1f} s"


def _labelled(pairs: Iterable[tuple[str, str]], paint: Paint) -> Iterator[str]:
    for label, text in pairs:
        yield f"  {paint(f'{label:{_LABEL}}', 'label')}{text}"


def _block(label: str, lines: list[str], paint: Paint) -> Iterator[str]:
    """Lines that belong together, each behind a bar; the label stands before the first."""
    for number, line in enumerate(lines):
        before = "" if number else label
        yield f"  {paint(f'{before:{_LABEL}}', 'label')}| {line}"
