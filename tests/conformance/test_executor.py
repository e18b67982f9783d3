"""The workers of commands: processes and a cluster, of which some die, and what is done by them in order."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
from concurrent.futures import BrokenExecutor, Executor, Future
from functools import partial

import pytest

import addcow_ref
from addcow_conformance import _batch as batch
from addcow_conformance import _cluster, cli_check
from addcow_conformance._executor import ClusterError, Work, Workers, processes, workers
from addcow_conformance._spread import spread
from addcow_conformance.checker import CheckOptions, Verdict
from addcow_spec.errors import UsageError
from tests.cluster import dask_cluster
from tests.conformance import by_hand
from tests.conformance.command import suite, suite_failed

KILLED = b"fatal"


class FatalJob(batch.Job):
    """Kills the process that looks at an image of a certain name."""

    def __call__(self, path, progress=None):
        if path.endswith(KILLED):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__call__(path, progress)


JOB = batch.Job(CheckOptions())
FATAL = FatalJob(CheckOptions())
PATIENCE = 30


def pool_of_images(directory, number, fatal=()):
    names = [f"{n:03}-{'fatal' if n in fatal else 'sound'}" for n in range(number)]
    directory.mkdir()
    return [os.fsencode(by_hand.v10(directory / name)) for name in names]


def hold_to_have_lost(reports, images):
    """Every image has its report, in order; of those that kill, it says so."""
    assert [report.filename for report in reports] == images
    expected = [Verdict.UNKNOWN if image.endswith(KILLED) else Verdict.VALID for image in images]
    assert [report.verdict for report in reports] == expected


# --- in order


class Scripted(Executor):
    """Calls at once, fails as it is told, and counts what is under way."""

    def __init__(self, fail=lambda _items: None):
        self.fail = fail
        self.given = []

    def submit(self, call, items):
        self.given.append(items)
        future = Future()
        error = self.fail(items)
        future.set_exception(error) if error else future.set_result(call(items))
        return future


def double(items):
    return [2 * item for item in items]


def doubled(items, executor, *, width=2, size=3):
    return spread(double, items, Workers(executor, width), size=size, lost=lambda item, error: (item, error))


@pytest.mark.parametrize("number", [0, 1, 3, 100])
def test_results_are_in_order(number):
    assert list(doubled(range(number), Scripted())) == [2 * item for item in range(number)]


def test_few_items_are_given_at_a_time():
    """However many there are: those that are taken from the source are a few pieces more than the results."""
    taken = []
    results = doubled((taken.append(n) or n for n in range(100_000)), Scripted())
    for done in range(1, 50):
        next(results)
        assert len(taken) - done <= 3 * 2 * 3


@pytest.mark.parametrize("error", [BrokenExecutor("died"), TimeoutError("late")])
def test_one_that_is_at_fault_is_tried_twice_and_no_other_is_lost(error):
    executor = Scripted(lambda items: error if 7 in items else None)
    expected = [2 * item for item in range(20)]
    expected[7] = (7, error)
    assert list(doubled(range(20), executor)) == expected
    assert sorted(n for items in executor.given for n in items if n in {6, 7, 8}) == [6, 6, 7, 7, 8, 8]
    assert executor.given.count((7,)) == 1


def test_any_other_error_is_the_callers():
    with pytest.raises(LookupError):
        list(doubled(range(20), Scripted(lambda _: LookupError("planted"))))


def test_what_waits_is_cancelled_where_the_reader_leaves():
    class Idle(Executor):
        given = []  # noqa: RUF012 - of this one object

        def submit(self, call, items):
            self.given.append(Future())
            if len(self.given) == 1:
                self.given[0].set_result(call(items))
            return self.given[-1]

    executor = Idle()
    results = doubled(range(20), executor)
    assert next(results) == 0
    results.close()
    assert [future.cancelled() for future in executor.given] == [False] + [True] * 5


# --- processes


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_a_process_that_dies_is_replaced(start):
    with workers(Work(start=start), count=1, scheduler=None) as (executor, width):
        assert width == 1
        with pytest.raises(BrokenExecutor):
            executor.submit(os._exit, 1).result()
        assert executor.submit(abs, -1).result() == 1


def test_images_that_kill_cost_no_other_its_check(tmp_path):
    images = pool_of_images(tmp_path / "pool", 40, fatal=(0, 17, 18, 39))
    with workers(Work(), count=2, scheduler=None) as two:
        told = JOB.failed(b"told before", "it cannot be read")
        reports = list(batch.check_all([*images[:20], told, *images[20:]], FATAL, two))
    assert reports.pop(20) is not told
    hold_to_have_lost(reports, images)


# --- a cluster


def without_times(text):
    document = json.loads(text)
    for part in (document, document["total"], *document["families"]):
        part.pop("seconds", None)
        part.pop("states-per-second", None)
    return document


def left_of(processes, expected):
    """How many go on: the scheduler hears of the end of one a moment before the kernel is done with it."""
    until = time.monotonic() + PATIENCE
    while (left := sum(process.poll() is None for process in processes)) > expected:
        if time.monotonic() > until:
            break
        time.sleep(0.01)
    return left


def test_death_of_workers_loses_nothing(tmp_path, monkeypatch, capsys):
    """Workers that are elsewhere give what one process gives; two die, and then all."""
    images = pool_of_images(tmp_path / "pool", 24, fatal=(9,))
    monkeypatch.chdir(tmp_path)
    few = {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "0"}
    with dask_cluster(tmp_path, workers=3, **few) as (address, at_work):
        checked = []
        for more in ((), ("--scheduler", address)):
            command = ["-r", "pool", "--confine", ".", "--output", "json", *more]
            checked.append((cli_check.command.main(command, standalone_mode=False), capsys.readouterr()))
        assert checked[0] == checked[1]
        crash = ("crash", "--revision", "v6", "--ops", 1, "--output", "json")
        told = [suite(*crash, *more).output for more in ((), ("--scheduler", address))]
        assert without_times(told[0]) == without_times(told[1])
        monkeypatch.setitem(sys.modules, "not_there", addcow_ref)
        suite_failed(*crash, "--target", "python:not_there", "--scheduler", address, status=69)
        with workers(Work(absence=1.0), count=1, scheduler=address) as cluster:
            hold_to_have_lost(list(batch.check_all(images, FATAL, cluster)), images)
            assert left_of(at_work, 1) == 1
            with pytest.raises(ClusterError):
                list(batch.check_all(images[9:10] * 3, FATAL, cluster))


@pytest.mark.parametrize(
    "address", ["", "x", "127.0.0.1:8786", "tcp://127.0.0.1", "inproc://x", "tcp://a b:1"]
)
def test_what_is_no_address_is_wrong_usage(address):
    with pytest.raises(UsageError), workers(Work(), count=1, scheduler=address):
        pytest.fail("it is one")


@pytest.mark.parametrize("listens", [False, True])
def test_a_scheduler_that_does_not_answer_is_told(monkeypatch, listens):
    monkeypatch.setattr(_cluster, "_CONNECTING", 0.3)
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        if listens:
            server.listen()
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(ClusterError), workers(Work(), count=1, scheduler=address):
            pytest.fail("it answers")
        answer = suite("crash", "--ops", 0, "--scheduler", address)
    assert (answer.status, answer.output, answer.errors.count("\n")) == (69, "", 1)


def test_processes_and_a_cluster_are_two_things():
    assert (processes(None, None), processes(3, None), processes(0, None)) == (1, 3, os.cpu_count())
    assert processes(None, "tcp://192.0.2.1:8786") == 1
    with pytest.raises(UsageError):
        processes(0, "tcp://192.0.2.1:8786")


def test_a_call_that_does_not_end_is_left_to_itself(tmp_path):
    (hanging, end) = os.pipe()
    try:
        with pytest.raises(TimeoutError):
            _cluster._limited(Work(seconds=0.05), os.read, (hanging, 1), {})
    finally:
        os.write(end, b"x")
    with pytest.raises(RuntimeError):
        _cluster._limited(Work(), partial(exit, 3), (), {})
    here = os.getcwdb()
    assert _cluster._limited(Work(directory=os.fsencode(tmp_path)), os.getcwd, (), {}) == os.fspath(tmp_path)
    assert os.getcwdb() == here
    with pytest.raises(ClusterError):
        _cluster._limited(Work(directory=b"/nonexistent"), os.getcwd, (), {})
