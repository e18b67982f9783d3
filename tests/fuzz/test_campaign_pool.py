"""Campaigns by way of a pool of objects, which is all that workers reach of them."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import replace

import fsspec
import pytest

from addcow_fuzz.campaign import BadFolder, Campaign, Counters, Found, Plan, Result, Standing, Store, _pooled
from addcow_fuzz.campaign._finding import packed, unpacked
from addcow_fuzz.campaign._model import NOT_REPRODUCED
from addcow_fuzz.campaign._objects import INPUT, WORK, Objects
from tests.fuzz.fake_command import ENVIRONMENT, FAKE, fuzz, fuzz_failed
from tests.fuzz.fake_target import TOKENS
from tests.fuzz.object_store import bucket

FOUND = Found("fake:-:first:a", "fake", b"ab", b"a", "an a", [97], ("a line",))


@pytest.fixture(autouse=True)
def _environment(monkeypatch):
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(autouse=True, scope="module")
def _nothing_kept():
    """A worker keeps inputs until its process ends, and this one runs slices of the tests."""
    yield
    _pooled._kept_directory().cleanup()
    _pooled._kept_directory.cache_clear()


@pytest.fixture
def store(tmp_path):
    return Store(os.fspath(tmp_path / "campaign"))


@pytest.fixture
def pool(tmp_path):
    return tmp_path / "pool"


@pytest.fixture(scope="module")
def s3():
    with bucket() as url:
        yield f"{url}/pool"


class Nobody(Executor):
    """Keeps what it is given, and does none of it."""

    def __init__(self):
        self.given = []

    def submit(self, *words):
        self.given.append(words)
        return Future()


def sha1(data):
    return hashlib.sha1(data, usedforsecurity=False).hexdigest()


def names(directory):
    return set(os.listdir(directory))


def campaign(store, pool, executor=None, **options):
    heard = []
    plan = Plan(
        subjects=(FAKE,),
        pool=os.fspath(pool),
        **{"seconds": 3, "length": 3, "minimize": 5, "timeout": 10} | options,
    )
    with store.locked(), executor or ThreadPoolExecutor(1) as running:
        made = Campaign(store, plan, lambda found, how: heard.append((found.token, how)))
        made.run(running, lambda _rows: None)
    return made, heard


def write(path, data=b""):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


@pytest.mark.parametrize("kind", ["file", "s3"])
def test_objects_are_kept(request, pool, kind):
    objects = Objects(request.getfixturevalue("s3") if kind == "s3" else os.fspath(pool))
    data = {sha1(each): each for each in (b"", b"one", b"two")}
    objects.put("corpus/fake", data)
    objects.put("work/me/7-fake", {f"new/{sha1(b'n')}": b"n"})
    objects.put("", {"running/me": b""})
    assert objects.below("corpus/fake", INPUT) == ({name: len(each) for name, each in data.items()}, [])
    assert list(objects.below("work/me/7-fake", WORK).sizes) == [f"new/{sha1(b'n')}"]
    assert objects.below("corpus/none", INPUT) == ({}, [])
    assert (objects.folders("work/me"), objects.folders("work/you")) == (["7-fake"], [])
    assert dict(objects.get("corpus/fake", [*data, sha1(b"absent")])) == data
    assert objects.has("running/me")
    objects.drop("running/me", "work/me/7-fake", f"corpus/fake/{sha1(b'one')}", "nothing")
    assert not objects.has("running/me")
    assert objects.folders("work/me") == []
    assert objects.below("corpus/fake", INPUT).sizes.keys() == data.keys() - {sha1(b"one")}


def test_names_that_lead_elsewhere_are_passed_over(s3):
    system, root = fsspec.url_to_fs(s3)
    name = sha1(b"x")
    strange = [f"../../{name}", "../../etc/passwd", "/etc/passwd", "README", f"deeper/{name}", name.upper()]
    for each in (name, *strange):
        system.pipe_file(f"{root}/corpus/strange/{each}", b"x")
    listing = Objects(s3).below("corpus/strange", INPUT)
    assert listing.sizes == {name: 1}
    assert set(listing.strange) == {f"corpus/strange/{each}" for each in strange}


def test_files_that_are_no_objects_are_passed_over(store, pool):
    home = pool / "corpus" / "fake"
    write(home / sha1(b"good"), b"good")
    write(home / sha1(b"whole"), b"who")
    write(home / "README", b"of somebody's")
    (home / sha1(b"link")).symlink_to(home / "README")
    os.mkfifo(home / sha1(b"pipe"))
    with (home / sha1(b"large")).open("wb") as file:
        file.truncate(1 << 30)
    made, _ = campaign(store, pool, seconds=0)
    assert names(store.corpus("fake")) == {sha1(b"good")}
    assert made.strange == {
        f"corpus/fake/{name}" for name in ("README", sha1(b"link"), sha1(b"pipe"), sha1(b"large"))
    }
    answer = fuzz("campaign", store.path, "--target", "fake", "--pool", pool, "--minutes", 0.02)
    assert "README" in answer.errors


def test_folder_and_pool_give_each_other_what_they_have(store, pool):
    with store.locked():
        store.add_inputs("fake", [b"here", b"both"])
    write(pool / "corpus" / "fake" / sha1(b"there"), b"there")
    write(pool / "corpus" / "fake" / sha1(b"both"), b"bo")
    campaign(store, pool, seconds=0)
    everything = {sha1(data) for data in (b"here", b"there", b"both")}
    assert names(store.corpus("fake")) == names(pool / "corpus" / "fake") == everything
    assert (pool / "corpus" / "fake" / sha1(b"both")).read_bytes() == b"both"


def test_what_dead_workers_left_is_taken_in(store, pool):
    with store.locked():
        home = pool / "work" / store.identity()
    write(home / "000007-fake" / "new" / sha1(b"whole"), b"whole")
    write(home / "000007-fake" / "new" / sha1(b"more"), b"mo")
    write(home / "000007-fake" / "artifacts" / f"crash-{sha1(b'abc')}", b"abc")
    write(home / "000008-absent" / "new" / sha1(b"other"), b"other")
    theirs = pool / "work" / ("0" * 16) / "000001-fake" / "new" / sha1(b"theirs")
    write(theirs, b"theirs")
    _, heard = campaign(store, pool, seconds=0)
    assert heard == [("fake:-:first:a", Standing.NEW)]
    assert names(store.corpus("fake")) == names(pool / "corpus" / "fake") == {sha1(b"whole")}
    assert names(home) == {"000008-absent"}
    assert theirs.exists()


def test_slice_that_is_run_again_goes_on_from_what_the_first_had(store, pool):
    nobody = Nobody()
    with store.locked():
        made = Campaign(store, Plan(subjects=(FAKE,), pool=os.fspath(pool), seconds=60), lambda *_: None)
        made._exchange.begin([FAKE])
        made._submit(nobody, made._order(FAKE, 1, "000001-fake"))
        [(run, url, order)] = nobody.given
        write(pool / order.work / "new" / sha1(b"q"), b"q")
        write(pool / order.work / "artifacts" / f"crash-{sha1(b'bq')}", b"bq")
        put = run(url, order)
        result = made._exchange.result(order, put)
    assert sha1(b"q") in put.inputs
    assert b"q" in result.inputs
    assert (b"bq", b"b") in {(found.original, found.smallest) for found in result.found}
    assert not {store.path.encode(), os.fsencode(store.path)} & {pickle.dumps((url, order))}
    assert store.path.encode() not in pickle.dumps((url, order, put))
    assert len(pickle.dumps(put)) < 2000


def test_slice_in_a_pool_is_shown_as_fast_as_the_last_one(store, pool):
    result = Result(counters=Counters(execs=600, seconds=2.0))
    with store.locked():
        made = Campaign(store, Plan(subjects=(FAKE,), pool=os.fspath(pool), seconds=60), lambda *_: None)
        made._tallies["fake"].add(result, added=0, found=0, corpus=7, now=0.0)
        for number in (1, 2):
            made._submit(Nobody(), made._order(FAKE, 1, f"{number}-fake"))
        [row] = made.rows()
    assert (row.workers, row.rate, row.execs, row.corpus) == (2, 600.0, 600, 7)


class Cluster(ThreadPoolExecutor):
    """Does not say which of its slices have begun, as Dask does not."""

    def submit(self, *words):
        told = Future()

        def tell(done):
            if error := done.exception():
                told.set_exception(error)
            else:
                told.set_result(done.result())

        super().submit(*words).add_done_callback(tell)
        return told


class Interrupted(Exception):
    pass


def test_interrupt_takes_in_what_slices_have_that_run(store, pool, tmp_path):
    write(tmp_path / "seeds" / "fake" / "seed", b"a")
    write(tmp_path / "seeds" / "fake" / "deeper" / "other", b"zz")

    def look(_rows):
        if list(pool.glob("work/*/*/new/*")):
            raise Interrupted

    places = {"pool": os.fspath(pool), "seeds": os.fspath(tmp_path / "seeds")}
    plan = Plan(subjects=(FAKE,), seconds=600, length=600, workers=2, **places)
    heard = []
    with store.locked(), Cluster(1) as running:  # the other slice waits
        made = Campaign(store, plan, lambda found, _how: heard.append(found.token))
        with pytest.raises(Interrupted):
            made.run(running, look)
    assert made.failures == []
    assert {finding["token"] for finding in store.findings()} == set(heard)
    assert heard  # on a busy machine one may not come again in the seconds that are left
    assert {token.removeprefix(NOT_REPRODUCED) for token in heard} <= TOKENS
    assert len(heard) == len(set(heard))
    assert names(store.corpus("fake"))
    assert names(pool / "corpus" / "fake") == names(store.corpus("fake")) | {sha1(b"zz")}
    assert list(pool.glob("work/*/*")) == []
    assert names(pool / "partial") == names(pool / "running") == names(store.at("work")) == set()
    assert store.state()["targets"]["fake"]["execs"] > 0


class Elsewhere(ThreadPoolExecutor):
    """A worker whose pool is another place than the campaign's."""

    def submit(self, run, url, order):
        return super().submit(run, f"{url}-elsewhere", order)


