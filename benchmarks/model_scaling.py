"""What a campaign by way of a pool costs with many workers: the tables of fuzz/SCALING.md, from measurements.

    model_scaling.py                      prints the tables
    model_scaling.py --save FILE          puts them into FILE, between its marks
    model_scaling.py --campaign DIR       prints how corpora grow, from the folder of a campaign

The chapter says what the model assumes.
"""

from __future__ import annotations

import argparse
import math
import re
from pathlib import Path
from statistics import mean
from typing import NamedTuple

MARKS = ("<!-- made by benchmarks/model_scaling.py -->\n", "<!-- end -->")
WORKERS = (1, 10, 100, 1_000)
# Minutes since the beginning, and what they are called.
TIMES = ((10, "10 minutes"), (480, "8 hours"))
LENGTH = 60
# Seconds that who coordinates is busy in a second, when slices should be longer.
BUSY = 0.5
# Requests a second that a store takes, as S3 does for a prefix.
REQUESTS = 5_500
# Seconds of a slice that is still one.
LONGEST = 3_600
COLUMNS = (
    "workers",
    "new inputs a slice",
    "corpus of a target",
    "read for a slice",
    "pool",
    "requests",
    "merge of a slice",
    "coordinator busy",
    f"`--slice` for {BUSY:.0%}",
)


class Growth(NamedTuple):
    """How the corpus of a target grows: `first` inputs after a second, times the seconds to the `power`."""

    first: float
    power: float

    def corpus(self, seconds: float) -> float:
        """Inputs after so many seconds of fuzzing it."""
        return self.first * seconds**self.power

    def rate(self, seconds: float) -> float:
        """Inputs that come in the second after these."""
        return self.power * self.corpus(seconds) / seconds


class Costs(NamedTuple):
    """What was measured.

    Attributes:
        growth: of the mean target, on one worker.
        targets: how many there are.
        size: bytes of an input.
        line: bytes of an object in a listing of S3.
        slice: seconds that a slice costs who coordinates.
        input: seconds that a new input costs.
        trips: requests of a slice that wait for one another.
        latency: seconds that a request to the store takes; assumed.
        looks: seconds between two looks of a worker at the campaign.
    """

    growth: Growth
    targets: int
    size: int
    line: int
    slice: float
    input: float
    trips: int
    latency: float
    looks: float


# As the chapter says where they come from.
MEASURED = Costs(
    growth=Growth(81.8, 0.221),
    targets=11,
    size=2_139,
    line=285,
    slice=0.0024,
    input=0.0005,
    trips=5,
    latency=0.030,
    looks=2.0,
)


# New inputs of the mean target in its first slices, of so many seconds each.
SEEN, SLICE = (177.5, 32.5, 22.9, 17.5, 11.1, 10.9, 7.9, 3.6, 2.9, 3.5), 75


class Load(NamedTuple):
    """What comes of so many workers.

    Attributes:
        new: new inputs of a slice.
        corpus: inputs in the corpus of a target.
        read: bytes that a worker reads from the pool for a slice.
        traffic: bytes a second between the pool and all others.
        requests: requests a second to the pool.
        merge: seconds that who coordinates is busy with a slice.
        busy: and with all of them, in a second.
        length: seconds of a slice for which that is at most `BUSY`; None where no length helps.
    """

    new: float
    corpus: float
    read: float
    traffic: float
    requests: float
    merge: float
    busy: float
    length: int | None


def load(costs: Costs, workers: int, minutes: float, length: int = LENGTH) -> Load:
    """The load of so many workers, so many minutes after the beginning, with slices of so many seconds."""
    # Slices of one target at a time, which do not see what the others find: each finds what it would alone.
    beside = max(workers / costs.targets, 1)
    alone = workers * minutes * 60 / costs.targets / beside
    fresh = costs.growth.rate(alone)
    new, corpus = fresh * length, beside * costs.growth.corpus(alone)
    ended = workers / length
    # Before a worker comes to a target again, as many slices of it have ended as there are workers.
    fetched = min(workers * new, corpus)
    read = fetched * costs.size + corpus * costs.line
    asked = 2 + length / costs.looks + math.ceil(corpus / 1000) + 3 + 2 * fetched + new
    fixed, each = costs.slice + costs.trips * costs.latency, costs.input
    left = BUSY - workers * fresh * each
    wanted = math.ceil(workers * fixed / left) if left > 0 else None
    return Load(
        new=new,
        corpus=corpus,
        read=read,
        traffic=ended * (read + 3 * new * costs.size),
        requests=ended * (asked + 4 * new + 3),
        merge=fixed + new * each,
        busy=ended * (fixed + new * each),
        length=wanted if wanted is None or wanted <= LONGEST else None,
    )


def most(costs: Costs, minutes: float) -> tuple[int, int]:
    """How many workers keep the coordinator at `BUSY`, and the pool at `REQUESTS`."""
    loads = {workers: load(costs, workers, minutes) for workers in range(1, WORKERS[-1] + 1)}
    return (
        max(workers for workers, told in loads.items() if told.busy <= BUSY),
        max(workers for workers, told in loads.items() if told.requests <= REQUESTS),
    )


