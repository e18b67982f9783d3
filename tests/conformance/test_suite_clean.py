"""The reference engine passes the whole suite, in both profiles: a false alarm is a fault of the suite."""

from __future__ import annotations

from collections import Counter

import pytest

from addcow_conformance.results import BAD
from addcow_spec.model import Revision
from addcow_spec.rules import Profile
from tests.conformance.command import suite

# What a target in this process cannot be asked for.
IN_PROCESS = {"a module is in this process, which is not killed"}
NOTHING_TO_CHOOSE = {"there is nothing to choose in this profile, for this target"}


# What is slow, and what has one level in both profiles, is tried in one of them.
EFFORT = {
    Profile.REVIEWED: ("--examples", "24", "--ops", "1"),
    Profile.AS_WRITTEN: ("-k", "not models and not power and not memory and not QC2"),
}


@pytest.mark.parametrize("profile", Profile, ids=str)
def test_the_reference_engine_passes(profile):
    answer = suite(
        "run",
        "python:addcow_ref",
        *("--profile", profile, "--output", "json", "-j", "1"),
        *EFFORT[profile],
    )
    document = answer.document
    wrong = [case for case in document["cases"] if case["outcome"] in BAD]
    assert (wrong, answer.status) == ([], 0)
    said = {case["detail"] for case in document["cases"] if case["outcome"] == "unsupported"}
    assert said <= IN_PROCESS | NOTHING_TO_CHOOSE
    tried = Counter(case["revision"] for case in document["cases"])
    assert all(tried[revision] > 200 for revision in Revision)
