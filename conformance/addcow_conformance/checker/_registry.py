"""Which function judges which rule: a function is registered under the rule's id and the kind of its subject.

A judging function takes one subject (a parsed header, a qcow2 layer) and yields a `Draft` for each
violation. It neither knows the profile nor the severity: the collector does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, TypeVar

if TYPE_CHECKING:
    from addcow_spec.model import Span

__all__ = ["Draft", "Judge", "judged_rules", "judges", "judges_of"]


class Draft(NamedTuple):
    """A violation before the collector knows the rule's level: see `addcow_spec.findings.Finding`."""

    span: Span | None
    field: str
    expected: str
    actual: str


Judge: TypeAlias = Callable[[Any], Iterator[Draft]]
_Function = TypeVar("_Function", bound=Judge)

_JUDGES: dict[str, list[tuple[str, Judge]]] = {}


def judges(rule: str, *subjects: str) -> Callable[[_Function], _Function]:
    """Register a function as the judge of ``rule`` for those kinds of subject."""

    def register(function: _Function) -> _Function:
        for subject in subjects:
            _JUDGES.setdefault(subject, []).append((rule, function))
        return function

    return register


def judges_of(subject: str) -> list[tuple[str, Judge]]:
    """The judges of a kind of subject, in the order in which they were registered."""
    return _JUDGES.get(subject, [])


def judged_rules() -> frozenset[str]:
    """Ids of all rules that have a registered judge."""
    return frozenset(rule for group in _JUDGES.values() for rule, _ in group)
