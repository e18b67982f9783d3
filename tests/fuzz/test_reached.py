"""Targets of programs count the states of the models, for the campaign that started them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import pytest

from addcow_conformance.programs import Disk, Flush, Program, Read, Resize, StorageKind, Write
from addcow_conformance.reach import states
from addcow_fuzz import _reached
from addcow_fuzz._environment import REACHED
from addcow_fuzz._programs import Case, encode
from addcow_fuzz.campaign import Counters
from addcow_fuzz.targets import load
from addcow_spec.model import Revision

DISK = Disk(Revision.V10, 3 << 16, None, 0, 4096)
DATA = encode(Case(Program(DISK, (Write(100, 50, 7), Flush(), Read(0, 10), Resize(4 << 16)))))


class Counted(NamedTuple):
    """The file of the counts: of all inputs that were run but the last."""

    path: Path

    def read(self):
        return json.loads(self.path.read_text())


@pytest.fixture
def counts(monkeypatch, tmp_path):
    path = tmp_path / "counts"
    monkeypatch.setenv(REACHED, str(path))
    monkeypatch.setattr(_reached, "_ONE_OF", 1)
    monkeypatch.setattr(_reached, "_EVERY", 0)
    _reached._counts.cache_clear()
    yield Counted(path)
    _reached._counts.cache_clear()


@pytest.mark.parametrize("name", ["ops", "differential"])
def test_states_of_a_program_are_counted(counts, name):
    for _ in range(3):
        load(name).check_one(DATA)
    told = counts.read()
    assert list(told) == states(StorageKind.MEMORY)
    # A target adds a flush at the end.
    expected = {"flush: of what was written": 2, "flush: of nothing": 2, "disk: without a backing": 2}
    assert {state: told[state] for state in expected} == expected
    assert told["kill: bits are lost"] == 0


@pytest.mark.parametrize(("one_of", "counted"), [(_reached._ONE_OF, False), (1, True)])
def test_a_checksum_tells_which_inputs_are_counted(counts, monkeypatch, one_of, counted):
    monkeypatch.setattr(_reached, "_ONE_OF", one_of)
    monkeypatch.setattr(_reached, "crc32", lambda _: one_of + 1)
    for _ in range(2):
        load("ops").check_one(DATA)
    assert counts.path.exists() is counted


def test_nothing_is_counted_where_nobody_asks(counts, monkeypatch):
    monkeypatch.delenv(REACHED)
    for _ in range(2):
        load("ops").check_one(DATA)
    assert not counts.path.exists()


def test_counts_of_two_runs_are_added_with_their_zeros():
    one, other = Counters(reached={"a": 1, "b": 0}), Counters(reached={"a": 2, "c": 3})
    assert one.and_then(other).reached == {"a": 3, "b": 0, "c": 3}
