"""The third implementation against the suite: what its file of expectations says is found, and no more."""

from __future__ import annotations

import shutil

import pytest

from tests.conformance.command import suite
from tests.conformance.stdio_programs import NODE, target_name
from tests.repo.tree import ROOT

KNOWN = ROOT / "conformance/examples/stdio-node/expect.toml"
# `test_powerloss_traced.py` cuts its power, and `test_stdio.py` draws programs for it.
EFFORT = ("--examples", 3, "--skip", "*/power-*")


@pytest.mark.system
@pytest.mark.skipif(shutil.which("node") is None, reason="there is no node")
def test_it_is_as_expected():
    options = ("--revision", "v10", "--expect", KNOWN, "--output", "json", *EFFORT)
    answer = suite("run", target_name(NODE), *options)
    assert answer.status == 0, answer
    run = answer.document
    assert run["as-expected"]
    known = [case for case in run["cases"] if case["known"]]
    assert {(case["rule"], case["outcome"]) for case in known} == {("ACW-DYN-014", "fail")}
    # Each script goes to another folder, and to no file of this one.
    for case in known:
        assert "./" in case["script"]
        assert '"/' not in case["script"]
