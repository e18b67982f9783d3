"""Requests at the same time: what goes on in parallel, what waits, and what is never lost."""

from __future__ import annotations

import threading
from random import Random

import pytest

from addcow_ref import open_image
from addcow_spec.errors import UsageError
from addcow_spec.model import Revision
from tests.ref.hooks import PATIENCE, Crew, Stop, hooked
from tests.ref.scenes import CLUSTER, SECTOR, UNIT, noise

SIZE = 6 * CLUSTER
BASE = noise(SIZE, 3)
PAGE = 4096
PAGE_UNITS = PAGE * 8


@pytest.fixture
def held(scene, revision):
    """An image whose first copy from unit 0 of the backing file is held up, and what holds it."""
    scene.create(b"\xdd" * SIZE, BASE, revision=revision)
    stop = Stop("read", b"base", 0)
    with hooked(scene, stop) as image:
        yield image, stop
        stop.let_go.set()


# -- what goes on


def test_copies_of_different_clusters_run_in_parallel(scene, revision):
    """Each copy waits in the backing file for the other."""
    scene.create(b"\xdd" * SIZE, BASE, revision=revision)
    together = threading.Barrier(2)

    def hook(operation, name, _):
        if (operation, name) == ("read", b"base"):
            together.wait(PATIENCE)

    with hooked(scene, hook) as image:
        with Crew() as crew:
            crew.start(image.write, 5, b"\xe1" * 10)
            crew.start(image.write, CLUSTER + SECTOR - 10, b"\xe2" * 10)
        together.abort()
        assert image.allocated_units() == 2


@pytest.mark.parametrize(
    "request_", ["read it", "read other", "write other", "zero other", "flush", "extents"]
)
def test_copy_that_is_held_up_holds_up_nobody_else(held, request_):
    image, stop = held
    with Crew() as crew:
        copy = crew.start(image.write, 1, b"\xee")
        assert stop.reached.wait(PATIENCE)
        call = {
            "read it": lambda: image.read(1, 1) == BASE[1:2],
            "read other": lambda: image.read(CLUSTER, 5) == BASE[CLUSTER : CLUSTER + 5],
            "write other": lambda: image.write(CLUSTER, b"\xee"),
            "zero other": lambda: image.write_zeroes(CLUSTER, 3 * CLUSTER),
            "flush": image.flush,
            "extents": lambda: list(image.extents()),
        }[request_]
        assert crew.ended(crew.start(call), PATIENCE)
        assert not crew.ended(copy)
        stop.let_go.set()
    assert image.read(0, 4) == BASE[:1] + b"\xee" + BASE[2:4]


def test_unit_under_copy_reads_old(held):
    image, stop = held
    with Crew() as crew:
        crew.start(image.write, 1, b"\xee")
        assert stop.reached.wait(PATIENCE)
        assert image.read(0, 100) == BASE[:100]
        stop.let_go.set()
    assert image.read(0, 3) == BASE[:1] + b"\xee" + BASE[2:3]


def test_flush_writes_no_bit_of_a_write_that_is_under_way(scene, revision):
    """Its unit shares a byte of the bitmap with one that is flushed."""
    scene.create(b"\xdd" * SIZE, BASE, revision=revision)
    stop = Stop("write", b"img", 0)
    unit = UNIT[revision]
    with hooked(scene, stop) as image, Crew() as crew:
        crew.start(image.write, 0, b"\xee" * unit)
        assert stop.reached.wait(PATIENCE)
        image.write(unit, b"\xee" * unit)
        image.flush()
        assert scene.bits() == {1}
        stop.let_go.set()


# -- what waits


@pytest.mark.parametrize("second", ["write", "write_zeroes"])
def test_second_write_to_a_unit_waits_and_copies_nothing(scene, revision, second):
    scene.create(b"\xdd" * SIZE, BASE, revision=revision)
    stop, copies = Stop("read", b"base", 0), []

    def hook(*call):
        if call[:2] == ("read", b"base"):
            copies.append(call)
        stop(*call)

    with hooked(scene, hook) as image, Crew() as crew:
        crew.start(image.write, 1, b"\xe1")
        assert stop.reached.wait(PATIENCE)
        call = image.write if second == "write" else image.write_zeroes
        other = crew.start(call, 300, b"\xe2" if second == "write" else 1)
        assert not crew.ended(other)
        # Both rests of a unit come in one read.
        assert len(copies) == 1
        stop.let_go.set()
        assert crew.ended(other, PATIENCE)
        assert len(copies) == 1
        want = bytearray(BASE[:SECTOR])
        want[1:2], want[300:301] = b"\xe1", b"\xe2" if second == "write" else b"\0"
        assert image.read(0, SECTOR) == want


