"""addcow-fuzz coverage: edges that are reached from nothing, with seeds, dictionary and mutators."""

from __future__ import annotations

import os

import click

from addcow_conformance._signals import SIGNALS
from addcow_conformance.commands._failure import DONE
from addcow_conformance.commands._output import emit
from addcow_fuzz.campaign import Way, measured
from addcow_fuzz.commands._given import failures, subjects
from addcow_fuzz.dictionary import dictionary

__all__ = ["command"]

_EPILOG = """\b
Examples:
  addcow-fuzz coverage header --runs 20000
  addcow-fuzz coverage --seeds corpora/seeds

\b
Each column adds to the one before it: nothing at all, seeds, the dictionary of
the grammar, the target's own mutators. Every cell is a run from an empty corpus.

\b
Exit status:
  0    done
  1    a target could not be run
  64   wrong usage
  130  interrupted by SIGINT; 143 by SIGTERM
"""


@click.command("coverage", epilog=_EPILOG)
@click.argument("targets", metavar="[TARGET]...", nargs=-1)
@click.option(
    "--runs",
    metavar="N",
    type=click.IntRange(1, 1_000_000_000),
    default=10_000,
    show_default=True,
    help="Inputs of each run.",
)
@click.option("--seeds", metavar="DIR", default="", help="A directory of inputs for each target, by name.")
@click.option(
    "--seed",
    metavar="S",
    type=click.IntRange(1, (1 << 32) - 1),
    default=1,
    show_default=True,
    help="Of libFuzzer.",
)
def command(*, targets: tuple[str, ...], runs: int, seeds: str, seed: int) -> int:
    """Measure, in edges, what seeds, dictionary and mutators are worth; a table in Markdown."""
    chosen = subjects(targets)
    words = dictionary()
    names = ("empty", "seeds", "dictionary", "mutators")
    emit([f"| target | {' | '.join(names)} |\n", f"|---|{'---:|' * len(names)}\n"])
    with failures():
        for subject in chosen:
            home = os.path.join(seeds, subject.name) if seeds else ""
            home = home if os.path.isdir(home) else ""
            ways = (
                Way(names[0]),
                Way(names[1], home),
                Way(names[2], home, words),
                Way(names[3], home, words, mutators=True),
            )
            cells = []
            for counters in measured(subject, ways, runs=runs, seed=seed):
                SIGNALS.check()
                cells.append(f"{counters.edges:,}")
            emit([f"| {subject.name} | {' | '.join(cells)} |\n"])
    return DONE
