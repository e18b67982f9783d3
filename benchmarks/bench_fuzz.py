"""How many inputs each fuzz target takes in a second, beside an atheris target that does nothing, in one run.

Run by `make bench`. No test depends on it: the figures are printed, with what was aimed at. A second table
has the edges that a target reaches in a number of runs without seeds, with seeds, with the dictionary as
well, and with its own mutators in place of libFuzzer's.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

from results import Row, machine, save, table

from addcow_fuzz._environment import PLAIN
from addcow_fuzz.dictionary import dictionary
from addcow_fuzz.targets import TARGETS

TITLE = "Fuzz targets"
SEEDS = Path(__file__).parents[1] / "corpora" / "seeds"
AIMS = {"header": 20_000, "image": 3_000, "ops": 500}
NAMES = ("header", "roundtrip", "image", "resolve", "chain", "cache", "qcow2", "repair", "report", "ops")
_PATIENCE = 600
_RATE = re.compile(r"Done (\d+) runs in (\d+) second")
_EDGES = re.compile(r"cov: (\d+)")

EMPTY = """
import sys
import atheris

@atheris.instrument_func
def check_one(data):
    return len(data) > 3

atheris.Setup(sys.argv, check_one)
atheris.Fuzz()
"""


def fuzz(program: list[str], options: list[str], *, plain: bool = False) -> str:
    """What libFuzzer tells of a run, in an empty directory and with a corpus that begins empty."""
    environment = {name: value for name, value in os.environ.items() if name != PLAIN}
    with tempfile.TemporaryDirectory() as directory:
        Path(directory, "corpus").mkdir()
        Path(directory, "dictionary").write_text(dictionary(), encoding="utf-8")
        done = subprocess.run(
            [sys.executable, *program, *options],
            cwd=directory,
            env=environment | ({PLAIN: "1"} if plain else {}),
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            timeout=_PATIENCE,
            check=True,
        )
    return done.stderr


def module(name: str) -> list[str]:
    """What runs a target."""
    return ["-m", TARGETS[name].module]


def rate(told: str) -> float:
    """Inputs a second; the time of the last run is told in whole seconds, and one more is counted at most."""
    found = _RATE.search(told)
    if found is None:
        raise SystemExit("bench: libFuzzer has not said how it ended")
    return int(found[1]) / max(int(found[2]), 1)


def rates(rounds: int, seconds: int) -> list[Row]:
    """Inputs a second of each target from its seeds, beside the empty one."""
    limit = f"-max_total_time={seconds}"
    found: dict[str, list[float]] = {name: [] for name in NAMES}
    empty = []
    for _ in range(rounds):
        empty.append(rate(fuzz(["-c", EMPTY], [limit, "-max_len=4608", str(SEEDS / "header")])))
        for name, each in found.items():
            options = [limit, f"-max_len={TARGETS[name].max_len}", "corpus", str(SEEDS / name)]
            each.append(rate(fuzz(module(name), options)))
    return [row(name, median(each), median(empty)) for name, each in found.items()]


def row(name: str, ours: float, empty: float) -> Row:
    """A line on rates."""
    aim = AIMS.get(name)
    words = f"at least {aim:,}/s" if aim else "-"
    reached = ours >= aim if aim else None
    return Row(name, f"{ours:,.0f}/s", f"{empty:,.0f}/s", f"{ours / empty:.3f}", words, reached)


def edges(runs: int) -> str:
    """The table of edges that are reached in so many runs."""
    lines = [
        "| target | nothing | seeds | seeds, dictionary | seeds, own mutators |",
        "|---|---|---|---|---|",
    ]
    for name in NAMES:
        common = [f"-runs={runs}", "-seed=1", f"-max_len={TARGETS[name].max_len}", "corpus"]
        seeded = [*common, str(SEEDS / name)]
        told = (
            fuzz(module(name), common, plain=True),
            fuzz(module(name), seeded, plain=True),
            fuzz(module(name), [*seeded, "-dict=dictionary"], plain=True),
            fuzz(module(name), [*seeded, "-dict=dictionary"]),
        )
        reached = (max(map(int, _EDGES.findall(each)), default=0) for each in told)
        lines.append(f"| {name} | {' | '.join(map(str, reached))} |")
    return "\n".join(lines)


def main() -> None:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="try it: figures that mean little")
    parser.add_argument("--save", type=Path, metavar="FILE", help="put the tables into FILE too")
    arguments = parser.parse_args()
    rounds, seconds, runs = (1, 3, 200) if arguments.quick else (3, 10, 3000)
    text = (
        f"# {TITLE}\n\n"
        f"Made by `make bench`: inputs a second on one processor, medians of {rounds} rounds of {seconds} "
        "seconds, from the seeds and with all modules instrumented. The peer is an atheris target that "
        f"compares a length.\n{machine()}.\n\n{table(rates(rounds, seconds), 'ours', 'empty target')}\n\n"
        f"Edges reached in {runs:,} runs:\n\n{edges(runs)}\n"
    )
    print(text)
    if arguments.save:
        save(arguments.save, text)


if __name__ == "__main__":
    main()
