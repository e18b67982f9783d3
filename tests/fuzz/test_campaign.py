"""Campaigns on targets with planted bugs: nothing is lost, and nothing is told twice."""

from __future__ import annotations

import hashlib
import json
import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from addcow_conformance._workers import pool
from addcow_fuzz.campaign import (
    BadFolder,
    Campaign,
    Entry,
    Plan,
    Slice,
    SliceFailed,
    Standing,
    Status,
    Store,
    Subject,
    run_slice,
)
from tests.fuzz.fake_command import ENDS, ENVIRONMENT, FAKE
from tests.fuzz.fake_ends import FLAG, HOW
from tests.fuzz.fake_target import COUNTED, TOKENS

# Campaigns until all is found that is planted; on an idle machine the first one finds it.
ENOUGH = 20


@pytest.fixture(autouse=True)
def _environment(monkeypatch):
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def store(tmp_path):
    return Store(os.fspath(tmp_path / "campaign"))


class Heard(list):
    """What a campaign has told."""

    def __call__(self, found, how):
        self.append((found.token, how))


def campaign(store, heard, executor=None, *, subject=FAKE, failed=print, **options):
    plan = Plan(subjects=(subject,), **{"seconds": 3, "length": 3, "minimize": 5, "timeout": 1} | options)
    with store.locked(), executor or ThreadPoolExecutor(plan.workers) as running:
        made = Campaign(store, plan, heard, failed)
        made.run(running, lambda _rows: None)
        return made


def sha1(data):
    return hashlib.sha1(data, usedforsecurity=False).hexdigest()


def names(directory):
    return set(os.listdir(directory))


def whole(store):
    """Hold every file of the folder to be all there."""
    for target in names(store.at("corpus")):
        for name in names(store.at("corpus", target)):
            with open(store.at("corpus", target, name), "rb") as file:
                assert sha1(file.read()) == name
    for folder in names(store.at("findings")):
        with open(store.at("findings", folder, "finding.json"), "rb") as file:
            told = json.load(file)
        with open(store.at("findings", folder, "input"), "rb") as file:
            assert sha1(file.read()) == told["sha1"]


def test_goes_on_past_findings_and_tells_each_once(store):
    heard = Heard()
    for _ in range(ENOUGH):
        campaign(store, heard)
        if len(heard) == len(TOKENS):
            break
    assert sorted(heard) == sorted((token, Standing.NEW) for token in TOKENS)
    found = {told["token"]: told for told in store.findings()}
    assert found.keys() == TOKENS
    for token, small in {
        "fake:-:first:a": b"a",
        "fake:-:first:b": b"b",
        "strict:-:-:indexerror": b"\0e",
    }.items():
        folder = store.at(found[token]["folder"])
        with open(os.path.join(folder, "input"), "rb") as file:
            assert file.read() == small
        with open(os.path.join(folder, "operations.json"), "rb") as file:
            assert json.load(file) == list(small)
        assert {"log", "original", "replay.sh"} <= names(folder)
    whole(store)
    assert names(store.at("work")) == names(store.at("partial")) == set()


