"""libFuzzer with flags that somebody else has chosen, and measured with some of ours."""

from __future__ import annotations

import os
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple

from addcow_fuzz._environment import KNOWN, PLAIN
from addcow_fuzz.campaign._child import Child
from addcow_fuzz.campaign._libfuzzer import Log
from addcow_fuzz.campaign._model import SliceFailed
from addcow_fuzz.campaign._program import make_program

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from addcow_fuzz.campaign._model import Counters, Subject

__all__ = ["Way", "fuzz_by_hand", "measured"]

# Seconds for an input. A busy machine may take long, and what hangs is found by campaigns.
_PATIENCE = 60


class Way(NamedTuple):
    """A way to fuzz that is measured.

    Attributes:
        name: what is new in it.
        seeds: a directory of inputs, empty for none.
        dictionary: words for libFuzzer's ``-dict``, empty for none.
        mutators: whether the target's own mutators are used.
    """

    name: str
    seeds: str = ""
    dictionary: str = ""
    mutators: bool = False


def fuzz_by_hand(subject: Subject, path: str, words: Sequence[str], *, quiet: bool = False) -> int:
    """Run a target; its exit status, below 0 a signal.

    Args:
        subject: the target; ``-max_len`` is its own where the words have none.
        path: where its executable is to be made, in a directory that is temporary.
        words: libFuzzer's flags and directories.
        quiet: whether its output is kept back.
    """
    own = [] if any(word.startswith("-max_len=") for word in words) else [f"-max_len={subject.max_len}"]
    temporary = {"TMPDIR": os.path.dirname(path)}
    with Child([make_program(subject.module, path), *own, *words], temporary, heard=quiet) as child:
        if quiet:
            for _ in child.lines():
                pass
        return child.wait()


def measured(subject: Subject, ways: Sequence[Way], *, runs: int, seed: int) -> Iterator[Counters]:
    """What each way reaches in so many runs.

    Args:
        subject: the target.
        ways: what is measured.
        runs: inputs that are run, 1 or more; those of the seeds count.
        seed: of libFuzzer.

    Raises:
        SliceFailed: the target cannot be run, or stops at a finding.
    """
    for way in ways:
        with TemporaryDirectory() as directory:
            yield _measured(subject, way, runs, seed, directory)


def _measured(subject: Subject, way: Way, runs: int, seed: int, directory: str) -> Counters:
    corpus, words, known = (os.path.join(directory, name) for name in ("corpus", "words", "known"))
    os.mkdir(corpus)
    with open(words, "w", encoding="utf-8") as file:
        file.write(way.dictionary)
    command = [
        make_program(subject.module, os.path.join(directory, f"fuzz_{subject.name}")),
        f"-max_len={subject.max_len}",
        f"-runs={runs}",
        f"-seed={seed}",
        f"-timeout={_PATIENCE}",
        f"-artifact_prefix={directory}/",
        *([f"-dict={words}"] if way.dictionary else []),
        corpus,
        *([os.path.abspath(way.seeds)] if way.seeds else []),
    ]
    environment = {PLAIN: "" if way.mutators else "1", KNOWN: known, "TMPDIR": directory}
    while True:
        log = Log()
        with open(known, "a", encoding="utf-8"), Child(command, environment) as child:
            for line in child.lines():
                log.take(line)
            status = child.end()
        if not status:
            return log.counters
        if not (log.stopped and log.token):
            raise SliceFailed(f"{subject.name}: {log.last_words(status)}")
        with open(known, "a", encoding="utf-8") as file:  # past what is found; each token ends a run once
            file.write(f"{log.token}\n")
