"""addcow-fuzz list: the targets."""

from __future__ import annotations

import json

import click

from addcow_conformance.commands._failure import DONE
from addcow_conformance.commands._output import emit
from addcow_fuzz.targets import TARGETS

__all__ = ["command"]

_EPILOG = """\b
Examples:
  addcow-fuzz list
  addcow-fuzz list --output json

\b
Exit status:
  0    done
"""


@click.command("list", epilog=_EPILOG)
@click.option(
    "--output",
    type=click.Choice(["human", "json"]),
    default="human",
    show_default=True,
    help="Format of the answer.",
)
def command(*, output: str) -> int:
    """List the targets: what they try, and the bytes of their largest input."""
    if output == "json":
        emit([json.dumps([target._asdict() for target in TARGETS.values()], indent=2) + "\n"])
    else:
        emit(f"{t.name:<14}{t.max_len:>7,}  {t.title}\n" for t in TARGETS.values())
    return DONE
