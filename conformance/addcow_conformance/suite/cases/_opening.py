"""Every vector: an image that must be opened, or must be refused, and is left as it is."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from addcow_conformance.checker import Verdict
from addcow_conformance.programs import Violation
from addcow_conformance.suite._case import Bench, Case
from addcow_conformance.suite._corpus import corpus
from addcow_conformance.suite._opened import Answer, judge_refusal, open_vector
from addcow_conformance.suite._untouched import untouched

if TYPE_CHECKING:
    from collections.abc import Iterator

    from addcow_conformance.suite.vectors import Vector

__all__ = ["cases"]


def cases() -> Iterator[Case]:
    """A case for each vector; its name is that of the vector."""
    for vector in corpus():
        slug = vector.id.removeprefix(f"{vector.rule}-")
        yield Case(vector.rule, vector.revision, slug, vector.comment, partial(_check, vector), vector=vector)


def _check(vector: Vector, bench: Bench) -> None:
    """Open for reading; what is refused is refused for writing, too."""
    for writable in (False, True):
        root = bench.folder()
        answer = open_vector(bench, vector, root, writable=writable, guard=untouched)
        _judge(vector, answer)
        if answer.refusal is None:
            return


def _judge(vector: Vector, answer: Answer) -> None:
    if answer.refusal is not None:
        judge_refusal(answer)
    elif answer.expected.result is Verdict.INVALID:
        rule = vector.rule if vector.rule in answer.musts else min(answer.musts, default=vector.rule)
        raise Violation(rule, "an image that breaks this rule is opened")
    elif answer.failure is not None and answer.expected.result is Verdict.VALID:
        raise Violation("ACW-DYN-001", f"a sound image is opened, and cannot be read: {answer.failure}")
