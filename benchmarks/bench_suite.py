"""How long the conformance suite takes, and how many implementations that are wrong on purpose it tells.

Run by `make bench`. No test depends on it: the figures are printed, with what was aimed at. Beside a run of
the suite stands pytest with as many tests that make a directory and do nothing: what is left is ours.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from results import Row, machine, save, table

from addcow_conformance.suite import all_cases
from tests.conformance.miniatures import MINIATURES
from tests.conformance.miniatures._document import row_of, score_of

TITLE = "The conformance suite"
GATE = str(Path(sys.executable).with_name("addcow-conformance"))
JOBS = "2"
REFERENCE = f"{sys.executable} -m addcow_conformance.adapters.reference"
TARGETS = {
    "reference engine, in process": "python:addcow_ref",
    "reference engine, over the stdio protocol": f"stdio:{REFERENCE}",
}
IDLE = f"""
import pytest

@pytest.mark.parametrize("number", range({len(all_cases())}))
def test_nothing(number, tmp_path):
    pass
"""


def seconds(*command: str | Path) -> float:
    """How long a command takes, which has to end with 0."""
    start = time.perf_counter()
    ended = subprocess.run(command, stdout=subprocess.DEVNULL, check=False)
    taken = time.perf_counter() - start
    if ended.returncode:
        raise SystemExit(f"bench: status {ended.returncode}: {' '.join(map(str, command))}")
    return taken


def idle() -> float:
    """Seconds of pytest, with a test that does nothing for each case."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "test_idle.py")
        path.write_text(IDLE)
        here = "-c", "/dev/null", "--rootdir", directory, "-p", "no:cacheprovider"
        return seconds(sys.executable, "-m", "pytest", "-q", "-n", JOBS, *here, path)


def runs(rounds: int) -> list[Row]:
    """Whole runs on targets that pass."""
    taken: dict[str, list[float]] = {what: [] for what in TARGETS}
    peer = []
    for _ in range(rounds):
        peer.append(idle())
        for what, target in TARGETS.items():
            taken[what].append(seconds(GATE, "run", target, "-j", JOBS, "--quiet"))
    other = statistics.median(peer)
    rows = []
    for what, all_taken in taken.items():
        ours = statistics.median(all_taken)
        ratio = f"{ours / other:.1f}"
        rows.append(Row(what, f"{ours:.1f} s", f"{other:.1f} s", ratio, "under 60 s", ours < 60))
    return rows


def miniatures() -> list[Row]:
    """The table of faults and cases, made anew."""
    start = time.perf_counter()
    with ProcessPoolExecutor() as pool:
        score = score_of(list(pool.map(row_of, MINIATURES)))
    taken = time.perf_counter() - start
    told = score.told == score.miniatures
    return [
        Row(
            "miniatures told by a case of their rule",
            f"{score.told} of {score.miniatures}",
            "-",
            "-",
            "all",
            told,
        ),
        Row("other cases of one, median and most", f"{score.usual:g}, {score.most}", "-", "-", "-", None),
        Row(
            "miniatures whose rule a result names",
            f"{score.named} of {score.miniatures}",
            "-",
            "-",
            "-",
            None,
        ),
        Row(f"all of that, {os.cpu_count()} cores", f"{taken:.0f} s", "-", "-", "-", None),
    ]


# --- the command


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=3, help="runs of each command; the median counts")
    parser.add_argument("--save", type=Path, metavar="FILE", help="put the table into FILE too")
    arguments = parser.parse_args()
    rows = [*runs(arguments.times), *miniatures()]
    cases = f"{len(all_cases()):,} cases"
    text = (
        f"# {TITLE}\n\n"
        f"Made by `make bench`: medians of {arguments.times} runs of all {cases}, in turn, with `-j {JOBS}`, "
        "start-up included. Beside them, pytest with as many tests that make a directory and do nothing.\n"
        "The miniatures are those of [MINIATURES.md](../conformance/MINIATURES.md), tried once.\n"
        f"{machine()}.\n\n{table(rows, 'suite', 'idle pytest')}\n"
    )
    print(text)
    if arguments.save:
        save(arguments.save, text)


if __name__ == "__main__":
    main()
