"""What a run of the suite found: an outcome for each case, and what was expected of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

__all__ = ["BAD", "About", "CaseResult", "Difference", "Expectation", "Outcome", "Run"]


class Outcome(StrEnum):
    """What became of a case.

    ``error`` is a fault of the adapter, or of the suite; ``unsupported`` says that the target has no such
    thing, and ``skip`` that it was left out: the user wanted so, or the case does not arise.
    """

    PASS = "pass"  # noqa: S105 - no password
    FAIL = "fail"
    CRASH = "crash"
    TIMEOUT = "timeout"
    ERROR = "error"
    SKIP = "skip"
    UNSUPPORTED = "unsupported"


# Outcomes that are a deviation where nothing else is expected.
BAD = frozenset({Outcome.FAIL, Outcome.CRASH, Outcome.TIMEOUT, Outcome.ERROR})
# Outcomes that say nothing of the target.
_NOT_TRIED = frozenset({Outcome.SKIP, Outcome.UNSUPPORTED})


class About(NamedTuple):
    """What a target says of itself; every text is somebody's, made fit to be shown.

    Attributes:
        name: what it is called.
        version: its version, may be empty as all that follow.
        language: the language that it is written in.
        homepage: where to read of it.
        issues: where to tell of faults.
        revisions: the revisions of the format that it has.
        capabilities: what it can do, as words of the protocol.
    """

    name: str
    version: str = ""
    language: str = ""
    homepage: str = ""
    issues: str = ""
    revisions: tuple[str, ...] = ()
    capabilities: tuple[str, ...] = ()


class Difference(NamedTuple):
    """Bytes that differ.

    Attributes:
        offset: the first of them, on the disk or in the file that the detail names.
        expected: what should be there from there on; at most some dozens of bytes.
        seen: what is.
    """

    offset: int
    expected: bytes
    seen: bytes


class Expectation(NamedTuple):
    """An entry of an expectation file: a deviation that is known.

    Attributes:
        case: a case, or a glob.
        outcome: what is expected.
        reason: why it is so.
        issue: where it is told of, may be empty.
        when: the conditions that it holds under, by name.
    """

    case: str
    outcome: Outcome
    reason: str
    issue: str = ""
    when: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class CaseResult:
    """What became of one case; every text is fit to be shown.

    Attributes:
        case: its id: the rule that it is about, the revision, and a slug.
        title: what is tried, in a line.
        outcome: what became of it.
        seconds: how long it took.
        broken: the rule that is broken; that of the case, as a rule. Empty where none is.
        detail: what was expected and what was seen.
        difference: the bytes that differ, None where no bytes do.
        said: the last lines of the target's standard error.
        script: a POSIX shell script that does again what was done, empty where there is none.
        program: the program of operations that was run, as its JSON; None where there is none.
        known: the expectation that names this case, None without one.
    """

    case: str
    title: str
    outcome: Outcome
    seconds: float = 0.0
    broken: str = ""
    detail: str = ""
    difference: Difference | None = None
    said: tuple[str, ...] = ()
    script: str = ""
    program: dict[str, Any] | None = None
    known: Expectation | None = None

    @property
    def rule(self) -> str:
        """The rule that the case is about."""
        return self.case.partition("/")[0]

    @property
    def revision(self) -> str:
        """The revision that it was tried on."""
        return self.case.split("/")[1]

    @property
    def deviates(self) -> bool:
        """Whether it is not as expected; a known failure that passes is not, either."""
        if self.outcome in _NOT_TRIED:
            return False
        return self.outcome is not self.known.outcome if self.known else self.outcome in BAD


@dataclass(frozen=True, slots=True)
class Run:
    """A run of the suite.

    Attributes:
        target: the target's name, as it was given.
        about: what it says of itself.
        profile: the profile that it was judged by.
        revisions: the revisions that it was tried on.
        seed: of what was drawn by chance.
        started: when, in ISO 8601 and UTC.
        seconds: how long it took.
        results: what became of each case, in the order of the cases.
        choices: of each point that the specification leaves open, what the target was seen to do.
        unmatched: expectations that no case of the run matches.
    """

    target: str
    about: About
    profile: str
    revisions: tuple[str, ...]
    seed: int
    started: str
    seconds: float
    results: tuple[CaseResult, ...]
    choices: dict[str, str] = field(default_factory=dict)
    unmatched: tuple[Expectation, ...] = ()

    @property
    def counts(self) -> Counter[Outcome]:
        """How many cases had each outcome."""
        return Counter(result.outcome for result in self.results)

    @property
    def deviations(self) -> tuple[CaseResult, ...]:
        """The cases that are not as expected."""
        return tuple(result for result in self.results if result.deviates)

    @property
    def tried(self) -> int:
        """How many cases were neither left out, nor about what the target says that it has not."""
        return sum(result.outcome not in _NOT_TRIED for result in self.results)

    @property
    def as_expected(self) -> bool:
        """Whether the run is green; one that has tried nothing is not, as it says nothing."""
        return self.tried > 0 and not self.deviations and not self.unmatched
