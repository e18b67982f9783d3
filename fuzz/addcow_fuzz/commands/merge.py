"""addcow-fuzz merge: inputs that reach something new, added to a corpus."""

from __future__ import annotations

import os
from tempfile import TemporaryDirectory

import click

from addcow_conformance.commands._failure import DONE, FAILED, Failure
from addcow_conformance.commands._output import emit
from addcow_fuzz.campaign import fuzz_by_hand
from addcow_fuzz.commands._given import failures, subjects
from addcow_spec.errors import UsageError
from addcow_spec.text import printable

__all__ = ["command"]

_EPILOG = """\b
Examples:
  addcow-fuzz merge --target header corpora/seeds/header found/corpus/header
  addcow-fuzz merge new/header old/header

\b
The first DIR is added to, and made if it is not there; an empty one gets the
smallest set of inputs that libFuzzer's -merge=1 finds. Its name is the target's
without --target.

\b
Exit status:
  0    done
  1    a directory could not be read or written, or the target could not be run
  64   wrong usage
  130  interrupted by SIGINT; 143 by SIGTERM
"""


@click.command("merge", epilog=_EPILOG)
@click.argument("directories", metavar="DIR DIR...", nargs=-1)
@click.option("--target", metavar="TARGET", help="Whose inputs they are.")
def command(*, directories: tuple[str, ...], target: str | None) -> int:
    """Add inputs to a corpus, from others, that reach something new."""
    if len(directories) < 2:
        raise UsageError("two directories or more are needed: what is added to, and what from")
    (subject,) = subjects([target or os.path.basename(os.path.abspath(directories[0]))])
    os.makedirs(directories[0], exist_ok=True)
    for directory in directories:
        os.listdir(directory)  # libFuzzer takes one that is missing for an empty one
    before = len(os.listdir(directories[0]))
    with failures(), TemporaryDirectory() as home:
        path = os.path.join(home, f"fuzz_{subject.name}")
        words = ["-merge=1", "-verbosity=0", *map(os.path.abspath, directories)]
        status = fuzz_by_hand(subject, path, words, quiet=True)
    if status:
        raise Failure(f"{subject.name}: libFuzzer ended with exit status {status}", FAILED)
    added = len(os.listdir(directories[0])) - before
    emit([f"{printable(os.fsencode(directories[0]))}: {added:,} added, {before + added:,} inputs\n"])
    return DONE
