"""ACW-DYN-008: the bitmap behind a cache that does not grow with the disk, by itself and under huge disks."""

from __future__ import annotations

from random import Random

import pytest

from addcow_ref._bitmap import PAGE_BITS, PAGE_SIZE, Bitmap
from addcow_ref.memory import MemoryFiles
from addcow_ref.testing import FaultPlan, FaultyStorage, Operation
from addcow_spec.errors import StorageError
from addcow_spec.geometry import Geometry
from addcow_spec.model import Revision
from tests.ref.scenes import UNIT

PIB = 1 << 50
V10 = Revision.V10


class Fixture:
    """A bitmap of its own over a file in memory; ``told`` has the calls in order, the barrier among them."""

    def __init__(self, units, *, pages=2, revision=V10):
        self.geometry = Geometry(revision, units * UNIT[revision])
        self.files = MemoryFiles()
        file = self.files.create(b"x")
        file.truncate(self.geometry.bitmap_end)
        self.told = []
        self.plan = FaultPlan()
        self.bitmap = Bitmap(
            FaultyStorage(file, self.plan), self.geometry, cache_size=pages * PAGE_SIZE, barrier=self.barrier
        )
        self.failing = False

    def barrier(self):
        self.told.append("barrier")
        if self.failing:
            raise StorageError("the barrier failed")

    def stored(self):
        """The bits in the file."""
        data = self.files.contents(b"x")[self.geometry.bitmap_offset :]
        return {at * 8 + bit for at, byte in enumerate(data) if byte for bit in range(8) if byte >> bit & 1}

    def runs(self, first, stop):
        """The runs, neighbours that are alike made one; they must follow each other."""
        found = []
        at = first
        for start, after, value in self.bitmap.runs(first, stop):
            assert start == at < after
            at = after
            if found and found[-1][2] == value:
                found[-1] = (found[-1][0], after, value)
            else:
                found.append((start, after, value))
        assert at == max(first, stop)
        return found


# -- bits


@pytest.mark.parametrize("revision_", Revision)
def test_bits_are_where_the_format_has_them(revision_):
    made = Fixture(3 * PAGE_BITS + 5, revision=revision_)
    places = {0, 7, 8, 100, PAGE_BITS - 1, PAGE_BITS, 2 * PAGE_BITS + 9, 3 * PAGE_BITS + 4}
    for place in places:
        made.bitmap.set(place, place + 1)
    made.bitmap.write_back()
    assert made.stored() == places
    assert made.bitmap.count() == len(places)
    assert all(made.bitmap.is_set(place, place + 1) for place in places)
    assert not made.bitmap.is_set(0, 2)


@pytest.mark.parametrize(
    ("first", "stop"),
    [(0, 1), (3, 11), (PAGE_BITS - 1, PAGE_BITS + 1), (5, 3 * PAGE_BITS), (0, 4 * PAGE_BITS), (7, 7)],
)
def test_range_is_set_whole_and_alone(first, stop):
    made = Fixture(4 * PAGE_BITS)
    made.bitmap.set(first, stop)
    wanted = [(0, first, False), (first, stop, True), (stop, 4 * PAGE_BITS, False)]
    wanted = [run for run in wanted if run[0] < run[1]] if first < stop else [(0, 4 * PAGE_BITS, False)]
    assert made.runs(0, 4 * PAGE_BITS) == wanted
    assert made.bitmap.count() == stop - first
    made.bitmap.write_back()
    assert made.stored() == set(range(first, stop))


