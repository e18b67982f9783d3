"""Campaigns on a Dask cluster: processes on this machine, one of which is killed within a slice.

One campaign is in a folder that all reach, and one in a folder that is its own; its workers have the URL of a
pool, and directories of their own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import contextmanager

import fsspec
import pytest

from addcow_fuzz.campaign import SliceFailed, cluster
from tests.fuzz.fake_command import ENVIRONMENT, fuzz_process
from tests.fuzz.fake_target import TOKENS
from tests.fuzz.object_store import bucket

PATIENCE = 180


@contextmanager
def dask(part, directory, *arguments):
    """A scheduler or a worker, as long as the block lasts."""
    directory.mkdir()
    command = [sys.executable, "-m", f"distributed.cli.dask_{part}", "--no-dashboard", *map(str, arguments)]
    with subprocess.Popen(
        command,
        cwd=directory,
        env=os.environ | ENVIRONMENT | {"TMPDIR": os.fspath(directory)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_for(condition, process):
    until = time.monotonic() + PATIENCE
    while not condition():
        assert process.poll() is None, process.args
        assert time.monotonic() < until
        time.sleep(0.1)


def campaign(home, *arguments):
    """A campaign of two slices at a time."""
    common = ("--target", "fake", "--jobs", 2, "--minutes", 0.15, "--slice", 4, "-q")
    return fuzz_process("campaign", home, *common, *arguments)


def slices(paths):
    """Those that have put inputs into the directories of slices."""
    return {path.split("/")[-3] for path in map(str, paths)}


def told_once(process, home):
    """Hold a campaign to have told each of its findings once, and to have nothing left."""
    output, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 77, errors
    tokens = {path.name for path in home.glob("findings/*")}
    assert tokens
    assert tokens <= TOKENS
    assert sorted(line.split()[1] for line in output.decode().splitlines()) == sorted(tokens)
    assert list(home.glob("corpus/fake/*"))
    assert list(home.glob("work/*")) == []
    assert json.loads((home / "state.json").read_text("utf-8"))["targets"]["fake"]["slices"] >= 2


def test_death_of_a_worker_loses_nothing(tmp_path):
    told, shared, own = (tmp_path / name for name in ("scheduler.json", "shared", "own"))
    worker = ("--scheduler-file", told, "--nthreads", 2, "--no-nanny")
    with (
        bucket() as pool,
        dask(
            "scheduler", tmp_path / "0", "--host", "127.0.0.1", "--port", 0, "--scheduler-file", told
        ) as scheduler,
        dask("worker", tmp_path / "1", *worker) as first,
        dask("worker", tmp_path / "2", *worker),
    ):
        wait_for(told.exists, scheduler)
        address = json.loads(told.read_text("utf-8"))["address"]
        with (
            campaign(shared, "--scheduler", address) as one,
            campaign(own, "--scheduler", address, "--pool", pool) as other,
        ):
            store = fsspec.filesystem("s3", use_listings_cache=False)
            wait_for(lambda: len(slices(shared.glob("work/*/new/*"))) > 1, one)
            wait_for(lambda: slices(store.glob(f"{pool}/*/*/*/new/*")), other)
            first.kill()
            told_once(one, shared)
            told_once(other, own)
            # Nothing else is left in the pool.
            put = {path.rpartition("/")[2] for path in store.find(pool)}
            assert put == {path.name for path in own.glob("corpus/fake/*")}


def test_scheduler_that_does_not_answer_is_told():
    with pytest.raises(SliceFailed), cluster("nonsense://127.0.0.1:1"):
        pytest.fail("it answers")
