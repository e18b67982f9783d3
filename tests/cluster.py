"""A Dask cluster of processes on this machine, as long as a block lasts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager

from tests.repo.tree import ROOT

__all__ = ["PATIENCE", "dask_cluster", "wait_for"]

PATIENCE = 180


@contextmanager
def _dask(part, directory, *arguments, **environment):
    """A scheduler or a worker, in a process group and a directory of its own."""
    directory.mkdir()
    command = [sys.executable, "-m", f"distributed.cli.dask_{part}", "--no-dashboard", *map(str, arguments)]
    own = {"PYTHONPATH": os.fspath(ROOT), "TMPDIR": os.fspath(directory)}
    with subprocess.Popen(
        command,
        cwd=directory,
        env=os.environ | own | environment,
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
    """Wait for a condition, as long as a process runs."""
    until = time.monotonic() + PATIENCE
    while not condition():
        assert process.poll() is None, process.args
        assert time.monotonic() < until
        time.sleep(0.1)


@contextmanager
def dask_cluster(home, *, workers=2, threads=1, **environment):
    """The address of a scheduler, and the processes of its workers, each in a directory of its own."""
    told = home / "scheduler.json"
    with ExitStack() as stack:

        def start(part, name, *arguments):
            process = _dask(part, home / name, "--scheduler-file", told, *arguments, **environment)
            return stack.enter_context(process)

        scheduler = start("scheduler", "scheduler", "--host", "127.0.0.1", "--port", 0)
        of_each = ("--nthreads", threads, "--no-nanny", "--local-directory", home)
        at_work = [start("worker", f"worker-{number}", *of_each) for number in range(workers)]
        wait_for(told.exists, scheduler)
        yield json.loads(told.read_text("utf-8"))["address"], at_work