def test_resumes_from_its_folder(store, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", os.fspath(tmp_path))
    heard = Heard()
    campaign(store, heard, registry={token: Entry(token, "fake", Status.OPEN, "planted") for token in TOKENS})
    assert heard == []  # they are passed over
    before = store.state()["targets"]["fake"]
    inputs = names(store.corpus("fake"))
    campaign(store, heard, registry={token: Entry(token, "fake", Status.OPEN, "planted") for token in TOKENS})
    after = store.state()["targets"]["fake"]
    assert after["slices"] > before["slices"] >= 1
    assert after["execs"] > before["execs"] > 0
    assert after["edges"] >= before["edges"] > 0
    assert after["reached"]["fake: started"] > before["reached"]["fake: started"] > 0
    assert names(tmp_path) == {"campaign"}  # the target leaves a directory behind
    assert after["reached"] | COUNTED == COUNTED | {"fake: never": 0}
    assert names(store.corpus("fake")) >= inputs > set()
    with open(store.at("stats", "fake", "plot_data"), encoding="ascii") as file:
        header, *lines = file
    assert header.startswith("# relative_time, ")
    assert len(lines) == after["slices"]
    assert {line.count(",") for line in lines} == {header.count(",")}
    with open(store.at("stats", "fake", "fuzzer_stats"), encoding="ascii") as file:
        stats = dict(line.split(":", 1) for line in file)
    assert int(stats["execs_done        "]) == after["execs"]


def test_fixed_one_that_is_back_is_told(store):
    heard = Heard()
    registry = {token: Entry(token, "fake", Status.FIXED, "mended") for token in TOKENS}
    campaign(store, heard, registry=registry)
    assert heard
    assert {how for _, how in heard} == {Standing.BACK}


def test_slice_of_a_worker_that_dies_is_run_again(store, tmp_path, monkeypatch):
    flag = tmp_path / "flag"
    flag.touch()
    monkeypatch.setenv(FLAG, os.fspath(flag))
    monkeypatch.setenv(HOW, "abort")
    heard = Heard()
    with pool(1, finish=True, start="spawn") as executor:
        done = campaign(store, heard, executor, subject=ENDS)
    assert not flag.exists()
    assert done.failures == []
    assert store.state()["targets"]["ends"]["slices"] >= 1
    assert heard == [("strict:-:ends:crash", Standing.NEW)]


@pytest.mark.parametrize(
    ("how", "token"), [("hang", "strict:-:ends:timeout"), ("abort", "strict:-:ends:crash")]
)
def test_input_that_ends_the_target_is_a_finding(tmp_path, monkeypatch, how, token):
    monkeypatch.setenv(HOW, how)
    seeds = tmp_path / "seeds"
    seeds.mkdir()
    (seeds / "worst").write_bytes(b"x")
    result = run_slice(Slice(ENDS, (os.fspath(seeds),), seconds=2, seed=1, timeout=1, minimize=5))
    assert [found.token for found in result.found] == [token]
    assert result.found[0].original[:1] == b"x"


def test_target_that_does_not_start_is_given_up(store):
    absent = Subject("absent", "tests.fuzz.no_such_module", 16)
    with pytest.raises(SliceFailed):
        run_slice(Slice(absent, (), seconds=1, seed=1))
    told = []
    done = campaign(store, Heard(), subject=absent, failed=told.append, seconds=600)
    assert len(done.failures) == 1
    assert ["no_such_module" in line for line in told] == [True, True, True, False]
    assert told[-1:] == done.failures


def test_what_was_left_behind_is_taken_in(store):
    heard = Heard()
    with store.locked():
        work = store.at("work", "000007-fake")
    for name, data in {
        "new/e51d9f0a": b"not whole",
        f"new/{sha1(b'whole')}": b"whole",
        f"artifacts/crash-{sha1(b'abc')}": b"abc",
        f"artifacts/crash-{sha1(b'cut')}": b"cu",
    }.items():
        path = os.path.join(work, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(data)
    campaign(store, heard, seconds=0)
    assert heard == [("fake:-:first:a", Standing.NEW)]
    assert names(store.corpus("fake")) == {sha1(b"whole")}
    assert names(store.at("work")) == set()
    whole(store)


def test_folder_is_for_one_campaign_at_a_time(store):
    with store.locked(), pytest.raises(BadFolder), Store(store.path).locked():
        pytest.fail("two have it")


@pytest.mark.parametrize("state", ["", "[]", "{}", '{"format": 1, "targets": {"fake": {"points": 3}}}'])
def test_state_that_is_none_is_refused(store, state):
    with store.locked():
        with open(store.at("state.json"), "w", encoding="ascii") as file:
            file.write(state)
        with pytest.raises(BadFolder):
            Campaign(store, Plan(subjects=(FAKE,), seconds=0), Heard())
