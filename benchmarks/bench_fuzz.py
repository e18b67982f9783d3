"""How many inputs each fuzz target takes in a second, and what a campaign and a process an image cost beside.

Run by `make bench`. No test depends on it: the figures are printed, with what was aimed at. All is measured
in one run: each target from its seeds, the median of three runs, as which inputs libFuzzer comes to has much
to do with chance; three that do next to nothing, which are the limits of atheris and of Python; a campaign
beside libFuzzer alone; and checks of one image, each in a process of its own, as QEMU's image fuzzer has
it. `addcow-fuzz coverage` says what seeds, dictionary and mutators add, and
`bench_scaling.py` what a second worker is worth.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from results import Row, machine, save, table

from addcow_fuzz.dictionary import dictionary
from addcow_fuzz.targets import TARGETS
from addcow_ref import create_image

if TYPE_CHECKING:
    from collections.abc import Iterator

TITLE = "Fuzz targets"
SEEDS = Path(__file__).parents[1] / "corpora" / "seeds"
AIMS = {"header": 20_000, "image": 3_000, "ops": 500}
# Of an empty target's rate, and of a campaign's time.
HEADER_SHARE, MOST_OVERHEAD = 0.2, 10
_PATIENCE = 600
# libFuzzer's seeds.
_RANDOM = (1, 2, 3)
_BEGUN = re.compile(r"#(\d+)\s+INITED ")
# Then the interpreter ends, which has nothing to do with inputs.
_DONE = "Done "
_ENDED = re.compile(r"stat::number_of_executed_units: (\d+)")
_TICKS = os.sysconf("SC_CLK_TCK")

# Targets that do next to nothing: what is done for each input, and whether header's mutator makes the inputs.
MUTATED = "an empty target with header's mutator"
LIMITS = {
    "an empty target": ("", False),
    "a target that unpacks a header with struct": ("len(data) >= 4096 and HEADER.unpack_from(data)", False),
    MUTATED: ("", True),
}
EMPTY = """
import struct, sys
import atheris
from addcow_fuzz.mutators import mutate_header

HEADER = struct.Struct("<8s5IQ4060s")

@atheris.instrument_func
def check_one(data):
    {body}
    return len(data) > 3

