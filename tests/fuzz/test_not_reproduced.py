"""A finding that does not come again without libFuzzer is kept, told as such, and counted as none."""

from __future__ import annotations

import os

from addcow_fuzz.campaign import Found, Slice, Standing, Store, run_slice, standing
from tests.fuzz.fake_command import ENDS, fuzz
from tests.fuzz.fake_ends import HOW

TOKEN = "not-reproduced:strict:-:-:keyerror"  # noqa: S105 - of a finding


def test_slice_tries_a_finding_again(tmp_path, monkeypatch):
    monkeypatch.setenv(HOW, "once")
    (tmp_path / "worst").write_bytes(b"x")
    result = run_slice(Slice(ENDS, (os.fspath(tmp_path),), seconds=1, seed=1, timeout=5))
    assert [(found.token, found.original[:1]) for found in result.found] == [(TOKEN, b"x")]


def test_it_is_no_news(tmp_path):
    store = Store(os.fspath(tmp_path / "found"))
    with store.locked():
        assert store.add_finding(Found(TOKEN, "ends", b"x", b"x"))
    assert standing(TOKEN, {}) is Standing.NOT_REPRODUCED
    answer = fuzz("triage", store.path)
    assert answer.status == 0
    assert TOKEN in answer.output
