"""addcow-fuzz minimize: an input made smaller that comes to the same."""

from __future__ import annotations

import os

import click

from addcow_conformance.commands._failure import DONE, FAILED, Failure
from addcow_conformance.commands._output import emit
from addcow_fuzz.campaign import judge, smallest
from addcow_fuzz.commands._given import failures, read_input, subject_of, target_option
from addcow_spec.text import printable

__all__ = ["command"]

_EPILOG = """\b
Examples:
  addcow-fuzz minimize found/findings/*/original -o smaller
  addcow-fuzz minimize --target header crash-da39a3ee5e6b4b0d3255bfef95601890afd80709

\b
Bytes are dropped, and made zero, as long as the token of the finding stays the
same. Without -o, FILE.min is written.

\b
Exit status:
  0    done
  1    a file could not be read or written, or the input comes to no finding
  64   wrong usage
  130  interrupted by SIGINT; 143 by SIGTERM
"""


@click.command("minimize", epilog=_EPILOG)
@click.argument("file", metavar="FILE")
@target_option
@click.option(
    "--seconds",
    metavar="N",
    type=click.FloatRange(0.1, 86400),
    default=60.0,
    show_default=True,
    help="How long to look, at most.",
)
@click.option("-o", "output", metavar="FILE", help="Where the smallest input goes.")
def command(*, file: str, target: str | None, seconds: float, output: str | None) -> int:
    """Make an input smaller that still comes to the same finding."""
    data = read_input(file)
    subject = subject_of(file, target)
    with failures():
        token = judge(subject, data, seconds).token
        if not token:
            raise Failure(f"{printable(os.fsencode(file))}: comes to no finding of {subject.name}", FAILED)
        small = smallest(subject, data, token, seconds)
    output = output or f"{file}.min"
    with open(output, "wb") as written:
        written.write(small)
    emit([f"{token}: {len(data):,} bytes made {len(small):,}: {printable(os.fsencode(output))}\n"])
    return DONE
