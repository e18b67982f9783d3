"""Every case of the suite, tried on the target."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from addcow_conformance.results import Outcome
from addcow_conformance.suite._verdict import try_case

if TYPE_CHECKING:
    from collections.abc import Callable

    from addcow_conformance.results import CaseResult
    from addcow_conformance.suite._case import Bench, Case


def test_case(case: Case, bench: Bench, keep: Callable[[CaseResult, Bench], None]) -> None:
    """The target does what the case asks for."""
    result = try_case(case, bench)
    keep(result, bench)
    if result.outcome in {Outcome.SKIP, Outcome.UNSUPPORTED}:
        pytest.skip(result.detail)
    if result.outcome is not Outcome.PASS:
        where = f"{result.broken}: " if result.broken else ""
        pytest.fail(f"{result.outcome}: {where}{result.detail}", pytrace=False)
