"""How long the conformance suite takes, and how many implementations that are wrong on purpose it tells.

Run by `make bench`. No test depends on it: the figures are printed, with what was aimed at. Beside a run of
the whole suite stands pytest with as many tests that make a directory and do nothing: what is left is ours.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from results import Row, machine, save, table

from addcow_conformance.suite import all_cases
from tests.conformance.miniatures import MINIATURES
from tests.conformance.miniatures._document import row_of, score_of, told_by
from tests.conformance.miniatures._suite import COSTLY, is_costly

TITLE = "The conformance suite"
GATE = str(Path(sys.executable).with_name("addcow-conformance"))
JOBS = "2"
MODULE = "python:addcow_ref"
PROGRAM = f"stdio:{sys.executable} -m addcow_conformance.adapters.reference"
# The cases of one revision, without those that take as long as hundreds of others.
QUICK = [case for case in all_cases() if case.revision == "v10" and not is_costly(case)]
CHOSEN = ("--revision", "v10", *(word for slug in COSTLY for word in ("--skip", f"*/{slug}*")))
# Miniatures that are tried on all cases, and what they are drawn by.
SAMPLE, SEED = 6, 0
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


def runs() -> list[Row]:
    """Whole runs, and cases a second, on targets that pass."""
    gate = GATE, "run", "-j", JOBS, "--quiet"
    other, ours = idle(), seconds(*gate, MODULE)
    ratio = f"{ours / other:.1f}"
    whole = Row("all cases, in process", f"{ours:.1f} s", f"{other:.1f} s", ratio, "under 60 s", ours < 60)
    targets = {"in process": MODULE, "over the stdio protocol": PROGRAM}
    rates = {what: len(QUICK) / seconds(*gate, *CHOSEN, target) for what, target in targets.items()}
    title = f"{len(QUICK)} quick cases of v10"
    return [whole, *(_said(f"{title}, {what}", f"{rate:.0f}/s") for what, rate in rates.items())]


def miniatures() -> list[Row]:
    """What tells each miniature, and what else tells some of them."""
    drawn = random.Random(SEED).sample(sorted(MINIATURES), SAMPLE)  # noqa: S311 - no secret
    start = time.perf_counter()
    with ProcessPoolExecutor() as pool:
        rows = pool.map(row_of, drawn)
        told = sum(map(bool, pool.map(told_by, MINIATURES)))
        score = score_of(list(rows))
    taken = time.perf_counter() - start
    everyone = len(MINIATURES)
    aim = "all", told == everyone
    return [
        Row("miniatures told by a case of their rule", f"{told} of {everyone}", "-", "-", *aim),
        _said(f"of {SAMPLE}: other cases, median and most", f"{score.usual:g}, {score.most}"),
        _said("the same: results that name the rule", f"{score.naming:,} of {score.results:,}"),
        _said(f"all of that, {os.cpu_count()} cores", f"{taken:.0f} s"),
    ]


def _said(what: str, ours: str) -> Row:
    return Row(what, ours, "-", "-", "-", None)


# --- the command


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--save", type=Path, metavar="FILE", help="put the table into FILE too")
    arguments = parser.parse_args()
    rows = [*runs(), *miniatures()]
    text = (
        f"# {TITLE}\n\n"
        f"Made by `make bench`: one run each on the reference engine with `-j {JOBS}`, start-up included; "
        f"there are {len(all_cases()):,} cases.\n"
        "Beside all of them, pytest with as many tests that make a directory and do nothing.\n"
        "The miniatures are those of [MINIATURES.md](../conformance/MINIATURES.md), each tried on cases of "
        f"its rule until one tells it; {SAMPLE} of them, drawn with seed {SEED}, on the whole suite.\n"
        f"{machine()}.\n\n{table(rows, 'suite', 'idle pytest')}\n"
    )
    print(text)
    if arguments.save:
        save(arguments.save, text)


if __name__ == "__main__":
    main()
