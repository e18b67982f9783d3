"""A case tried on a bench, and what became of it."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, NamedTuple

from addcow_conformance.programs import Endless, Unsupported, Violation, dump_program
from addcow_conformance.results import BAD, CaseResult, Difference, Outcome
from addcow_conformance.suite._script import Script
from addcow_conformance.targets import abilities_of
from addcow_spec.errors import AdapterError, AddCowError, Crashed, TimedOut
from addcow_spec.rules import Level, catalogue
from addcow_spec.text import printable

if TYPE_CHECKING:
    from addcow_conformance.suite._case import Bench, Case
    from addcow_conformance.targets import Target
    from addcow_spec.rules import Profile

__all__ = ["facts_of", "try_case"]

# Characters of what is said of a case; a target may say as much as it likes.
_MOST = 2000
# Who runs such a process hears of an interrupt, and ends it: what is raised in it is the target's.
_A_WORKER = "PYTEST_XDIST_WORKER" in os.environ
# The exit status of a copy of this process that nobody waits for.
_COPY = 70
# What it comes to that a case ends in an exception: the first kind that fits. An exception is a fault of the
# suite or of the target; what is none would end the process.
_KINDS = (
    (Unsupported, Outcome.UNSUPPORTED),
    (Crashed, Outcome.CRASH),
    (TimedOut, Outcome.TIMEOUT),
    (AdapterError, Outcome.ERROR),
    (Endless, Outcome.TIMEOUT),
    (AddCowError, Outcome.FAIL),
    (Exception, Outcome.ERROR),
    (BaseException, Outcome.CRASH),
)


class _Found(NamedTuple):
    """What became of a case; see `CaseResult`."""

    outcome: Outcome
    detail: str = ""
    broken: str = ""
    difference: Difference | None = None
    said: tuple[str, ...] = ()


def try_case(case: Case, bench: Bench) -> CaseResult:
    """Try a case.

    Args:
        case: the case.
        bench: for this case alone.

    Returns:
        What became of it; whatever a target does is one of the outcomes.

    Raises:
        KeyboardInterrupt: somebody wants no more.
    """
    if case.vector is None and not _counts(case.rule, bench.profile):
        return CaseResult(case.id, case.title, Outcome.SKIP, detail=f"{bench.profile} has no such rule")
    start, process = time.monotonic(), os.getpid()
    script = Script(bench)
    found = _Found(Outcome.PASS)
    try:
        _try(case, bench)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt) and not _A_WORKER:
            raise
        found = _judged(case, bench.profile, error)
    finally:
        if os.getpid() != process:  # the target has forked, and the copy comes here too
            os._exit(_COPY)
    bad = found.outcome in BAD
    return CaseResult(
        case=case.id,
        title=case.title,
        outcome=found.outcome,
        seconds=time.monotonic() - start,
        broken=found.broken,
        detail=_line(found.detail),
        difference=found.difference,
        said=found.said,
        script=script.text(case, f"{found.outcome}: {_line(found.detail)}") if bad else "",
        program=json.loads(dump_program(bench.program)) if bad and bench.program else None,
    )


def _counts(rule: str, profile: Profile) -> bool:
    """Whether a profile has a rule; a target may name others, which are none of ours."""
    stated = catalogue().get(rule)
    return stated is None or stated.level[profile] is not Level.ABSENT


def _judged(case: Case, profile: Profile, error: BaseException) -> _Found:
    """What it comes to that a case ends in an exception."""
    if isinstance(error, Violation):
        broken = next((rule for rule in (error.rule, error.otherwise) if rule and _counts(rule, profile)), "")
        if not broken:
            return _Found(Outcome.SKIP, f"{profile} has no {error.rule}: {error.detail}")
        outcome = Outcome.TIMEOUT if isinstance(error.__cause__, Endless) else Outcome.FAIL
        difference = Difference(*error.difference) if error.difference else None
        return _Found(outcome, error.detail, broken, difference)
    outcome = next(outcome for kind, outcome in _KINDS if isinstance(error, kind))
    return _Found(
        outcome,
        _text(error) if outcome is Outcome.UNSUPPORTED else f"{type(error).__name__}: {_text(error)}",
        case.rule if outcome is Outcome.FAIL else "",
        said=error.said if isinstance(error, AdapterError) else (),
    )


def facts_of(target: Target) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What decides which cases are tried, and must stay: its revisions, if it says any, and abilities."""
    about = getattr(target, "about", None)
    revisions = () if about is None else map(str, about.revisions)
    return tuple(revisions), tuple(sorted(abilities_of(target)))


def _try(case: Case, bench: Bench) -> None:
    about = getattr(bench.target, "about", None)
    if about is not None and case.revision not in about.revisions:
        raise Unsupported(f"the target has not said {case.revision}")
    case.check(bench)


def _text(error: BaseException) -> str:
    """What an error says; it may be of somebody's class, which does not even say that."""
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - whatever it is, the error is what is told
        return ""


def _line(text: str) -> str:
    """The text in a line of bounded length, without what a terminal would obey."""
    if len(text) > _MOST:
        text = f"{text[:_MOST]}... and {len(text) - _MOST:,} characters more"
    return "".join(c if c.isprintable() else printable(c.encode("utf-8", "surrogatepass")) for c in text)