@pytest.mark.parametrize("alone", ["resize", "close"])
def test_what_changes_the_disk_waits_for_requests(held, alone):
    image, stop = held
    call = {"resize": lambda: image.resize(CLUSTER), "close": image.close}[alone]
    with Crew() as crew:
        crew.start(image.write, 1, b"\xee")
        assert stop.reached.wait(PATIENCE)
        whole = crew.start(call)
        assert not crew.ended(whole)
        read = crew.start(lambda: image.read(0, 1) if alone == "resize" else None)
        stop.let_go.set()
        assert crew.ended(whole, PATIENCE)
        assert crew.ended(read, PATIENCE)
    if alone == "resize":
        assert image.size == CLUSTER
        assert image.read(0, 3) == BASE[:1] + b"\xee" + BASE[2:3]


@pytest.mark.parametrize("alone", ["resize", "close"])
@pytest.mark.parametrize("request_", ["flush", "count"])
def test_what_changes_the_disk_waits_for_flush_and_count(scene, revision, request_, alone):
    scene.create(b"\xdd" * SIZE, BASE, revision=revision)
    with scene.open() as image:
        image.write(0, b"\xee")
    stop = Stop(*{"flush": ("sync", b"img"), "count": ("read", b"x")}[request_])
    image = hooked(scene, stop)
    with Crew() as crew:
        crew.start({"flush": image.flush, "count": image.allocated_units}[request_])
        assert stop.reached.wait(PATIENCE)
        whole = crew.start({"resize": lambda: image.resize(CLUSTER), "close": image.close}[alone])
        assert not crew.ended(whole)
        stop.let_go.set()
    image.close()


@pytest.mark.parametrize("alone", ["resize", "close"])
def test_what_changes_the_disk_waits_for_a_flush_that_has_only_begun(scene, alone):
    scene.create(b"\xdd" * SIZE, BASE)
    image, stop = scene.open(), Stop("flush", b"")
    disk = image._disk
    real = disk.make_durable

    def late():
        stop("flush", b"", 0)
        real()

    disk.make_durable = late
    with Crew() as crew:
        crew.start(image.flush)
        assert stop.reached.wait(PATIENCE)
        whole = crew.start({"resize": lambda: image.resize(CLUSTER), "close": image.close}[alone])
        assert not crew.ended(whole)
        stop.let_go.set()
    image.close()


def test_units_are_given_back_with_their_bits_set(scene, revision):
    """A second write that came between data and bits would copy old bytes over the first."""
    scene.create(b"\xdd" * SIZE, BASE, revision=revision)
    with scene.open() as image, Crew() as crew:
        bitmap, stop = image._disk.bitmap, Stop("set", b"")
        real = bitmap.set

        def late(first, last):
            stop("set", b"", 0)
            real(first, last)

        bitmap.set = late
        crew.start(image.write, 1, b"\xe1")
        assert stop.reached.wait(PATIENCE)
        second = crew.start(image.write, 300, b"\xe2")
        assert not crew.ended(second)
        stop.let_go.set()
        crew.__exit__(None)
        assert image.read(0, 301) == BASE[:1] + b"\xe1" + BASE[2:300] + b"\xe2"


def test_only_the_edges_of_a_long_write_are_copied(scene):
    scene.create(b"\xdd" * SIZE, BASE)
    calls = []
    with hooked(scene, lambda *call: calls.append(call)) as image:
        image.write(100, bytes(4 * CLUSTER))
    assert [call for call in calls if call[1] == b"base"][:2] == [
        ("read", b"base", 0),
        ("read", b"base", 4 * CLUSTER + 100),
    ]


def test_write_that_waits_for_a_resize_is_judged_by_the_new_size(scene, revision):
    scene.create(b"\xdd" * SIZE, BASE, revision=revision)
    stop, refused = Stop("sync", b"img"), []

    def late():
        with pytest.raises(UsageError) as error:
            image.write(SIZE - 1, b"\xee")
        refused.append(error.value.rule)

    with hooked(scene, stop) as image, Crew() as crew:
        crew.start(image.resize, CLUSTER)
        assert stop.reached.wait(PATIENCE)
        crew.start(late)
        stop.let_go.set()
        crew.__exit__(None)
        assert refused == ["ACW-DYN-007"]
    assert scene.size() == CLUSTER


def test_two_closes_at_once_close_once(scene):
    scene.create(b"\xdd" * SIZE, BASE)
    stop, closed = Stop("sync", b"img"), []

    def hook(operation, name, offset):
        if operation == "close":
            closed.append(name)
        stop(operation, name, offset)

    image = hooked(scene, hook)
    image.write(0, b"\xee")
    with Crew() as crew:
        crew.start(image.close)
        assert stop.reached.wait(PATIENCE)
        crew.start(image.close)
        stop.let_go.set()
    assert sorted(closed) == [b"base", b"img", b"x"]


# -- eviction


def far(page):
    return page * PAGE_UNITS * SECTOR