@pytest.mark.parametrize("revision_", Revision)
def test_runs_agree_with_the_bits(revision_):
    """Random bits, read from every side, over pages that are cached, stored and holes."""
    random = Random(4)  # noqa: S311 - a sample
    units = 200 * PAGE_BITS + 77
    made = Fixture(units, pages=2, revision=revision_)
    bits = set()
    for page in (0, 1, 15, 120, 200):
        for _ in range(20):
            first = page * PAGE_BITS + (
                random.randrange(77) if page == 200 else random.randrange(20000, PAGE_BITS)
            )
            stop = min(first + random.choice([1, 2, 100]), units)
            made.bitmap.set(first, stop)
            bits |= set(range(first, stop))
    edges = [
        0,
        1,
        PAGE_BITS - 1,
        PAGE_BITS,
        13 * PAGE_BITS + 5,
        70 * PAGE_BITS + 5,
        99 * PAGE_BITS,
        units - 1,
        units,
    ]
    for first in edges:
        for stop in edges:
            found = {unit for a, b, value in made.runs(first, stop) if value for unit in range(a, b)}
            assert found == {unit for unit in bits if first <= unit < stop}
    assert made.bitmap.count() == len(bits)


def test_page_knows_when_it_is_full():
    """What requests go by that ask for no run: the last page is full with the units that there are."""
    made = Fixture(PAGE_BITS + 5)
    made.bitmap.set(0, PAGE_BITS - 1)
    assert made.bitmap.pages[0].clear == 1
    made.bitmap.set(PAGE_BITS - 2, PAGE_BITS + 4)
    assert made.bitmap.pages[0].clear == 0
    assert made.bitmap.pages[1].clear == 1
    made.bitmap.set(PAGE_BITS, PAGE_BITS + 5)
    assert made.bitmap.pages[1].clear == 0
    made.bitmap.write_back()
    again = Fixture(PAGE_BITS + 5)
    again.bitmap._file = made.bitmap._file
    assert again.bitmap.is_set(0, PAGE_BITS + 5)
    assert [again.bitmap.pages[index].clear for index in (0, 1)] == [0, 0]


def test_unused_bits_of_the_file_count_for_nothing():
    """As a reader by the text alone has to take them."""
    made = Fixture(5)
    made.bitmap._file.write(made.geometry.bitmap_offset, b"\xff")
    assert made.bitmap.count() == 5
    assert made.runs(0, 5) == [(0, 5, True)]
    assert made.bitmap.pages[0].clear == 0


# -- the cache


@pytest.mark.parametrize("pages", [1, 2, 8, 33])
def test_cache_never_has_more_pages(pages):
    made = Fixture(100 * PAGE_BITS, pages=pages)
    random = Random(pages)  # noqa: S311 - a sample
    bits = set()
    for turn in range(600):
        unit = random.randrange(100) * PAGE_BITS + turn
        if turn % 3:
            made.bitmap.set(unit, unit + 1)
            bits.add(unit)
        else:
            assert made.bitmap.is_set(unit, unit + 1) == (unit in bits)
        assert len(made.bitmap.pages) <= pages
    assert made.bitmap.count() == len(bits)
    made.bitmap.write_back()
    assert made.stored() == bits


def test_cache_is_made_use_of():
    """Pages that fit are read once."""
    made = Fixture(8 * PAGE_BITS, pages=8)
    for _ in range(3):
        for page in range(8):
            made.bitmap.is_set(page * PAGE_BITS, page * PAGE_BITS + 9)
    assert made.plan.calls[Operation.READ, b"x"] == 8


def test_page_that_is_used_stays():
    """One page is asked for again and again while others pass by."""
    made = Fixture(100 * PAGE_BITS, pages=8)
    for page in range(1, 100):
        made.bitmap.is_set(0, 1)
        made.bitmap.is_set(page * PAGE_BITS, page * PAGE_BITS + 1)
    # The first time that room is made, all are equal.
    assert made.plan.calls[Operation.READ, b"x"] <= 101


def test_pages_leave_a_few_at_a_time():
    made = Fixture(100 * PAGE_BITS, pages=32)
    for page in range(33):
        made.bitmap.is_set(page * PAGE_BITS, page * PAGE_BITS + 1)
    assert len(made.bitmap.pages) == 29


