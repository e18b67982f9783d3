"""addcow-conformance explain: what a case tries, and why."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

import click

from addcow_conformance import _catalogue
from addcow_conformance.commands._failure import DONE
from addcow_conformance.commands._output import TOOL, emit, one_line
from addcow_conformance.commands._words import disk_words, numbered
from addcow_conformance.suite import CORPUS, all_cases
from addcow_spec.errors import UsageError
from addcow_spec.rules import Profile
from addcow_spec.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from addcow_conformance.suite import Case, Vector

__all__ = ["command"]

_EPILOG = """\b
Examples:
  addcow-conformance explain ACW-DYN-003/v10/inside-a-unit
  addcow-conformance explain ACW-DYN-003/v10/inside-a-unit --program > program.json

\b
Exit status:
  0    done
  64   wrong usage, no such case, or no program in it
"""


def _ids(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    return [case.id for case in all_cases() if case.id.startswith(incomplete)]


@click.command("explain", epilog=_EPILOG)
@click.argument("name", metavar="CASE", shell_complete=_ids)
@click.option("--program", is_flag=True, help="Print the case's program, for addcow-conformance replay.")
def command(*, name: str, program: bool) -> int:
    """Explain a case: the rule, and what is done."""
    from addcow_conformance.programs import dump_program  # noqa: PLC0415 - for --program alone

    case = _case(name)
    if program:
        if case.program is None:
            raise UsageError(f"{case.id} is no program")
        emit([dump_program(case.program)])
    else:
        emit(_explained(case))
    return DONE


def _case(name: str) -> Case:
    cases = {case.id: case for case in all_cases()}
    if name not in cases:
        near = difflib.get_close_matches(name, cases, 1)
        hint = f"perhaps {near[0]}" if near else f"{TOOL} list shows them all"
        raise UsageError(f"no case {one_line(name)!r}: {hint}")
    return cases[name]


def _explained(case: Case) -> Iterator[str]:
    yield f"{case.id}: {case.title}\n\n"
    if case.program is not None:
        yield f"Disk:       {disk_words(case.program.disk)}\n"
        yield from (f"{line}\n" for line in numbered(case.program.operations, indent=10))
        yield "After each, the disk is compared with the oracle; the checker judges the files.\n\n"
    elif case.vector is not None:
        yield from _vector(case.vector)
    yield f"{_catalogue.explain(case.rule)}\n\n"
    yield f'Run it:     {TOOL} run TARGET -k "{case.id}"\n'


def _vector(vector: Vector) -> Iterator[str]:
    place = next(path for path in CORPUS.rglob(f"{vector.id}.json"))
    yield f"Vector:     {vector.id}, of chapter {place.parent.name}; {TOOL} copy DIR writes it out\n"
    for profile in Profile:
        label = vector.labels[profile]
        rules = ", ".join(sorted(set(label.findings)))
        yield f"{profile + ':':<12}{label.result}{f', for {rules}' if rules else ''}\n"
    yield f"Source:     {vector.source}\n"
    names = ", ".join(printable(entry.path) for entry in vector.files)
    yield f"Files:      {names}\n\n"
