"""The suite run on miniatures: which of its cases tell that one is wrong."""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager

from addcow_conformance.programs import _patience
from addcow_conformance.results import BAD
from addcow_conformance.suite._all import all_cases
from addcow_conformance.suite._case import Bench, Effort
from addcow_conformance.suite._verdict import try_case
from addcow_conformance.targets import load_target
from addcow_spec.rules import Profile

_EFFORT = Effort(examples=24, seconds=60, operations=1)
# Seconds that one who never ends is waited for; all others are done in a fraction of that.
PATIENCE = 5.0
# How the slugs of cases begin that take as long as hundreds of others.
COSTLY = ("models", "power-", "memory-")


def is_costly(case):
    """Whether a case takes as long as hundreds of others."""
    return case.slug.startswith(COSTLY)


def attempt(implementation, case):
    """What becomes of a case.

    Args:
        implementation: a miniature, or the right one.
        case: a case of the suite.
    """
    name = f"python:tests.conformance.miniatures:{implementation.name}"
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as directory:
        bench = Bench(
            name,
            implementation,
            lambda _under: load_target(name),
            case.revision,
            Profile.REVIEWED,
            os.fsencode(directory),
            _EFFORT,
        )
        return try_case(case, bench)


def deviations(implementation):
    """What is not passed of the cases of its rule, and of all others but the costly ones: their results."""
    cases = (case for case in all_cases() if case.rule == implementation.rule or not is_costly(case))
    results = (attempt(implementation, case) for case in cases)
    return [result for result in results if result.outcome in BAD]


@contextmanager
def impatient(seconds=PATIENCE):
    """Wait for what does not end for seconds, and not for a minute."""
    before, _patience._LIMIT = _patience._LIMIT, seconds
    try:
        yield
    finally:
        _patience._LIMIT = before