def test_changed_pages_are_written_in_one_batch():
    """One barrier for all of them, not one each."""
    made = Fixture(20 * PAGE_BITS, pages=8)
    for page in range(9):
        made.bitmap.set(page * PAGE_BITS, page * PAGE_BITS + 1)
    assert made.told == ["barrier"]
    assert made.plan.calls[Operation.WRITE, b"x"] == 8
    assert made.stored() == {page * PAGE_BITS for page in range(8)}


def test_page_without_a_change_leaves_without_a_barrier():
    made = Fixture(3 * PAGE_BITS, pages=2)
    made.bitmap.set(0, 1)
    for page in (1, 2):
        made.bitmap.is_set(page * PAGE_BITS, page * PAGE_BITS + 1)
    assert made.told == []
    assert sorted(made.bitmap.pages) == [0, 2]


def test_page_is_written_only_when_a_bit_changed():
    made = Fixture(PAGE_BITS)
    assert not made.bitmap.write_back()
    made.bitmap.set(3, 5)
    assert made.bitmap.write_back()
    made.bitmap.set(3, 5)
    assert not made.bitmap.write_back()
    assert made.told == ["barrier"]


def test_last_page_is_written_no_longer_than_the_bitmap():
    made = Fixture(PAGE_BITS + 5)
    made.bitmap.set(0, PAGE_BITS + 5)
    made.bitmap.write_back()
    assert len(made.files.contents(b"x")) == made.geometry.bitmap_end


def test_owner_is_told_that_pages_await_a_sync():
    made = Fixture(3 * PAGE_BITS, pages=1)
    assert not made.bitmap.unsynced
    made.bitmap.set(0, 1)
    assert not made.bitmap.unsynced
    made.bitmap.is_set(PAGE_BITS, PAGE_BITS + 1)
    assert made.bitmap.unsynced


def test_barrier_that_fails_keeps_pages_changed_and_unwritten():
    made = Fixture(3 * PAGE_BITS, pages=1)
    made.bitmap.set(0, 1)
    made.failing = True
    with pytest.raises(StorageError):
        made.bitmap.write_back()
    with pytest.raises(StorageError):
        made.bitmap.set(PAGE_BITS, PAGE_BITS + 1)
    assert made.stored() == set()
    assert made.bitmap.pages[0].dirty
    assert made.runs(PAGE_BITS, 3 * PAGE_BITS) == [(PAGE_BITS, 3 * PAGE_BITS, False)]
    made.failing = False
    made.bitmap.set(PAGE_BITS, PAGE_BITS + 1)
    assert made.stored() == {0}


def test_page_changed_while_it_is_written_is_written_again():
    made = Fixture(PAGE_BITS)
    made.bitmap.set(0, 1)

    def late():
        made.told.append("barrier")
        made.bitmap.set(1, 2)

    made.bitmap._barrier = late
    made.bitmap.write_back()
    assert made.stored() == {0}
    made.bitmap._barrier = made.barrier
    made.bitmap.write_back()
    assert made.stored() == {0, 1}


def test_page_does_not_leave_while_it_is_written():
    made = Fixture(3 * PAGE_BITS, pages=1)
    made.bitmap.set(0, 1)
    left = []

    def look():
        with made.bitmap._lock:
            left.append(made.bitmap._evict())

    made.bitmap._barrier = look
    made.bitmap.write_back()
    assert left == [False]
    assert 0 in made.bitmap.pages


def leaving(made, index):
    """A file whose next read is over before a page leaves the cache."""
    file, real = made.bitmap._file, made.bitmap._file.read_into

    def read_into(offset, buffer):
        file.read_into = real
        real(offset, buffer)
        made.bitmap.is_set(index * PAGE_BITS, index * PAGE_BITS + 1)

    file.read_into = read_into


def test_page_that_leaves_while_bits_are_counted_is_counted():
    made = Fixture(40 * PAGE_BITS, pages=1)
    made.bitmap.set(39 * PAGE_BITS, 39 * PAGE_BITS + 1)
    made.bitmap.set(PAGE_BITS, PAGE_BITS + 3)
    leaving(made, 39)
    assert made.bitmap.count() == 4
    assert list(made.bitmap.pages) == [39]