def test_worker_that_does_not_reach_the_pool_ends_the_campaign(store, pool):
    with pytest.raises(BadFolder):
        campaign(store, pool, Elsewhere(1), seconds=600)


@pytest.mark.parametrize(
    "url",
    [
        "memory://pool",  # each process has its own
        "nonsense://pool",
        "http://127.0.0.1:1/pool",
        "s3://",
        "file:///proc/pool",
        "file:///pool*",
    ],
)
def test_pool_that_cannot_be_used_is_told_in_a_line(tmp_path, url):
    fuzz_failed("campaign", tmp_path / "camp", "--target", "fake", "--pool", url, "-q", status=1)


@pytest.mark.parametrize("token", [FOUND.token, f"{NOT_REPRODUCED}{FOUND.token}"])
def test_finding_is_an_object_and_back(token):
    found = replace(FOUND, token=token)
    assert unpacked(packed(found)) == found


@pytest.mark.parametrize(
    "told",
    [
        [],
        {},
        {"token": "../../x"},
        {"token": "a:b:c:../d"},
        {"token": "/a:b:c:d"},
        {"original": "xy"},
        {"log": 3},
    ],
)
def test_object_that_is_no_finding_is_refused(told):
    data = json.loads(packed(FOUND)) | told if isinstance(told, dict) and told else told
    with pytest.raises(BadFolder):
        unpacked(json.dumps(data).encode())
