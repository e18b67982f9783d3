"""addcow-fuzz triage: which findings of a campaign are new."""

from __future__ import annotations

import json
import os

import click

from addcow_conformance.commands._failure import DONE, VIOLATED
from addcow_conformance.commands._output import emit
from addcow_fuzz.campaign import Standing, standing
from addcow_fuzz.commands._given import failures, folder, registry, registry_option

__all__ = ["command"]

_EPILOG = """\b
Examples:
  addcow-fuzz triage found --registry corpora/findings.toml
  addcow-fuzz triage found --output json

\b
Exit status:
  0    no finding, or only ones that are known
  1    DIR is no folder of a campaign, or cannot be read
  64   wrong usage, or a registry that cannot be used
  77   a finding that is new, or that was fixed and is back
"""


@click.command("triage", epilog=_EPILOG)
@click.argument("directory", metavar="DIR")
@registry_option
@click.option(
    "--output",
    type=click.Choice(["human", "json"]),
    default="human",
    show_default=True,
    help="Format of the answer.",
)
def command(*, directory: str, registry_file: str | None, output: str) -> int:
    """Say of each finding of a campaign in DIR whether it is new, known, or fixed but back."""
    with failures():
        store, known = folder(directory), registry(registry_file)
        rows = [(told, standing(told["token"], known)) for told in store.findings()]
    if output == "json":
        emit([json.dumps([{**told, "standing": how} for told, how in rows], indent=2) + "\n"])
    else:
        for told, how in rows:
            emit([f"{how:<16}{told['token']}  {os.path.join(directory, told['folder'])}\n"])
    return VIOLATED if any(how is not Standing.KNOWN for _, how in rows) else DONE
