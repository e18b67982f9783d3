"""addcow-conformance list: the cases, by name."""

from __future__ import annotations

import json
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

import click

from addcow_conformance.commands._failure import DONE
from addcow_conformance.commands._output import TOOL, answer_options, emit, schema, tool
from addcow_conformance.suite import FLAGS, all_cases
from addcow_spec.errors import UsageError
from addcow_spec.model import Revision

if TYPE_CHECKING:
    from collections.abc import Iterator

    from addcow_conformance.suite import Case

__all__ = ["command"]

_EPILOG = """\b
Examples:
  addcow-conformance list
  addcow-conformance list --revision v10 'ACW-DYN-*'
  addcow-conformance list --choices
  addcow-conformance list --output json

\b
Exit status:
  0    done
  64   wrong usage, or a GLOB that no case matches
"""


@click.command("list", epilog=_EPILOG)
@click.argument("globs", metavar="[GLOB]...", nargs=-1)
@click.option(
    "--revision",
    "revisions",
    multiple=True,
    type=click.Choice([revision.value for revision in Revision]),
    help="Revision of the format; can be given again. All, without it.",
)
@click.option("--choices", is_flag=True, help="List what a target may choose (run --choice), and exit.")
@answer_options
def command(
    *, globs: tuple[str, ...], revisions: tuple[str, ...], choices: bool, output: str, show_schema: bool
) -> int:
    """List the cases of the suite, or those whose names match a GLOB."""
    if show_schema:
        emit([schema("list-v1.json")])
        return DONE
    if choices:
        emit(_choices(output))
        return DONE
    cases = [case for case in all_cases() if not revisions or case.revision in revisions]
    for glob in globs:
        if not any(fnmatchcase(case.id, glob) for case in cases):
            raise UsageError(f"no case matches {glob!a}: {TOOL} list shows them all")
    found = [case for case in cases if not globs or any(fnmatchcase(case.id, glob) for glob in globs)]
    emit(_as_json(found) if output == "json" else _human(found))
    return DONE


def _choices(output: str) -> Iterator[str]:
    if output == "json":
        yield json.dumps({"schema-version": 1, "tool": tool(), "choices": FLAGS}, indent=2) + "\n"
        return
    for flag, about in FLAGS.items():
        yield f"{flag:<26}{about}\n"


def _human(cases: list[Case]) -> Iterator[str]:
    width = max((len(case.id) for case in cases), default=0)
    for case in cases:
        yield f"{case.id:<{width}}  {case.title}\n"


def _as_json(cases: list[Case]) -> Iterator[str]:
    found = [
        {"case": case.id, "rule": case.rule, "revision": case.revision, "title": case.title} for case in cases
    ]
    yield json.dumps({"schema-version": 1, "tool": tool(), "cases": found}, indent=2) + "\n"
