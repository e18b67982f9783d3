"""A campaign: slices over all targets, whose results are gathered in a folder from which it can go on.

A slice shares nothing with the campaign but the folder's path, or the URL of a pool. What it has found is in
its own directory there until the campaign has taken it in, so that neither the death of a worker nor that of
the campaign loses anything: the slice is run again in the same directory, or the next campaign takes in what
is left there. Taking in a second time changes nothing, as inputs and findings are named after what they are.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from concurrent.futures import FIRST_COMPLETED, CancelledError, wait
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple

from addcow_fuzz.campaign._exchange import Exchange, Folder, Pooled
from addcow_fuzz.campaign._model import Slice, SliceFailed
from addcow_fuzz.campaign._registry import Standing, ignored, standing
from addcow_fuzz.campaign._stats import Tally, fuzzer_stats, plot_data
from addcow_fuzz.campaign._store import BadFolder

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from concurrent.futures import Executor, Future

    from addcow_fuzz.campaign._model import Found, Result, Subject
    from addcow_fuzz.campaign._registry import Entry
    from addcow_fuzz.campaign._store import Store

__all__ = ["Campaign", "Plan", "Row", "restored"]

# Times that a slice is given to a worker, and that a target may fail one after the other.
_TRIES, _FAILURES = 5, 3
_LOOK = 0.5
# Seconds that slices have to end in: when their time is over, and when they are told to.
_OVERTIME, _STOPPING = 180.0, 20.0
_SEEDS = (1 << 32) - 1


@dataclass(frozen=True)
class Plan:
    """What a campaign does.

    Attributes:
        subjects: the targets.
        seconds: how long.
        workers: slices at a time.
        length: seconds of a slice, 1 or more.
        registry: findings that are known, by their tokens.
        seeds: a directory with a directory of inputs for each target; empty for none.
        pool: URL of a pool of objects, by which slices and campaign exchange what they have; empty where all
            workers reach the campaign's folder.
        dictionary: words for libFuzzer's ``-dict``, empty for none.
        seed: of the seeds of the slices.
        timeout: seconds that an input may take.
        memory: MiB that a target may have.
        minimize: seconds to spend on making an input smaller.
    """

    subjects: tuple[Subject, ...]
    seconds: float
    workers: int = 1
    length: int = 60
    registry: Mapping[str, Entry] = field(default_factory=dict)
    seeds: str = ""
    pool: str = ""
    dictionary: str = ""
    seed: int = 1
    timeout: int = 10
    memory: int = 2048
    minimize: float = 20.0


class Row(NamedTuple):
    """A line of the live view: a target, and what is done about it at the moment.

    Attributes:
        name: the target's.
        workers: slices of it that are running.
        rate: executions a second.
        execs: inputs that were run.
        edges: edges reached.
        corpus: inputs in the corpus.
        grew: when an input was last added, in seconds since 1970; 0 for never.
        new: findings that the registry does not know, and those that are back.
        known: the others.
    """

    name: str
    workers: int
    rate: float
    execs: int
    edges: int
    corpus: int
    grew: float
    new: int
    known: int


class Campaign:
    """A campaign in a folder, which has to be locked.

    Args:
        store: the folder.
        plan: what to do.
        heard: given each new finding and how it stands to the registry, once.
        failed: given a line for each slice that fails, and for each target that is given up for it.

    Attributes:
        failures: why targets were given up, in lines.
        strange: paths in the pool that were passed over, as no campaign can have written them.

    Raises:
        BadFolder: the folder is no campaign's, or the pool cannot be used.
        OSError: it cannot be read or written.
    """

    def __init__(
        self,
        store: Store,
        plan: Plan,
        heard: Callable[[Found, Standing], None],
        failed: Callable[[str], None] = lambda _line: None,
    ) -> None:
        self.failures: list[str] = []
        self._told = failed
        self._store = store
        self._plan = plan
        self._heard = heard
        self._random = Random(plan.seed)  # noqa: S311 - to be repeated, not to be secret
        self._subjects = {subject.name: subject for subject in plan.subjects}
        self._exchange: Exchange = (
            Pooled(store, plan.pool, plan.seeds) if plan.pool else Folder(store, plan.seeds)
        )
        self.strange = self._exchange.strange
        self._flying: dict[Future[Any], Slice] = {}
        self._tries: Counter[str] = Counter()
        self._failed: Counter[str] = Counter()
        self._given: Counter[str] = Counter()
        self._unkept: set[str] = set()
        self._slices, self._tallies = restored(store)
        for subject in plan.subjects:
            self._tallies.setdefault(subject.name, Tally())
        self._tokens = {told["token"]: told["target"] for told in store.findings()}
        self._end = 0.0

    def run(self, executor: Executor, look: Callable[[list[Row]], None]) -> None:
        """Go on until the time is over.

        Args:
            executor: runs the slices. Workers of it may come and go.
            look: called at least once in a second with how it goes on.

        Raises:
            BadFolder: the pool cannot be reached, from here or from a worker.
            OSError: a file cannot be read or written.
        """
        self._exchange.begin(self._plan.subjects)
        self._take_in_what_is_left()
        self._end = time.monotonic() + self._plan.seconds
        try:
            while self._fill(executor) or (self._flying and time.monotonic() < self._end + _OVERTIME):
                look(self.rows())
                self._gather(executor)
        finally:
            self._wind_up(executor)
            look(self.rows())

    def _take_in_what_is_left(self) -> None:
        for name in self._exchange.left():
            subject = self._subjects.get(name.partition("-")[2])
            if subject is None:  # of a target that is left out this time
                continue
            order = self._order(subject, 1, name)
            self._take_in(order, self._exchange.collected(order))
        self._keep()

    def _order(self, subject: Subject, seconds: int, name: str) -> Slice:
        return Slice(
            subject=subject,
            seconds=seconds,
            seed=self._random.randint(1, _SEEDS),
            known=ignored(self._plan.registry.values()) | self._tokens.keys(),
            **self._exchange.places(subject.name, name),
            dictionary=self._plan.dictionary,
            timeout=self._plan.timeout,
            memory=self._plan.memory,
            minimize=self._plan.minimize,
        )

    def _fill(self, executor: Executor) -> bool:
        """Give slices to idle workers; whether there is time, and a target, for more."""
        going = [subject for subject in self._plan.subjects if self._failed[subject.name] < _FAILURES]
        while going and (left := int(self._end - time.monotonic())) >= 1:
            if len(self._flying) >= self._plan.workers:
                return True
            subject = min(going, key=lambda subject: self._given[subject.name])
            seconds = min(left, self._plan.length)
            self._given[subject.name] += seconds
            self._slices += 1
            name = f"{self._slices:06}-{subject.name}"
            self._submit(executor, self._order(subject, seconds, name))
        return False

    def _submit(self, executor: Executor, order: Slice) -> None:
        self._tries[order.work] += 1
        self._flying[self._exchange.submit(executor, order)] = order

    def _gather(self, executor: Executor, seconds: float = _LOOK) -> None:
        done, _ = wait(self._flying, timeout=seconds, return_when=FIRST_COMPLETED)
        for future in done:
            order = self._flying[future]
            try:
                result = self._exchange.result(order, future.result())
            except (Exception, CancelledError) as error:  # noqa: BLE001 - an executor has errors of its own
                del self._flying[future]
                self._again(executor, order, error)
            else:
                self._take_in(order, result, future)
        self._keep()

    def _again(self, executor: Executor, order: Slice, error: BaseException) -> None:
        """Run a slice again whose worker died; one that has failed by itself counts against its target."""
        if self._exchange.over:
            return
        if not isinstance(error, SliceFailed) and self._tries[order.work] < _TRIES:
            self._submit(executor, order)
            return
        if isinstance(error, BadFolder):
            raise error
        name = order.subject.name
        self._failed[name] += 1
        kind = "" if isinstance(error, SliceFailed) else f"{type(error).__name__}: "
        self._told(f"a slice failed: {kind}{error}")
        if self._failed[name] == _FAILURES:
            self._fail(f"{name}: given up, as {_FAILURES} slices have failed one after the other")

    def _fail(self, line: str) -> None:
        self.failures.append(line)
        self._told(line)

    def _take_in(self, order: Slice, result: Result, future: Future[Result] | None = None) -> None:
        """Put what a slice gave into the folder. Whatever ends this halfway, it can be done again."""
        name = order.subject.name
        added = self._store.add_inputs(name, result.inputs)
        found = [each for each in result.found if self._store.add_finding(each)]
        for each in result.found:
            self._store.drop_input(name, each.original)
        if future is not None:
            del self._flying[future]
        self._tokens |= {each.token: each.target for each in result.found}
        self._failed[name] = 0
        self._tallies[name].add(
            result,
            added=added,
            found=len(found),
            corpus=len(os.listdir(self._store.corpus(name))),
            now=time.time(),
        )
        self._unkept.add(name)
        for each in found:
            self._heard(each, standing(each.token, self._plan.registry))
        self._exchange.taken(order, result)

    def _keep(self) -> None:
        """Write the counters down: once for all slices that have ended together, as there may be many."""
        if not self._unkept:
            return
        for name in sorted(self._unkept):
            tally = self._tallies[name]
            home = self._store.at("stats", name)
            os.makedirs(home, exist_ok=True)
            for file, text in (("fuzzer_stats", fuzzer_stats(name, tally)), ("plot_data", plot_data(tally))):
                self._store.write(os.path.join(home, file), text.encode(), sync=False)
        self._unkept.clear()
        targets = {name: tally.as_json() for name, tally in self._tallies.items()}
        self._store.keep_state({"format": 1, "slices": self._slices, "targets": targets})

    def _wind_up(self, executor: Executor) -> None:
        """Tell slices that run on to end, and take in what they have."""
        self._keep()
        self._exchange.end()
        until = time.monotonic() + _STOPPING
        # One that has not begun ends at once; a cluster does not say which ones these are.
        while self._flying and time.monotonic() < until:
            self._gather(executor)
        for future in self._flying:
            future.cancel()
        for order in self._flying.values():
            self._fail(f"{order.subject.name}: a slice did not end")

    def rows(self) -> list[Row]:
        """How it goes on, a row for each target."""
        running = [(order.subject.name, self._exchange.status(order)) for order in self._flying.values()]
        news = {token for token in self._tokens if standing(token, self._plan.registry).is_news}
        rows = []
        for name in self._subjects:
            tally = self._tallies[name]
            # One that does not say is taken to be as fast as the last one was.
            silent = {"execs": 0, "edges": 0, "corpus": 0, "rate": tally.rate}
            at_work = [status or silent for target, status in running if target == name]
            tokens = [token for token, target in self._tokens.items() if target == name]
            new = len(news.intersection(tokens))
            rows.append(
                Row(
                    name=name,
                    workers=len(at_work),
                    rate=sum(status["rate"] for status in at_work),
                    execs=tally.execs + sum(int(status["execs"]) for status in at_work),
                    edges=max(tally.edges, *(int(status["edges"]) for status in at_work), 0),
                    corpus=max(tally.corpus, *(int(status["corpus"]) for status in at_work), 0),
                    grew=tally.grew,
                    new=new,
                    known=len(tokens) - new,
                )
            )
        return rows


def restored(store: Store) -> tuple[int, dict[str, Tally]]:
    """How many slices there were, and the tallies."""
    state = store.state()
    try:
        tallies = {name: Tally.of(kept) for name, kept in state.get("targets", {}).items()}
        return int(state.get("slices", 0)), tallies
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise BadFolder(f"{store}: state.json is not what a campaign has written") from error
