"""A fuzzer without atheris: a fixed number of runs, from the seeds on, by the mutator of programs."""

from __future__ import annotations

from random import Random

from addcow_fuzz._program_mutator import custom_crossover, custom_mutator
from addcow_fuzz._program_seeds import seeds
from addcow_fuzz.invariants import Finding
from tests.repo.tree import ROOT

__all__ = ["LONGEST", "SEEDS", "hunt"]

SEEDS = seeds(ROOT / "corpora")
# Bytes of the longest program.
LONGEST = 20 + 64 * 14


def hunt(check, runs, seed=0):
    """The first finding of so many runs, and the input; None and None if there is none.

    Args:
        check: what is tried with each input.
        runs: how many inputs, the seeds among them.
        seed: draws them.
    """
    random, pool = Random(seed), list(SEEDS.values())  # noqa: S311 - the same inputs in every run
    for number in range(runs):
        if number < len(pool):
            data = pool[number]
        elif random.random() < 0.2:
            data = custom_crossover(random.choice(pool), random.choice(pool), LONGEST, random.getrandbits(32))
        else:
            data = custom_mutator(random.choice(pool), LONGEST, random.getrandbits(32))
        try:
            check(data)
        except Finding as finding:
            return finding, data
    return None, None
