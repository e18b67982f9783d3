"""A slice: a target is fuzzed for some seconds, past all that it finds.

libFuzzer stops at a finding. It is then started anew for the time that is left, and passes over the tokens
that are known by then; an input that takes too long, or too much memory, cannot be passed over, so that the
number of starts is bounded.
"""

from __future__ import annotations

import json
import os
import time
from contextlib import nullcontext
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from addcow_fuzz._environment import KNOWN, REACHED
from addcow_fuzz.campaign._child import Child
from addcow_fuzz.campaign._judge import ended_token, judge, judged_again, smallest
from addcow_fuzz.campaign._libfuzzer import ENDS, Log, artifacts, inputs
from addcow_fuzz.campaign._model import NOT_REPRODUCED, Counters, Found, Result, SliceFailed
from addcow_fuzz.campaign._program import make_program

if TYPE_CHECKING:
    from collections.abc import Iterator

    from addcow_fuzz.campaign._libfuzzer import Artifact
    from addcow_fuzz.campaign._model import Slice

__all__ = ["STATUS", "collect", "run_slice"]

# The file, in a slice's directory, that tells how it goes on.
STATUS = "status.json"

_STARTS = 20
# Seconds that a target may take beyond its time: to be loaded, and to end after its last words.
_LOADING, _LAST_WORDS = 60.0, 2.0
# Those that a finding has to come again in, where somebody waits for the end.
_LAST_LOOK = 5.0


def run_slice(order: Slice) -> Result:
    """Fuzz a target.

    Args:
        order: what to do. What an earlier try has left in its directory is taken in.

    Raises:
        SliceFailed: the target cannot be fuzzed.
        OSError: a file cannot be read or written.
    """
    with nullcontext(order.work) if order.work else TemporaryDirectory() as work:
        return _Fuzzing(order, os.path.abspath(work)).run()


def collect(order: Slice) -> Result:
    """What a slice that did not come to its end has left in its directory; nothing is fuzzed.

    Raises:
        SliceFailed: the target cannot be run.
        OSError: a file cannot be read.
    """
    fuzzing = _Fuzzing(order, os.path.abspath(order.work))
    fuzzing.take_in()
    return fuzzing.result()


class _Fuzzing:
    def __init__(self, order: Slice, work: str) -> None:
        self._order = order
        self._work = work
        self._new, self._artifacts, self._temporary = (
            os.path.join(work, name) for name in ("new", "artifacts", "temporary")
        )
        self._counts = os.path.join(work, "reached.json")
        self._until = time.monotonic() + order.seconds
        self._counters = Counters()
        self._raw: dict[str, tuple[Artifact, tuple[str, ...]]] = {}
        self._seen: set[Artifact] = set()
        self._began = self._told = 0.0
        for directory in (self._new, self._artifacts, self._temporary):
            os.makedirs(directory, exist_ok=True)

    def run(self) -> Result:
        self.take_in()
        for _ in range(_STARTS):
            if self._stopped() or not self._start() or self._until - time.monotonic() < 1:
                break
        return self.result()

    def result(self) -> Result:
        """What was found, made smaller as long as nobody waits for the end."""
        return Result(tuple(inputs(self._new)), tuple(self._findings()), self._counters)

    def take_in(self) -> None:
        """Take in what an earlier try in this directory has left."""
        for artifact in artifacts(self._artifacts):
            token = ""
            if artifact.kind == "crash":
                token = judge(self._order.subject, artifact.data, 2 * self._order.timeout).token
            self._take(artifact, token, ())

    def _take(self, artifact: Artifact, token: str, log: tuple[str, ...]) -> None:
        self._seen.add(artifact)
        token = token or ended_token(artifact.kind, self._order.subject.name)
        if token not in self._order.known:
            self._raw.setdefault(token, (artifact, log))

    def _stopped(self) -> bool:
        return bool(self._order.stop) and os.path.exists(self._order.stop)

    def _start(self) -> bool:
        """Run libFuzzer once; whether it has stopped at a finding."""
        log = Log()
        self._began = time.monotonic()
        cut = False
        with Child(self._command(), self._environment()) as child:
            until = self._until + self._order.timeout + _LOADING
            for line in child.lines():
                log.take(line)
                now = time.monotonic()
                if line.startswith(ENDS):  # it has been seen to hang in its exit
                    until = min(until, now + _LAST_WORDS)
                self._tell(log, now)
                if now >= until or self._stopped():
                    cut = True
                    break
            status = child.end()
        self._counters = self._counters.and_then(
            log.counters._replace(seconds=time.monotonic() - self._began, reached=self._reached())
        )
        for artifact in artifacts(self._artifacts):
            if artifact not in self._seen:
                self._take(artifact, log.token if artifact.kind == "crash" else "", tuple(log.tail))
        if status and not (cut or log.stopped):
            raise SliceFailed(f"{self._order.subject.name}: {log.last_words(status)}")
        return log.stopped

    def _command(self) -> list[str]:
        order = self._order
        left = max(round(self._until - time.monotonic()), 1)
        options = {
            "max_len": order.subject.max_len,
            "max_total_time": left,
            "seed": order.seed,
            "timeout": order.timeout,
            "rss_limit_mb": order.memory,
            "artifact_prefix": f"{self._artifacts}/",
            "print_final_stats": 1,
            "reload": 0,
            "report_slow_units": order.timeout,
        }
        if order.dictionary:
            options["dict"] = self._write("words.dict", order.dictionary)
        program = make_program(order.subject.module, os.path.join(self._work, f"fuzz_{order.subject.name}"))
        directories = [self._new, *map(os.path.abspath, order.corpus)]
        return [program, *(f"-{name}={value}" for name, value in options.items()), *directories]

    def _environment(self) -> dict[str, str]:
        known = self._write("known", "\n".join(sorted({*self._order.known, *self._raw})))
        # What a target leaves that is killed goes with the slice's directory.
        return {KNOWN: known, REACHED: self._counts, "TMPDIR": self._temporary}

    def _reached(self) -> dict[str, int]:
        """What the target has counted; each count is taken in once."""
        try:
            with open(self._counts, "rb") as file:
                counts: dict[str, int] = json.load(file)
        except FileNotFoundError:
            return {}
        os.unlink(self._counts)
        return counts

    def _write(self, name: str, text: str) -> str:
        path = os.path.join(self._work, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def _tell(self, log: Log, now: float) -> None:
        """Write down, once in a second, how it goes on."""
        if now - self._told < 1:
            return
        self._told = now
        total = self._counters.and_then(log.counters)
        rate = log.counters.execs / max(now - self._began, 1)
        status = {"execs": total.execs, "edges": total.edges, "corpus": log.corpus, "rate": rate}
        os.replace(self._write(f"{STATUS}.part", json.dumps(status)), os.path.join(self._work, STATUS))

    def _findings(self) -> Iterator[Found]:
        subject = self._order.subject
        for told, (artifact, log) in self._raw.items():
            patience = _LAST_LOOK if self._stopped() else 2.0 * self._order.timeout
            judged = judged_again(subject, artifact.data, told, patience)
            token = judged.token  # what it comes to by itself counts
            once = token.startswith(NOT_REPRODUCED)
            if once or artifact.kind != "crash" or self._stopped():
                detail, operations = judged.detail, judged.operations
                yield Found(token, subject.name, artifact.data, artifact.data, detail, operations, log)
                continue
            small = smallest(subject, artifact.data, token, self._order.minimize, self._order.stop)
            judged = judge(subject, small, 2 * self._order.timeout)
            yield Found(token, subject.name, artifact.data, small, judged.detail, judged.operations, log)
