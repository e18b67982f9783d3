"""addcow-fuzz replay: inputs once more, without libFuzzer."""

from __future__ import annotations

import json
import os

import click

from addcow_conformance._signals import SIGNALS
from addcow_conformance.commands._failure import DONE, VIOLATED
from addcow_conformance.commands._output import emit
from addcow_fuzz.campaign import judge
from addcow_fuzz.commands._given import failures, read_input, subject_of, target_option
from addcow_spec.errors import UsageError
from addcow_spec.text import printable

__all__ = ["command"]

_EPILOG = """\b
Examples:
  addcow-fuzz replay found/findings/*/input
  addcow-fuzz replay --target header crash-da39a3ee5e6b4b0d3255bfef95601890afd80709

\b
Each FILE runs in a process of its own, without libFuzzer.

\b
Exit status:
  0    no finding
  1    a file could not be read, or the target could not be run
  64   wrong usage
  77   a finding
  130  interrupted by SIGINT; 143 by SIGTERM
"""


@click.command("replay", epilog=_EPILOG)
@click.argument("files", metavar="FILE...", nargs=-1)
@target_option
@click.option(
    "--timeout",
    metavar="SECONDS",
    type=click.FloatRange(0.1, 3600),
    default=30.0,
    show_default=True,
    help="How long an input may take.",
)
@click.option("--explain", is_flag=True, help="Say what the input does, if the target can tell.")
def command(*, files: tuple[str, ...], target: str | None, timeout: float, explain: bool) -> int:
    """Run inputs again, and say what they come to."""
    if not files:
        raise UsageError("no file given")
    found = False
    with failures():
        for file in files:
            data = read_input(file)
            judged = judge(subject_of(file, target), data, timeout)
            SIGNALS.check()
            found = found or bool(judged.token)
            said = f"{judged.token}: {judged.detail}" if judged.token else "no finding"
            emit([f"{printable(os.fsencode(file))}: {said}\n"])
            if explain and judged.operations is not None:
                emit([json.dumps(judged.operations, indent=1) + "\n"])
    return VIOLATED if found else DONE
