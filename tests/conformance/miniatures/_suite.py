"""The suite run on miniatures: which of its cases tell that one is wrong."""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager

from addcow_conformance.programs import _patience
from addcow_conformance.results import Outcome
from addcow_conformance.suite._all import all_cases
from addcow_conformance.suite._case import Bench, Effort
from addcow_conformance.suite._verdict import try_case
from addcow_conformance.targets import load_target
from addcow_spec.rules import Profile

_EFFORT = Effort(examples=24, seconds=5, operations=1)
# Seconds that one who never ends is waited for; all others are done in a fraction of that.
_PATIENCE = 5.0


def deviations(implementation, wanted):
    """The results of those cases that are not passed, one after the other.

    Args:
        implementation: a miniature, or the right one.
        wanted: a predicate of cases.
    """
    name = f"python:tests.conformance.miniatures:{implementation.name}"
    for case in filter(wanted, all_cases()):
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as directory:
            result = try_case(
                case,
                Bench(
                    name,
                    implementation,
                    lambda _under: load_target(name),
                    case.revision,
                    Profile.REVIEWED,
                    os.fsencode(directory),
                    _EFFORT,
                ),
            )
        if result.outcome not in {Outcome.PASS, Outcome.UNSUPPORTED}:
            yield result


@contextmanager
def impatient():
    """Wait for what does not end for seconds, and not for a minute."""
    before, _patience._LIMIT = _patience._LIMIT, _PATIENCE
    try:
        yield
    finally:
        _patience._LIMIT = before
