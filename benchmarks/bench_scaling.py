"""What a second worker is worth to a campaign of addcow-fuzz, and what a slice costs who coordinates it.

Run by `make bench`. No test depends on it: the figures are printed, with what was aimed at. What a slice
costs is measured with workers that take no time; `model_scaling.py` has these figures.
"""

from __future__ import annotations

import argparse
import logging
import pickle
import tempfile
import time
from concurrent.futures import Executor, Future
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from distributed import Client, LocalCluster
from results import Row, machine, save, table

from addcow_fuzz.campaign import Campaign, Counters, Plan, Store, Subject
from addcow_fuzz.campaign._model import Put, digest
from addcow_fuzz.dictionary import dictionary
from addcow_fuzz.targets import TARGETS

if TYPE_CHECKING:
    from collections.abc import Callable

    from addcow_fuzz.campaign import Slice

TITLE = "Campaigns on more than one worker"
SEEDS = Path(__file__).parents[1] / "corpora" / "seeds"
# Two that are quick, and two that are not.
NAMES = ("header", "qcow2", "image", "ops")
# A slice brings so many inputs of so many bytes, or none.
INPUTS, BYTES = 50, 700
AIM = 1.8


def subject(name: str) -> Subject:
    """A target."""
    return Subject(name, TARGETS[name].module, TARGETS[name].max_len)


def campaign(plan: Plan, executor: Executor, home: str) -> tuple[Store, float]:
    """Run a campaign; its folder, and how long it took."""
    store = Store(f"{home}/found")
    with store.locked():
        began = time.monotonic()
        Campaign(store, plan, lambda *_: None).run(executor, lambda _: None)
        return store, time.monotonic() - began


def rate(workers: int, seconds: int) -> float:
    """Inputs that a cluster of so many workers runs in a second, all targets together."""
    with (
        tempfile.TemporaryDirectory() as home,
        LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            dashboard_address=None,
            local_directory=home,
            silence_logs=logging.CRITICAL,
        ) as cluster,
        Client(cluster) as client,
    ):
        plan = Plan(
            subjects=tuple(map(subject, NAMES)),
            seconds=seconds,
            workers=workers,
            length=max(seconds // len(NAMES), 1),
            seeds=str(SEEDS),
            pool=f"{home}/pool",
            dictionary=dictionary(),
        )
        store, took = campaign(plan, client.get_executor(pure=False), home)
        return sum(told["execs"] for told in store.state()["targets"].values()) / took


class Idle(Executor):
    """Workers that take no time: a slice is over at once, with so many new inputs that it has put."""

    def __init__(self, inputs: int) -> None:
        self.slices = 0
        self.spent = 0.0
        self.sent = self.answered = 0
        self._inputs = inputs

    def submit(self, _: Callable[..., Any], /, *args: Any, **__: Any) -> Future[Any]:  # noqa: ANN401
        """Put inputs, and answer."""
        began = time.monotonic()
        url, order = args
        answer = self._put(Path(url.removeprefix("file://")), order)
        self.sent, self.answered = len(pickle.dumps((url, order))), len(pickle.dumps(answer))
        done: Future[Put] = Future()
        done.set_result(answer)
        self.spent += time.monotonic() - began
        return done

    def _put(self, pool: Path, order: Slice) -> Put:
        names = []
        new = pool / order.work / "new"
        new.mkdir(parents=True)
        for number in range(self._inputs):
            data = f"{self.slices} {number}".encode().ljust(BYTES)
            names.append(digest(data))
            (new / names[-1]).write_bytes(data)
        self.slices += 1
        return Put(tuple(names), (), Counters(1, 1, 1, 1.0))


def coordinated(inputs: int, seconds: int) -> tuple[float, Idle]:
    """Seconds that a slice costs the process that coordinates, and the workers that it had."""
    with tempfile.TemporaryDirectory() as home:
        idle = Idle(inputs)
        plan = Plan(
            subjects=tuple(map(subject, NAMES)),
            seconds=seconds,
            workers=8,
            length=1,
            pool=f"{home}/pool",
            dictionary=dictionary(),
        )
        _, took = campaign(plan, idle, home)
        return (took - idle.spent) / idle.slices, idle


def rows(rounds: int, seconds: int) -> list[Row]:
    """The lines of the table."""
    one, two = [], []
    for _ in range(rounds):
        one.append(rate(1, seconds))
        two.append(rate(2, seconds))
    ratio = median(second / first for first, second in zip(one, two, strict=True))
    empty, idle = coordinated(0, seconds // 4)
    full, busy = coordinated(INPUTS, seconds // 4)
    each = (full - empty) / INPUTS
    more = (busy.answered - idle.answered) / INPUTS
    return [
        Row(
            "inputs a second: 2 workers, beside 1",
            f"{median(two):,.0f}/s",
            f"{median(one):,.0f}/s",
            f"{ratio:.2f}",
            f"at least {AIM}",
            ratio >= AIM,
        ),
        Row("coordinator: a slice with nothing new", f"{1000 * empty:.2f} ms", "-", "-", "-", None),
        Row("coordinator: a new input", f"{1000 * each:.2f} ms", "-", "-", "-", None),
        Row("scheduler: bytes to a worker for a slice", f"{idle.sent:,}", "-", "-", "-", None),
        Row("scheduler: bytes back for a slice", f"{idle.answered:,}", "-", "-", "-", None),
        Row("scheduler: bytes back for a new input", f"{more:.0f}", "-", "-", "-", None),
    ]


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="try it: figures that mean little")
    parser.add_argument("--save", type=Path, metavar="FILE", help="put the table into FILE too")
    arguments = parser.parse_args()
    rounds, seconds = (1, 8) if arguments.quick else (1, 24)
    text = (
        f"# {TITLE}\n\n"
        f"Made by `make bench`: campaigns of {seconds} s from the seeds on a Dask cluster of this machine, "
        f"over {', '.join(NAMES)} in slices of {seconds // len(NAMES)} s, by way of a pool. Below that, what "
        "a slice costs the process that coordinates, where workers take no time.\n"
        f"{machine()}.\n\n"
        f"{table(rows(rounds, seconds), 'ours', 'peer')}\n"
    )
    print(text)
    if arguments.save:
        save(arguments.save, text)


if __name__ == "__main__":
    main()
