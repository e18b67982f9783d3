"""State machines on the engine, and what they reach.

The profile `quick` tries the same programs each time. A campaign goes on for ADDCOW_CAMPAIGN_MINUTES, ten if
that is not set, for each machine; it has to come to each state as often as the table says.
"""

import os
import time
from pathlib import Path

import pytest
from hypothesis import settings

import addcow_ref
from addcow_conformance.models import Reach, explain, find, keep
from addcow_conformance.programs import StorageKind
from addcow_spec.model import Revision
from tests.repo.tree import ROOT

EXAMPLES = 160
# Where programs that are found go; nowhere if the variable is empty.
KEPT = os.environ.get("ADDCOW_REGRESSIONS", ROOT / "corpora/regressions/programs")


@pytest.mark.parametrize("storage", StorageKind, ids=str)
@pytest.mark.parametrize("revision", Revision, ids=str)
def test_engine_is_what_the_oracle_says(revision, storage):
    campaign = not settings.default.derandomize
    minutes = float(os.environ.get("ADDCOW_CAMPAIGN_MINUTES", "10")) if campaign else 0
    end = time.monotonic() + 60 * minutes
    reach = Reach()
    using = settings(max_examples=EXAMPLES)
    program = find(revision, addcow_ref, using, storage=storage, reach=reach)
    while program is None and time.monotonic() < end:
        program = find(revision, addcow_ref, using, storage=storage, reach=reach)
    if program is not None:
        pytest.fail(explain(program, keep(program, Path(KEPT)) if KEPT else None), pytrace=False)
    assert reach.missing(revision, storage, floors=campaign) == {}