def test_bit_set_while_its_page_is_written_back_is_kept(scene):
    """The page goes to the file without the new bit, and has to go once more."""
    scene.create(far(2), revision=Revision.V6)
    stop = Stop("write", b"x")
    with hooked(scene, stop, cache_size=PAGE) as image, Crew() as crew:
        image.write(0, b"\xe1")
        crew.start(image.read, far(1), 1)
        assert stop.reached.wait(PATIENCE)
        image.write(SECTOR, b"\xe2")
        stop.let_go.set()
        crew.__exit__(None)
        assert image.read(SECTOR, 1) == b"\xe2"
    with scene.open(writable=False) as image:
        assert image.read(0, 1) == b"\xe1"
        assert image.read(SECTOR, 1) == b"\xe2"
        assert image.allocated_units() == 2


def test_page_that_is_being_written_stays_in_the_cache(scene):
    """Else a page read again from the file meanwhile would lack the bits that are on their way."""
    scene.create(far(3), noise(SECTOR), revision=Revision.V6)
    stop = Stop("write", b"x")
    with hooked(scene, stop, cache_size=PAGE) as image, Crew() as crew:
        image.write(0, b"\xe1" * SECTOR)
        crew.start(image.flush)
        assert stop.reached.wait(PATIENCE)
        other = crew.start(image.read, far(1), 1)
        assert not crew.ended(other)
        assert image.read(0, 1) == b"\xe1"
        assert image.allocated_units() == 1
        stop.let_go.set()


def test_flush_waits_for_pages_that_another_writes(scene):
    """They are no longer changed, and not yet in the file."""
    scene.create(far(2), revision=Revision.V6)
    stop = Stop("write", b"x")
    with hooked(scene, stop, cache_size=PAGE) as image, Crew() as crew:
        image.write(0, b"\xe1")
        crew.start(image.read, far(1), 1)
        assert stop.reached.wait(PATIENCE)
        flush = crew.start(image.flush)
        assert not crew.ended(flush)
        stop.let_go.set()


@pytest.mark.parametrize("cache", [PAGE, 3 * PAGE])
def test_storm_over_a_small_cache(scene, cache):
    """Writers of their own sectors on five pages, with readers, flushes and counts between them."""
    old = Revision.V6
    scene.create(far(5), revision=old)
    written = [[] for _ in range(4)]

    def write(number):
        random = Random(number)  # noqa: S311 - a schedule
        for turn in range(60):
            sector = random.randrange(5) * PAGE_UNITS + 4 * random.randrange(40) + number
            data = bytes([1 + turn]) * random.choice([1, 100, SECTOR])
            image.write(sector * SECTOR, data)
            written[number].append((sector, data))
            if turn % 20 == 19:
                image.flush()

    def read():
        random = Random(9)  # noqa: S311 - a schedule
        for _ in range(60):
            image.read(far(random.randrange(5)), SECTOR)
            image.allocated_units()

    with scene.open(cache_size=cache) as image:
        with Crew() as crew:
            for number in range(4):
                crew.start(write, number)
            crew.start(read)
        assert len(image._disk.bitmap.pages) <= cache // PAGE
    want = {}
    for sector, data in (item for one in written for item in one):
        want[sector] = data + want.get(sector, bytes(SECTOR))[len(data) :]
    with scene.open(writable=False) as image:
        assert image.allocated_units() == len(want)
        for sector, data in want.items():
            assert image.read(sector * SECTOR, SECTOR) == data


def test_everything_at_once(scene, revision):
    """Writers own a cluster each; flush, zeroes elsewhere, resize beyond them and a stream run along."""
    scene.create(b"\xdd" * SIZE, BASE, revision=revision)
    want = bytearray(BASE)

    def write(number):
        random = Random(number)  # noqa: S311 - a schedule
        start = number * CLUSTER
        for turn in range(25):
            offset = start + random.randrange(CLUSTER - 700)
            data = bytes([1 + turn + 50 * number]) * random.randrange(700)
            image.write(offset, data)
            want[offset : offset + len(data)] = data
            assert image.read(start, CLUSTER) == want[start : start + CLUSTER]

    def resize():
        for size in (5 * CLUSTER, 7 * CLUSTER, 4 * CLUSTER, SIZE):
            image.resize(size)

    def flush():
        for _ in range(5):
            image.flush()

    with scene.open() as image:
        with Crew() as crew:
            for number in range(4):
                crew.start(write, number)
            crew.start(resize)
            crew.start(flush)
            crew.start(image.stream)
        assert image.read(0, 4 * CLUSTER) == want[: 4 * CLUSTER]
    with scene.open(writable=False) as image:
        assert image.read(0, 4 * CLUSTER) == want[: 4 * CLUSTER]
    assert scene.findings() == []


def test_readers_share_one_image(files):
    files.create(b"\xdd" * SIZE, BASE)
    with open_image(files.path()) as image, Crew() as crew:

        def read(seed):
            random = Random(seed)  # noqa: S311 - a schedule
            for _ in range(50):
                offset = random.randrange(SIZE)
                assert image.read(offset, min(900, SIZE - offset)) == BASE[offset : offset + 900]

        for seed in range(4):
            crew.start(read, seed)
