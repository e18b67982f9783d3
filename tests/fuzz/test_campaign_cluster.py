"""Campaigns on a Dask cluster: processes on this machine, one of which is killed within a slice.

One campaign is in a folder that all reach, and one in a folder that is its own; its workers have the URL of a
pool, and directories of their own.
"""

from __future__ import annotations

import json

import fsspec

from addcow_conformance import _cluster
from tests.cluster import PATIENCE, dask_cluster, wait_for
from tests.fuzz.fake_command import fuzz_failed, fuzz_process
from tests.fuzz.fake_target import TOKENS
from tests.fuzz.object_store import bucket


def campaign(home, *arguments):
    """A campaign of two slices at a time."""
    common = ("--target", "fake", "--jobs", 2, "--minutes", 0.15, "--slice", 4, "-q")
    return fuzz_process("campaign", home, *common, *arguments)


def slices(paths):
    """Those that have put inputs into the directories of slices."""
    return {path.split("/")[-3] for path in map(str, paths)}


def told_once(process, home):
    """Hold a campaign to have told each of its findings once.

    Its directory of work need not be empty: where a worker dies just as the campaign takes its slice in, Dask
    runs that once more for nobody. What it leaves is for the next campaign.
    """
    output, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 77, errors
    tokens = {path.name for path in home.glob("findings/*")}
    assert tokens
    assert tokens <= TOKENS
    assert sorted(line.split()[1] for line in output.decode().splitlines()) == sorted(tokens)
    assert list(home.glob("corpus/fake/*"))
    assert json.loads((home / "state.json").read_text("utf-8"))["targets"]["fake"]["slices"] >= 2


def test_death_of_a_worker_loses_nothing(tmp_path):
    shared, own = tmp_path / "shared", tmp_path / "own"
    with (
        bucket() as pool,
        dask_cluster(tmp_path, threads=2) as (address, (first, _)),
        campaign(shared, "--scheduler", address) as one,
        campaign(own, "--scheduler", address, "--pool", pool) as other,
    ):
        store = fsspec.filesystem("s3", use_listings_cache=False)
        wait_for(lambda: len(slices(shared.glob("work/*/new/*"))) > 1, one)
        wait_for(lambda: slices(store.glob(f"{pool}/*/*/*/new/*")), other)
        first.kill()
        told_once(one, shared)
        told_once(other, own)
        put = {path.rpartition("/")[2] for path in store.find(f"{pool}/corpus/fake")}
        assert put == {path.name for path in own.glob("corpus/fake/*")}
        assert not store.find(f"{pool}/running")
        assert not any(own.glob("work/*"))


def test_scheduler_that_does_not_answer_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(_cluster, "_CONNECTING", 0.3)
    fuzz_failed("campaign", tmp_path / "camp", "--scheduler", "tcp://127.0.0.1:1", status=1)
    fuzz_failed("campaign", tmp_path / "camp", "--scheduler", "nonsense", status=64)