atheris.Setup(sys.argv, check_one, **({{"custom_mutator": mutate_header}} if {mutates} else {{}}))
atheris.Fuzz()
"""


class Run(NamedTuple):
    """A run of libFuzzer.

    Attributes:
        execs: inputs that were run.
        took: seconds from start to end.
        rate: inputs in a second of processor time, from when the seeds are read until the last one; others
            that use the machine change it little.
    """

    execs: int
    took: float
    rate: float


def fuzz(program: list[str], name: str, seconds: int, seed: int = 1) -> Run:
    """Run libFuzzer from the seeds of a target."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory, "corpus").mkdir()
        Path(directory, "words").write_text(dictionary(), encoding="utf-8")
        began = time.monotonic()
        process = subprocess.Popen(
            [
                *(sys.executable, *program),
                *("-print_final_stats=1", f"-max_total_time={seconds}", "-dict=words", f"-seed={seed}"),
                *(f"-max_len={TARGETS[name].max_len}", "corpus", str(SEEDS / name)),
            ],
            cwd=directory,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        with process, limited(process):
            assert process.stderr is not None  # noqa: S101 - it is a pipe
            at_first, at_last, ended, line = (0, 0.0), 0.0, None, ""
            for line in process.stderr:
                if begun := _BEGUN.match(line):
                    at_first = int(begun[1]), processor_time(process.pid)
                if line.startswith(_DONE):
                    at_last = processor_time(process.pid)
                ended = _ENDED.match(line) or ended
        took = time.monotonic() - began
    if process.returncode or ended is None:
        raise SystemExit(f"bench: {name}: {line.strip()} (exit status {process.returncode})")
    execs, spent = int(ended[1]) - at_first[0], at_last - at_first[1]
    return Run(int(ended[1]), took, execs / spent)


@contextmanager
def limited(process: subprocess.Popen[str]) -> Iterator[None]:
    """End a process, with all of its group, that does not end in time."""
    timer = threading.Timer(_PATIENCE, os.killpg, (process.pid, signal.SIGKILL))
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def processor_time(process: int) -> float:
    """Seconds of processor time that a process has used."""
    fields = Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def module(name: str) -> list[str]:
    """What runs a target."""
    return ["-m", TARGETS[name].module]


def rate(program: list[str], name: str, seconds: int) -> float:
    """The median of what several runs come to."""
    return median(fuzz(program, name, seconds, seed).rate for seed in _RANDOM)


def rates(seconds: int) -> list[Row]:
    """Inputs a second of the limits, and of each target beside the empty one."""
    limits = {
        what: rate(["-c", EMPTY.format(body=body, mutates=mutates)], "header", seconds)
        for what, (body, mutates) in LIMITS.items()
    }
    empty = next(iter(limits.values()))
    rows = [_row(what, each, empty, None) for what, each in limits.items()]
    for name in TARGETS:
        each = rate(module(name), name, seconds)
        rows.append(_row(name, each, empty, AIMS.get(name)))
        if name == "header":
            rows += [_share(what, each, limits[what]) for what in ("an empty target", MUTATED)]
    return rows


def _share(what: str, ours: float, theirs: float) -> Row:
    """What header does of the rate of one that does nothing."""
    share = ours / theirs
    aim, reached = f"at least {HEADER_SHARE}", share >= HEADER_SHARE
    return Row(f"header beside {what}", f"{ours:,.0f}/s", f"{theirs:,.0f}/s", f"{share:.3f}", aim, reached)


def _row(what: str, ours: float, empty: float, aim: int | None) -> Row:
    words = f"at least {aim:,}/s" if aim else "-"
    reached = ours >= aim if aim else None
    return Row(what, f"{ours:,.0f}/s", f"{empty:,.0f}/s", f"{ours / empty:.4f}", words, reached)


def by_the_clock(name: str, seconds: int) -> float:
    """Inputs that libFuzzer alone runs in a second, from start to end."""
    run = fuzz(module(name), name, seconds)
    return run.execs / run.took


def overhead(name: str, seconds: int) -> Row:
    """A campaign of one target and worker beside libFuzzer alone, by the clock.

    Args:
        name: a target that takes any two inputs about as long, as the two runs come to others.
        seconds: how long each runs.
    """
    alone = by_the_clock(name, seconds)
    with tempfile.TemporaryDirectory() as directory:
        began = time.monotonic()
        subprocess.run(
            [
                *(sys.executable, "-m", "addcow_fuzz.cli", "campaign", f"{directory}/found"),
                *("--target", name, "--seeds", str(SEEDS), "--jobs", "1", "--seed", "1", "--quiet"),
                *("--minutes", f"{seconds / 60:.3f}", "--slice", str(seconds)),
            ],
            stdout=subprocess.PIPE,
            timeout=_PATIENCE,
            check=True,
        )
        took = time.monotonic() - began
        state = json.loads(Path(directory, "found", "state.json").read_text(encoding="utf-8"))
    ours = state["targets"][name]["execs"] / took
    lost = 100 * (1 - ours / alone)
    aim, reached = f"less than {MOST_OVERHEAD} % lost", lost < MOST_OVERHEAD
    what = f"{name} in a campaign, beside libFuzzer alone"
    return Row(what, f"{ours:,.0f}/s", f"{alone:,.0f}/s", f"{lost:.1f} % lost", aim, reached)


def processes(ours: float, seconds: float) -> list[Row]:
    """Checks of an image, each in a process of its own, beside the rate of ``image``; by the clock."""
    rows = []
    with tempfile.TemporaryDirectory() as directory:
        raw, image, qcow2 = (os.path.join(directory, name) for name in ("raw", "image", "qcow2"))
        Path(raw).write_bytes(bytes(65536))
        create_image(image, "raw")
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", qcow2, "64K"], check=True)
        commands = {
            "addcow-check, a process an image": [sys.executable, "-m", "addcow_conformance.cli_check", image],
            "qemu-img check, a process an image": ["qemu-img", "check", "-q", qcow2],
        }
        for what, command in commands.items():
            runs, began = 0, time.monotonic()
            while time.monotonic() - began < seconds:
                subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
                runs += 1
            peer = runs / (time.monotonic() - began)
            rows.append(
                Row(
                    f"image, beside {what}",
                    f"{ours:,.0f}/s",
                    f"{peer:,.0f}/s",
                    f"{ours / peer:,.0f}",
                    "-",
                    None,
                )
            )
    return rows


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="try it: figures that mean little")
    parser.add_argument("--save", type=Path, metavar="FILE", help="put the table into FILE too")
    arguments = parser.parse_args()
    seconds, longer = (1, 3) if arguments.quick else (5, 30)
    rows = [*rates(seconds), overhead("header", longer), *processes(by_the_clock("image", seconds), seconds)]
    text = (
        f"# {TITLE}\n\n"
        f"Made by `make bench`: inputs in a second of processor time, over {seconds} seconds from the seeds "
        f"and with each target's own mutators, medians of {len(_RANDOM)} runs. The peer of a target is one "
        f"that compares a length. A campaign and processes go by the clock.\n{machine()}.\n\n"
        f"{table(rows, 'ours', 'peer')}\n"
    )
    print(text)
    if arguments.save:
        save(arguments.save, text)


if __name__ == "__main__":
    main()
