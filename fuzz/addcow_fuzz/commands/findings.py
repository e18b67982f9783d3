"""addcow-fuzz findings: the registry, and its inputs once more."""

from __future__ import annotations

import os

import click

from addcow_conformance._signals import SIGNALS
from addcow_conformance.commands._failure import DONE, VIOLATED
from addcow_conformance.commands._output import emit
from addcow_fuzz.campaign import Status, judge
from addcow_fuzz.commands._given import failures, read_input, registry, subjects
from addcow_spec.text import printable

__all__ = ["command"]

_EPILOG = """\b
Examples:
  addcow-fuzz findings corpora/findings.toml
  addcow-fuzz findings corpora/findings.toml --status fixed --replay

\b
Exit status:
  0    done
  1    an input could not be read, or a target could not be run
  64   wrong usage, or a registry that cannot be used
  77   with --replay, one that was fixed is back, or an input comes to another
       finding than its own
  130  interrupted by SIGINT; 143 by SIGTERM
"""


@click.command("findings", epilog=_EPILOG)
@click.argument("file", metavar="REGISTRY")
@click.option(
    "--status", type=click.Choice([status.value for status in Status]), help="Only those of this status."
)
@click.option("--replay", is_flag=True, help="Run their inputs again.")
@click.option(
    "--timeout",
    metavar="SECONDS",
    type=click.FloatRange(0.1, 3600),
    default=30.0,
    show_default=True,
    help="How long an input may take.",
)
def command(*, file: str, status: str | None, replay: bool, timeout: float) -> int:
    """List the findings that are known, and run them again."""
    wrong = False
    with failures():
        for entry in registry(file).values():
            if status not in {None, entry.status}:
                continue
            line = f"{entry.status:<11} {entry.target:<12} {entry.token}: {entry.reason}\n"
            emit([printable(line.rstrip().encode()) + "\n"])
            if not (replay and entry.input):
                continue
            judged = judge(subjects([entry.target])[0], read_input(entry.input), timeout)
            SIGNALS.check()
            expected = {""} if entry.status is Status.FIXED else {"", entry.token}
            wrong = wrong or judged.token not in expected
            shown = printable(os.fsencode(entry.input))
            emit([f"  {shown}: {judged.token or 'no finding'}\n"])
    return VIOLATED if wrong else DONE
