"""addcow-fuzz run: libFuzzer on targets, with its own flags."""

from __future__ import annotations

import os
from tempfile import TemporaryDirectory

import click

from addcow_conformance.commands._failure import DONE, FAILED, VIOLATED
from addcow_fuzz.campaign import fuzz_by_hand
from addcow_fuzz.commands._given import SUBJECTS, failures, subjects
from addcow_spec.errors import UsageError
from addcow_spec.text import printable

__all__ = ["command"]

_EPILOG = """\b
Examples:
  addcow-fuzz run header -max_total_time=60
  addcow-fuzz run image corpus/image corpora/seeds/image -dict=spec/exports/add-cow.dict
  addcow-fuzz run header -fork=2 -runs=100000 corpus/header
  addcow-fuzz run header -help=1

\b
Words up to the first that is no target are targets; they run one after the
other. All other words go to libFuzzer as they are: its flags, and files and
directories that there are.
-max_len is that of the target if it is not given.

\b
Exit status:
  0    no finding
  1    a target could not be run
  64   wrong usage
  77   a finding, or an input that takes too long or too much memory
  130  interrupted by SIGINT; 143 by SIGTERM
"""

# libFuzzer's own, by default: an error, too long, too much memory.
_FOUND = {77, 70, 71}


# libFuzzer's flags begin with one dash: no letter may be an option of ours.
@click.command(
    "run", epilog=_EPILOG, context_settings={"ignore_unknown_options": True, "help_option_names": ["--help"]}
)
@click.argument("words", metavar="TARGET... [FLAG]...", nargs=-1, type=click.UNPROCESSED)
def command(*, words: tuple[str, ...]) -> int:
    """Run libFuzzer on each TARGET."""
    count = next((place for place, word in enumerate(words) if word not in SUBJECTS), len(words))
    if not count:
        raise UsageError(f"no target given: use {', '.join(SUBJECTS)}")
    for word in words[count:]:
        if not word.startswith("-") and not os.path.exists(word):
            raise UsageError(f"{printable(os.fsencode(word))}: no target, and no file or directory")
    statuses = []
    with failures(), TemporaryDirectory() as directory:
        for subject in subjects(words[:count]):
            path = os.path.join(directory, f"fuzz_{subject.name}")
            statuses.append(fuzz_by_hand(subject, path, words[count:]))
    if any(status in _FOUND for status in statuses):
        return VIOLATED
    return FAILED if any(statuses) else DONE
