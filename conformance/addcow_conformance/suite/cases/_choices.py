"""What the specification leaves open: a target may do either, and has to keep to it.

Of every image that breaks a should-rule and no other, an opener may warn or refuse. A target says which by
``--choice FLAG=accept``; without, it is seen what it does with the first one.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from addcow_conformance.checker import Verdict
from addcow_conformance.programs import Unsupported, Violation
from addcow_conformance.suite._case import Bench, Case
from addcow_conformance.suite._corpus import corpus
from addcow_conformance.suite._opened import BEYOND, Answer, open_vector
from addcow_conformance.suite._untouched import untouched
from addcow_spec.model import Revision
from addcow_spec.rules import Level, Profile, rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from addcow_conformance.suite.vectors import Vector

__all__ = ["FLAGS", "cases"]

# A flag for each point, and the should-rule that it is about.
FLAGS = {
    "tail-beyond-bitmap": "ACW-BMP-003",
    "no-probe-without-backing": "ACW-FEA-002",
    "unknown-features": "ACW-FEA-003",
    "reserved-bytes": "ACW-HDR-004",
    "names-overlap": "ACW-NAM-008",
    "bytes-after-a-name": "ACW-NAM-009",
    "part-of-a-sector": "ACW-SIZ-004",
    "sizes-differ": "ACW-SIZ-005",
    "unstated-backing-format": "ACW-CHN-003",
    "feature-name-table": "ACW-QC2-009",
    "unclean-qcow2": "ACW-QC2-011",
}
_ACCEPT, _REFUSE = "accept", "refuse"


def cases() -> Iterator[Case]:
    """A case for each point and revision that has vectors for it."""
    for flag, about in FLAGS.items():
        for revision in Revision:
            if any(_vectors(about, revision, profile) for profile in Profile):
                title = f"{flag}: either accepted or refused, and always the same"
                yield Case(about, revision, f"one-choice-{flag}", title, partial(_check, flag))


def _vectors(about: str, revision: Revision, profile: Profile) -> list[Vector]:
    return [
        vector
        for vector in corpus()
        if vector.revision is revision
        and vector.labels[profile].result is Verdict.ACCEPTABLE
        and {found for found in vector.labels[profile].findings if _level(found, profile) is Level.SHOULD}
        == {about}
        and BEYOND.isdisjoint(vector.labels[profile].findings)
    ]


def _level(found: str, profile: Profile) -> Level | None:
    return rule(found).level[profile]


def _for_other_reasons(answer: Answer) -> bool:
    """Whether an image may have been refused for what lies below, whatever is chosen."""
    named = getattr(answer.refusal, "rule", "")
    return (
        bool(answer.lacks) or named in BEYOND or (answer.refusal is not None and not named and answer.layered)
    )


def _check(flag: str, bench: Bench) -> None:
    about, chosen, first = FLAGS[flag], bench.choices.get(flag, ""), "as it is said"
    for vector in _vectors(about, bench.revision, bench.profile):
        try:
            answer = open_vector(bench, vector, bench.folder(), writable=False, guard=untouched)
        except Unsupported:
            continue
        if answer.expected.result is not Verdict.ACCEPTABLE or _for_other_reasons(answer):
            continue
        done = _REFUSE if answer.refusal is not None else _ACCEPT
        if not chosen:
            chosen, first = done, f"as {vector.id} is"
        if done != chosen:
            raise Violation(about, f"{flag}: to {chosen}, {first}, and {vector.id} is another thing: {done}")
    if not chosen:
        raise Unsupported("there is nothing to choose in this profile, for this target")
    bench.observed[f"{flag}/{bench.revision}"] = chosen