def test_page_that_leaves_before_its_bit_is_set_comes_back():
    made = Fixture(2 * PAGE_BITS, pages=1)
    real, turns = made.bitmap._page, []

    def page(index):
        found = real(index)
        if not turns:
            turns.append(index)
            real(1)
        return found

    made.bitmap._page = page
    made.bitmap.set(5, 6)
    made.bitmap._page = real
    made.bitmap.write_back()
    assert made.stored() == {5}


# -- holes


@pytest.mark.parametrize("walk", ["runs", "count"])
def test_holes_are_not_read(walk):
    """A disk of 4 EiB with bits in two places."""
    made = Fixture(1 << 46, pages=4)
    places = [3 << 30, (1 << 46) - 2]
    for place in places:
        made.bitmap.set(place, place + 1)
    made.bitmap.write_back()
    made.bitmap.pages.clear()
    made.plan.calls.clear()
    if walk == "count":
        assert made.bitmap.count() == 2
    else:
        found = [run[:2] for run in made.runs(0, 1 << 46) if run[2]]
        assert found == [(place, place + 1) for place in places]
    assert sum(made.plan.calls.values()) < 50


@pytest.mark.parametrize("revision_", [Revision.V4, Revision.V6])
@pytest.mark.parametrize("walk", ["runs", "count"])
def test_page_that_begins_in_a_hole_is_read(revision_, walk):
    """The bitmap of v4 and v6 does not begin with a block; a sparse copy has holes that end within a page."""
    made = Fixture(60 * PAGE_BITS, revision=revision_)
    block = 2 * 65536
    made.bitmap._file.write(block + 10, b"\x01")
    unit = (block + 10 - made.geometry.bitmap_offset) * 8
    if walk == "count":
        assert made.bitmap.count() == 1
    else:
        assert [run[:2] for run in made.runs(0, 60 * PAGE_BITS) if run[2]] == [(unit, unit + 1)]


@pytest.mark.parametrize("walk", ["runs", "count"])
def test_bits_that_are_only_in_the_cache_are_seen_over_a_hole(walk):
    made = Fixture(20 * PAGE_BITS, pages=8)
    made.bitmap.set(7 * PAGE_BITS + 5, 7 * PAGE_BITS + 6)
    made.bitmap.set(19 * PAGE_BITS, 20 * PAGE_BITS)
    if walk == "count":
        assert made.bitmap.count() == 1 + PAGE_BITS
    else:
        found = [run[:2] for run in made.runs(1, 20 * PAGE_BITS) if run[2]]
        assert found == [(7 * PAGE_BITS + 5, 7 * PAGE_BITS + 6), (19 * PAGE_BITS, 20 * PAGE_BITS)]
    assert made.stored() == set()


def test_cached_pages_count_before_those_of_the_file():
    """Stored, then changed in memory, next to pages that are only stored."""
    made = Fixture(6 * PAGE_BITS, pages=2)
    for page in range(6):
        made.bitmap.set(page * PAGE_BITS, page * PAGE_BITS + 10)
    made.bitmap.set(3 * PAGE_BITS + 100, 3 * PAGE_BITS + 105)
    assert made.bitmap.count() == 65


def test_count_reads_much_at_once():
    made = Fixture(600 * PAGE_BITS, pages=4)
    made.bitmap.set(0, 600 * PAGE_BITS)
    made.bitmap.write_back()
    made.plan.calls.clear()
    assert made.bitmap.count() == 600 * PAGE_BITS
    assert made.plan.calls[Operation.READ, b"x"] == 3
    assert len(made.bitmap.pages) <= 4


def test_bits_are_looked_at_beyond_a_page():
    fixture = Fixture(2 * PAGE_BITS)
    fixture.bitmap.set(PAGE_BITS - 5, PAGE_BITS + 5)
    assert fixture.bitmap.is_set(PAGE_BITS - 5, PAGE_BITS + 5)
    assert not fixture.bitmap.is_set(PAGE_BITS - 5, PAGE_BITS + 6)
