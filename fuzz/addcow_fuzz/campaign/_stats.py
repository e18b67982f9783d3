"""What is kept of a target: counters, and AFL's two files, which AFL's own tools read."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from addcow_fuzz.campaign._model import summed

if TYPE_CHECKING:
    from addcow_fuzz.campaign._model import Result

__all__ = ["Point", "Tally", "fuzzer_stats", "plot_data"]

_COLUMNS = (
    "relative_time, cycles_done, cur_item, corpus_count, pending_total, pending_favs, map_size, "
    "saved_crashes, saved_hangs, max_depth, execs_per_sec, total_execs, edges_found"
)


# They are written down whole each time, and a thousand workers end as many slices in a minute.
_POINTS = 1024


class Point(NamedTuple):
    """How far a target was after a slice.

    Attributes:
        seconds: how long it had run by then.
        execs: inputs that were run.
        edges: edges reached.
        corpus: inputs in the corpus.
        found: findings of it.
        rate: executions a second in the last slice.
        slices: how many there had been by then.
    """

    seconds: float
    execs: int
    edges: int
    corpus: int
    found: int
    rate: float
    slices: int = 0


@dataclass
class Tally:
    """The counters of a target over all its slices.

    Attributes:
        seconds: how long it has run.
        execs: inputs that were run.
        edges: edges reached.
        features: the same in libFuzzer's finer measure.
        slices: how many there were.
        corpus: inputs in the corpus.
        found: findings of it, each once.
        started: when the first slice ended, in seconds since 1970; 0 before that.
        updated: when the last slice ended.
        grew: when an input was last added.
        points: how far it was after each slice; of many, more of the later ones.
        reached: states of the models, each with how often programs came to it.
    """

    seconds: float = 0.0
    execs: int = 0
    edges: int = 0
    features: int = 0
    slices: int = 0
    corpus: int = 0
    found: int = 0
    started: float = 0.0
    updated: float = 0.0
    grew: float = 0.0
    points: list[Point] = field(default_factory=list)
    reached: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, kept: dict[str, Any]) -> Tally:
        """The tally that `as_json` was made of.

        Raises:
            TypeError: it is none.
        """
        return cls(**{**kept, "points": [Point(*point) for point in kept["points"]]})

    def as_json(self) -> dict[str, Any]:
        """All of it, as JSON has it."""
        return asdict(self) | {"points": [list(point) for point in self.points]}

    @property
    def rate(self) -> float:
        """Executions a second in the last slice; 0 before the first one."""
        return self.points[-1].rate if self.points else 0.0

    def add(self, result: Result, *, added: int, found: int, corpus: int, now: float) -> None:
        """Take a slice in.

        Args:
            result: what it gave.
            added: inputs that were not in the corpus.
            found: findings that were not in the folder.
            corpus: inputs in the corpus now.
            now: the time, in seconds since 1970.
        """
        counters = result.counters
        self.seconds += counters.seconds
        self.execs += counters.execs
        self.edges = max(self.edges, counters.edges)
        self.features = max(self.features, counters.features)
        self.slices += 1
        self.reached = summed(self.reached, counters.reached)
        self.found += found
        self.corpus = corpus
        self.started = self.started or now - counters.seconds
        self.updated = now
        self.grew = now if added else self.grew
        rate = counters.execs / counters.seconds if counters.seconds else 0.0
        seconds = round(self.seconds, 1)
        self.points.append(
            Point(seconds, self.execs, self.edges, corpus, self.found, round(rate, 1), self.slices)
        )
        if len(self.points) > _POINTS:
            every = 1 << (2 * self.slices // _POINTS).bit_length()
            self.points = [point for point in self.points if not point.slices % every]


def fuzzer_stats(name: str, tally: Tally) -> str:
    """AFL's ``fuzzer_stats`` of a target."""
    average = tally.execs / tally.seconds if tally.seconds else 0.0
    values = {
        "start_time": int(tally.started),
        "last_update": int(tally.updated),
        "run_time": int(tally.seconds),
        "fuzzer_pid": 0,
        "cycles_done": tally.slices,
        "execs_done": tally.execs,
        "execs_per_sec": f"{average:.2f}",
        "execs_ps_last_min": f"{tally.rate:.2f}",
        "corpus_count": tally.corpus,
        "last_find": int(tally.grew),
        "saved_crashes": tally.found,
        "saved_hangs": 0,
        "edges_found": tally.edges,
        "afl_banner": name,
        "afl_version": "libFuzzer",
        "target_mode": "atheris",
    }
    return "".join(f"{key:<18}: {value}\n" for key, value in values.items())


def plot_data(tally: Tally) -> str:
    """AFL's ``plot_data`` of a target: a line for each point."""
    lines = [f"# {_COLUMNS}"]
    for point in tally.points:
        values = (int(point.seconds), point.slices, 0, point.corpus, 0, 0, point.edges, point.found, 0, 0)
        lines.append(", ".join(map(str, (*values, f"{point.rate:.2f}", point.execs, point.edges))))
    return "\n".join((*lines, ""))
