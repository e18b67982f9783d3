"""The targets on bytes and files, what each begins with, and a loop that stands in for libFuzzer."""

from __future__ import annotations

from pathlib import Path
from random import Random

from addcow_fuzz.invariants import Finding
from addcow_fuzz.mutators import mutate_plain
from addcow_fuzz.targets import TARGETS, load
from addcow_fuzz.templates import TEMPLATES

CORPORA = Path(__file__).parents[2] / "corpora"
NAMES = ("header", "roundtrip", "image", "resolve", "chain", "cache", "qcow2", "repair", "report")


def seeds(name):
    """The seeds and regressions of a target, by their paths."""
    return sorted(path for kind in ("seeds", "regressions") for path in (CORPORA / kind / name).glob("*"))


def run(name, data):
    """The token of what a target finds in an input, None where it finds nothing."""
    try:
        load(name).check_one(data)
    except Finding as found:
        return found.token
    return None


def hunt(name, runs, *, seed=0):
    """The token that a target's own mutators first come to from its seeds, None within so many runs."""
    target, dice = load(name), Random(seed)  # noqa: S311 - the same inputs in every run
    mutate = getattr(target, "custom_mutator", mutate_plain)
    pool = [path.read_bytes() for path in seeds(name)]
    for _ in range(runs):
        data = dice.choice(pool)
        for _ in range(dice.randrange(1, 4)):
            data = mutate(data, TARGETS[name].max_len, dice.getrandbits(32))
        token = run(name, data)
        if token:
            return token
    return None


__all__ = ["CORPORA", "NAMES", "TEMPLATES", "hunt", "run", "seeds"]
