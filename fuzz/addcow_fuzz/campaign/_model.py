"""What is asked of a slice, and what it gives; all of it can be sent to another machine."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "NOT_REPRODUCED",
    "Counters",
    "Found",
    "Put",
    "Result",
    "Slice",
    "SliceFailed",
    "Subject",
    "digest",
    "summed",
]


# What the token of a finding begins with that did not come again without libFuzzer.
NOT_REPRODUCED = "not-reproduced:"


class SliceFailed(Exception):
    """A target could not be fuzzed: it does not start, or ends in a way that tells of no finding.

    The text is one line.
    """


class Subject(NamedTuple):
    """A target as a campaign sees it.

    Attributes:
        name: its name, which names its folders, too.
        module: the module that has ``check_one``.
        max_len: bytes of the largest input.
    """

    name: str
    module: str
    max_len: int


@dataclass(frozen=True, slots=True)
class Slice:
    """One target, a corpus, and some seconds.

    Attributes:
        subject: the target.
        corpus: directories of inputs to begin with; they are only read.
        seconds: how long, 1 or more.
        seed: of libFuzzer, 1 to 2^32 - 1.
        known: tokens of findings that are passed over.
        work: a directory for what the slice writes, kept; empty for a temporary one.
        stop: a path; the slice ends early once there is something. Empty for none.
        dictionary: words for libFuzzer's ``-dict``, empty for none.
        timeout: seconds that an input may take.
        memory: MiB that the target may have.
        minimize: seconds to spend on making an input smaller.
    """

    subject: Subject
    corpus: tuple[str, ...]
    seconds: int
    seed: int
    known: frozenset[str] = frozenset()
    work: str = ""
    stop: str = ""
    dictionary: str = ""
    timeout: int = 10
    memory: int = 2048
    minimize: float = 20.0


class Counters(NamedTuple):
    """What libFuzzer has counted, and the target itself.

    Attributes:
        execs: inputs that were run.
        edges: edges that all inputs together have reached.
        features: the same in libFuzzer's finer measure.
        seconds: how long the target ran, its start included.
        reached: states of the models, each with how often programs came to it; empty for a target that runs
            no programs.
    """

    execs: int = 0
    edges: int = 0
    features: int = 0
    seconds: float = 0.0
    reached: Mapping[str, int] = {}

    def and_then(self, later: Counters) -> Counters:
        """Those of two runs, one after the other."""
        return Counters(
            self.execs + later.execs,
            max(self.edges, later.edges),
            max(self.features, later.features),
            self.seconds + later.seconds,
            summed(self.reached, later.reached),
        )


@dataclass(frozen=True, slots=True)
class Found:
    """A finding.

    Attributes:
        token: what makes two findings one.
        target: name of the target.
        original: the input, as it was found.
        smallest: the smallest input that comes to the same; the original where none was looked for.
        detail: what was expected and seen, in a line; empty where the input could not be run again.
        operations: what the target says that the input does, as JSON; None where it has no ``explain``.
        log: the last lines that the target wrote.
    """

    token: str
    target: str
    original: bytes
    smallest: bytes
    detail: str = ""
    operations: object = None
    log: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Result:
    """What a slice gives.

    Attributes:
        inputs: those that reach something new.
        found: findings, one for each token.
        counters: libFuzzer's.
    """

    inputs: tuple[bytes, ...] = ()
    found: tuple[Found, ...] = ()
    counters: Counters = field(default_factory=Counters)


@dataclass(frozen=True, slots=True)
class Put:
    """What a slice has put into a pool of objects.

    Attributes:
        inputs: names of those that reach something new.
        found: names of the findings.
        counters: libFuzzer's.
        strange: paths in the pool that were passed over.
    """

    inputs: tuple[str, ...]
    found: tuple[str, ...]
    counters: Counters
    strange: tuple[str, ...] = ()


def summed(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    """The counts of both, zeros included."""
    return {name: one.get(name, 0) + other.get(name, 0) for name in {**one, **other}}


def digest(data: bytes) -> str:
    """The name of an input: its SHA-1, as libFuzzer has it."""
    return hashlib.sha1(data, usedforsecurity=False).hexdigest()
