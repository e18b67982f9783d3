"""addcow-fuzz triage: which findings of a campaign are new."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, TypeAlias

import click

from addcow_conformance.commands._failure import DONE, VIOLATED
from addcow_conformance.commands._output import emit
from addcow_conformance.report._github import MOST, annotation
from addcow_fuzz.campaign import Standing, standing
from addcow_fuzz.commands._given import failures, folder, registry, registry_option

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["command"]

_Row: TypeAlias = tuple[dict[str, Any], Standing]

_EPILOG = """\b
Examples:
  addcow-fuzz triage found --registry corpora/findings.toml
  addcow-fuzz triage found --output json
  addcow-fuzz triage found --output github

\b
Exit status:
  0    no finding, or only ones that are known
  1    DIR is no folder of a campaign, or cannot be read
  64   wrong usage, or a registry that cannot be used
  77   a finding that is new, or that was fixed and is back
"""


def _human(rows: Sequence[_Row], directory: str) -> Iterator[str]:
    for told, how in rows:
        yield f"{how:<16}{told['token']}  {os.path.join(directory, told['folder'])}\n"


def _json(rows: Sequence[_Row], _: str) -> Iterator[str]:
    yield json.dumps([{**told, "standing": how} for told, how in rows], indent=2) + "\n"


def _github(rows: Sequence[_Row], directory: str) -> Iterator[str]:
    """An annotation for each finding that is not known, and a line that sums up."""
    bad = [(told, how) for told, how in rows if how.is_news]
    for told, how in bad[:MOST]:
        again = f"addcow-fuzz replay {os.path.join(directory, told['folder'], 'input')}"
        yield annotation("error", f"{told['detail']}\n{again}", title=f"{how}: {told['token']}")
    hidden = f", {len(bad) - MOST:,} of them not annotated" if len(bad) > MOST else ""
    yield f"addcow-fuzz: {len(rows):,} findings, {len(bad):,} not known{hidden}\n"


_FORMATS = {"human": _human, "json": _json, "github": _github}


@click.command("triage", epilog=_EPILOG)
@click.argument("directory", metavar="DIR")
@registry_option
@click.option(
    "--output",
    type=click.Choice(list(_FORMATS)),
    default="human",
    show_default=True,
    help="Format of the answer; github makes annotations of what is not known.",
)
def command(*, directory: str, registry_file: str | None, output: str) -> int:
    """Say of each finding of a campaign in DIR whether it is new, known, or fixed but back."""
    with failures():
        store, known = folder(directory), registry(registry_file)
        rows = [(told, standing(told["token"], known)) for told in store.findings()]
    emit(_FORMATS[output](rows, directory))
    return VIOLATED if any(how.is_news for _, how in rows) else DONE
