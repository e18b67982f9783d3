"""A campaign on a Dask cluster: processes on this machine, one of which is killed within a slice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest

from addcow_fuzz.campaign import SliceFailed, cluster
from tests.fuzz.fake_command import ENVIRONMENT, fuzz_process
from tests.fuzz.fake_target import TOKENS

PATIENCE = 180


@contextmanager
def dask(part, *arguments):
    """A scheduler or a worker, as long as the block lasts."""
    command = [sys.executable, "-m", f"distributed.cli.dask_{part}", "--no-dashboard", *map(str, arguments)]
    with subprocess.Popen(
        command,
        env=os.environ | ENVIRONMENT,
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


def test_death_of_a_worker_loses_nothing(tmp_path):
    told = tmp_path / "scheduler.json"
    worker = ("--scheduler-file", told, "--nthreads", 1, "--no-nanny", "--local-directory", tmp_path)
    with dask("scheduler", "--host", "127.0.0.1", "--port", 0, "--scheduler-file", told) as scheduler:
        wait_for(told.exists, scheduler)
        address = json.loads(told.read_text("utf-8"))["address"]
        with dask("worker", *worker) as first, dask("worker", *worker):
            home = tmp_path / "camp"
            arguments = ("--scheduler", address, "--jobs", 2, "--minutes", 0.25, "--slice", 5)
            process = fuzz_process("campaign", home, "--target", "fake", *arguments)
            wait_for(lambda: len({path.parts[-3] for path in home.glob("work/*/new/*")}) > 1, process)
            first.kill()
            output, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 77, errors
    lines = output.decode().splitlines()
    tokens = {path.name for path in home.glob("findings/*")}
    assert tokens
    assert tokens <= TOKENS
    assert len(lines) == len(tokens)
    assert list(home.glob("corpus/fake/*"))
    assert list(home.glob("work/*")) == []
    assert json.loads((home / "state.json").read_text("utf-8"))["targets"]["fake"]["slices"] >= 2


def test_scheduler_that_does_not_answer_is_told():
    with pytest.raises(SliceFailed), cluster("nonsense://127.0.0.1:1"):
        pytest.fail("it answers")
