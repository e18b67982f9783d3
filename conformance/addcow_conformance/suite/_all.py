"""All cases, collected from their modules."""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from typing import TYPE_CHECKING

from addcow_conformance.suite.cases import (
    _choices,
    _creating,
    _failing,
    _keeping,
    _layers,
    _models,
    _naming,
    _opening,
    _power,
    _reading,
    _refusing,
    _sharing,
    _sizing,
    _streaming,
    _telling,
    _writing,
)

if TYPE_CHECKING:
    from addcow_conformance.suite._case import Case

__all__ = ["all_cases"]

_MODULES = (
    _opening,
    _choices,
    _reading,
    _writing,
    _refusing,
    _keeping,
    _sizing,
    _streaming,
    _creating,
    _failing,
    _naming,
    _layers,
    _sharing,
    _telling,
    _power,
    _models,
)


@lru_cache
def all_cases() -> tuple[Case, ...]:
    """Every case, in the order of rules, revisions and slugs.

    Raises:
        AssertionError: two have one name.
        UsageError: the vectors cannot be read.
    """
    found = sorted((case for module in _MODULES for case in module.cases()), key=_order)
    twice = [name for name, count in Counter(case.id for case in found).items() if count > 1]
    if twice:
        raise AssertionError(f"cases have one name: {twice}")
    return tuple(found)


def _order(case: Case) -> tuple[str, int, str]:
    return case.rule, int(case.revision.value[1:]), case.slug