def constants(costs: Costs) -> str:
    """What the model stands on, as Markdown."""
    first, power = costs.growth
    rows = (
        ("corpus of a target after s seconds of fuzzing it", f"{first:.1f} s^{power:.3f} inputs"),
        ("an input", f"{costs.size:,} bytes"),
        ("an object in a listing", f"{costs.line} bytes"),
        ("the coordinator, for a slice", f"{1000 * costs.slice:.0f} ms"),
        ("the coordinator, for a new input", f"{1000 * costs.input:.1f} ms"),
        ("the same, waiting for the store", f"{costs.trips} requests of {1000 * costs.latency:.0f} ms"),
        ("a worker looks at the campaign", f"every {costs.looks:.0f} s"),
        ("targets", f"{costs.targets}"),
    )
    return "\n".join(("| what | |", "|---|---|", *(f"| {what} | {value} |" for what, value in rows)))


def decay(costs: Costs) -> str:
    """What slices brought, beside what the model says, as Markdown."""
    shown = (1, 2, 3, 5, 7, 10)
    corpora = [0.0, *(costs.growth.corpus(SLICE * number) for number in range(1, shown[-1] + 1))]
    rows = (
        ("slice", *(str(number) for number in shown)),
        ("---",) * (1 + len(shown)),
        ("new inputs, measured", *(f"{SEEN[number - 1]:.1f}" for number in shown)),
        ("new inputs, model", *(f"{corpora[number] - corpora[number - 1]:.1f}" for number in shown)),
    )
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def tables(costs: Costs = MEASURED) -> str:
    """The tables, as Markdown."""
    parts = [constants(costs), decay(costs)]
    for minutes, name in TIMES:
        lines = [
            f"After {name}, with `--slice {LENGTH}`:",
            "",
            f"| {' | '.join(COLUMNS)} |",
            f"|{'---|' * len(COLUMNS)}",
        ]
        for workers in WORKERS:
            told = load(costs, workers, minutes)
            cells = (
                f"{workers:,}",
                f"{told.new:.1f}",
                f"{told.corpus:,.0f}",
                f"{told.read / 1e6:,.2f} MB",
                f"{told.traffic / 1e6:,.2f} MB/s",
                f"{told.requests:,.0f}/s",
                f"{1000 * told.merge:,.0f} ms",
                f"{told.busy:.0%}",
                "none" if told.length is None else f"{told.length:,}",
            )
            lines.append(f"| {' | '.join(cells)} |")
        coordinator, pool = most(costs, minutes)
        lines += [
            "",
            f"The coordinator is half busy with {coordinator:,} workers, and a store that takes {REQUESTS:,}",
            f"requests a second has enough with {pool:,}.",
        ]
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def save(path: Path, text: str) -> None:
    """Put a text between the marks of a file.

    Raises:
        ValueError: it has not both of them.
    """
    start, end = MARKS
    before, _, rest = path.read_text("utf-8").partition(start)
    _, found, after = rest.partition(end)
    if not found:
        raise ValueError(f"{path.name}: no marks")
    path.write_text(f"{before}{start}\n{text}\n{end}{after}", "utf-8")


def growth(curves: list[list[tuple[float, float]]]) -> Growth:
    """How corpora grow: one power for all, by least squares on logarithms, and the mean of the last points.

    Args:
        curves: for each target, the seconds and the inputs after each slice; two slices at least.
    """
    above = below = 0.0
    for points in curves:
        x, y = ([math.log(value) for value in values] for values in zip(*points, strict=True))
        above += sum((a - mean(x)) * (b - mean(y)) for a, b in zip(x, y, strict=True))
        below += sum((a - mean(x)) ** 2 for a in x)
    power = above / below
    return Growth(mean(points[-1][1] / points[-1][0] ** power for points in curves), power)


class Campaign(NamedTuple):
    """What a campaign tells.

    Attributes:
        growth: how its corpora grew.
        size: bytes of the mean input.
        targets: how many that is from; those of one slice alone are left out.
        slices: how many slices of them.
        new: new inputs of each slice, of the mean target of those that had as many as are `SEEN`.
    """

    growth: Growth
    size: int
    targets: int
    slices: int
    new: list[float]


def read(campaign: Path) -> Campaign:
    """What the folder of a campaign tells."""
    curves = []
    for path in sorted(campaign.glob("stats/*/plot_data")):
        rows = [re.split(r",\s*", line) for line in path.read_text("ascii").splitlines()[1:]]
        curves.append([(float(row[0]), float(row[3])) for row in rows if float(row[0]) and float(row[3])])
    curves = [points for points in curves if len(points) > 1]
    sizes = [path.stat().st_size for path in campaign.glob("corpus/*/*")]
    long = [[0.0, *(corpus for _, corpus in points)] for points in curves if len(points) >= len(SEEN)]
    new = (
        [mean(each[number] - each[number - 1] for each in long) for number in range(1, len(SEEN) + 1)]
        if long
        else []
    )
    return Campaign(growth(curves), round(mean(sizes)), len(curves), sum(map(len, curves)), new)


def main() -> None:
    """Print, or save, what is asked for."""
    parser = argparse.ArgumentParser(description="The tables of fuzz/SCALING.md.")
    parser.add_argument("--save", type=Path, metavar="FILE", help="put the tables into FILE")
    parser.add_argument("--campaign", type=Path, metavar="DIR", help="print how its corpora grow")
    arguments = parser.parse_args()
    if arguments.campaign:
        told = read(arguments.campaign)
        print(f"{told.growth.first:.1f} * seconds ** {told.growth.power:.3f} inputs, {told.size} bytes each")
        print(f"from {told.slices} slices of {told.targets} targets")
        print("new inputs of the first slices:", " ".join(f"{new:.1f}" for new in told.new))
        return
    print(tables())
    if arguments.save:
        save(arguments.save, tables())


if __name__ == "__main__":
    main()
