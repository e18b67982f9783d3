"""The oracle against a second definition: everything that happened is kept, and every way that it may have
turned out is listed anew for each question, sector by sector and bit by bit."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from addcow_conformance.oracle import SECTOR, Oracle, Outcome, Values
from tests.conformance.happened import LARGEST, UNIT, Happened

# -- histories


OUTCOMES = st.sampled_from([Outcome.DONE, Outcome.DONE, Outcome.FAILED, Outcome.DURABLE])
SIZES = st.one_of(
    st.integers(0, LARGEST), st.sampled_from([0, 1, 511, 512, 513, 1024, 1500, 1536, 2047, 2048, 2049])
)
EDGES = st.builds(
    lambda at, by: max(at + by, 0), st.sampled_from(range(0, LARGEST, SECTOR)), st.integers(-3, 3)
)
PLACES = EDGES | st.integers(0, LARGEST)
KINDS = ["write"] * 4 + ["stream", "flush", "flush", "kill", "resize", "resize", "see", "see", "see units"]


class Pair:
    """An oracle, and what happened to it.

    Attributes:
        exact: whether the oracle, to which reads and losses of power are two things, has seen
            nothing that ties the two together. Then it knows as much as can be known.
    """

    def __init__(self, data, kinds):
        self.data = data
        self.kinds = kinds
        size, backing = data.draw(SIZES), data.draw(st.none() | SIZES)
        below = None if backing is None else bytes(128 + at // 100 for at in range(backing))
        self.oracle = Oracle(size, below, UNIT)
        self.happened = Happened(size, below or b"")
        self.exact = True
        self.tag = 0

    def step(self):
        kind = self.data.draw(st.sampled_from(self.kinds))
        getattr(self, kind.replace(" ", "_"))()
        self.compare()

    def tell(self, *facts):
        self.happened.events.append(facts)

    def write(self):
        size = self.happened.size
        offset = min(self.data.draw(PLACES), size)
        length = min(self.data.draw(PLACES), size - offset)
        self.tag += 1
        data = bytes([self.data.draw(st.sampled_from([0, self.tag]))]) * length
        outcome = self.data.draw(OUTCOMES)
        self.oracle.write(offset, data, outcome)
        self.tell("write", offset, data, outcome)

    def stream(self):
        outcome = self.data.draw(st.sampled_from([Outcome.DONE, Outcome.FAILED]))
        self.oracle.stream(outcome)
        self.tell("stream", outcome)

    def flush(self):
        # Of bits that may be set the oracle does not say that they are durable if they are.
        self.exact = self.exact and self.oracle.must_be_set == self.oracle.may_be_set
        self.oracle.flush()
        self.tell("flush")

    def kill(self):
        self.oracle.kill()
        self.tell("kill")

    def resize(self):
        size = self.data.draw(SIZES)
        self.oracle.resize(size)
        self.tell("resize", size)

    def see(self):
        """A read of any range: of bytes that may be there, or with one byte that no case has."""
        size = self.happened.size
        offset = min(self.data.draw(PLACES), size)
        length = min(self.data.draw(PLACES), size - offset)
        self.look(offset, offset + length, wrong=self.data.draw(st.integers(0, 3)) == 0 and length > 0)

    def look(self, offset, end, *, wrong=False):
        sectors = [self.one_of({now for now, _ in self.happened.sector(at)}) for at in self.sectors()]
        shown = bytearray(b"".join(sectors)[offset:end])
        if wrong:
            place = self.data.draw(st.integers(0, len(shown) - 1))
            shown[place] ^= 0xFF  # no value has it: tags are small, and what is below is less than 192
            twin = self.oracle.copy()
            assert twin.see(offset, bytes(shown)) <= offset + place
            assert twin.see(offset, bytes(shown)) is not None  # to see it once does not make it right
            return
        several = any(len(self.happened.sector(at)) > 1 for at in self.sectors())
        assert self.oracle.see(offset, bytes(shown)) is None
        self.tell("see", offset, bytes(shown))
        self.exact = self.exact and not several

    def see_units(self):
        cases = {at: {now for now, _ in self.happened.unit(at)} for at in self.happened.units()}
        found = {at for at in cases if self.one_of(cases[at])}
        wrong = {at for at in cases if len(cases[at]) == 1 and self.data.draw(st.booleans())}
        assert self.oracle.copy().see_units(found ^ wrong) == wrong
        several = any(len(self.happened.unit(at)) > 1 for at in cases)
        assert self.oracle.see_units(found) == set()
        self.tell("see units", frozenset(found))
        self.exact = self.exact and not several

    def one_of(self, values):
        """One of the values; drawn by its number only where there are several."""
        return sorted(values)[self.data.draw(st.integers(0, len(values) - 1)) if len(values) > 1 else 0]

    def sectors(self):
        return range(-(-self.happened.size // SECTOR))

    def compare(self):
        """What can be must be allowed; and where the oracle is exact, nothing else is."""
        oracle, happened = self.oracle, self.happened
        assert oracle.size == happened.size
        known = oracle.values()
        assert set(known) <= set(self.sectors())
        for at in self.sectors():
            cases = happened.sector(at)
            now, after = {now for now, _ in cases}, frozenset().union(*(after for _, after in cases))
            value = oracle.read(at * SECTOR, SECTOR)
            allowed = known.get(at, Values(frozenset({value}), frozenset({value})))
            assert value in allowed.now
            assert now <= allowed.now <= allowed.after
            assert after <= allowed.after
            if self.exact:
                event("several values" if len(after) > 1 else "one value")
                assert (now, after) == allowed
        self.compare_units()

    def compare_units(self):
        oracle = self.oracle
        cases = {at: self.happened.unit(at) for at in self.happened.units()}
        assert (
            oracle.must_be_set == {at for at in cases if all(now for now, _ in cases[at])} or not self.exact
        )
        assert oracle.may_be_set == {at for at in cases if any(now for now, _ in cases[at])}
        durable = {at for at in cases if all(after == {True} for _, after in cases[at])}
        assert oracle.durable_units <= durable
        assert oracle.durable_units == durable or not self.exact


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_what_can_be_is_allowed_and_nothing_else(data):
    pair = Pair(data, KINDS)
    pair.compare()
    for _ in range(data.draw(st.integers(1, 9))):
        pair.step()


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_after_everything_is_read_one_value_is_left(data):
    """As a session does it: all is read after each operation, so that the oracle is exact but for kills."""
    pair = Pair(data, ["write", "write", "stream", "flush", "resize", "kill"])
    for _ in range(data.draw(st.integers(1, 9))):
        pair.step()
        pair.look(0, pair.happened.size)
        pair.see_units()
        assert all(len(values.now) == 1 for values in pair.oracle.values().values())
        assert pair.oracle.must_be_set == pair.oracle.may_be_set
        pair.compare()


# -- by hand


ONE, TWO, BELOW = b"\1" * SECTOR, b"\2" * SECTOR, b"\x80" * SECTOR


def of(now, after):
    return Values(frozenset(now), frozenset(after))


def test_write_may_be_lost_until_it_is_flushed():
    oracle = Oracle(SECTOR, BELOW, UNIT)
    oracle.write(0, ONE)
    assert (oracle.read(0, SECTOR), oracle.values()) == (ONE, {0: of([ONE], [BELOW, ONE])})
    oracle.flush()
    assert (oracle.values(), oracle.durable_units) == ({}, {0})


def test_two_writes_are_lost_the_last_one_first():
    oracle = Oracle(SECTOR, BELOW, UNIT)
    oracle.write(0, ONE[:100])
    oracle.write(200, TWO[:100])
    first = ONE[:100] + BELOW[100:]
    both = first[:200] + TWO[:100] + first[300:]
    assert oracle.values() == {0: of([both], [BELOW, first, both])}


def test_durable_write_is_there_after_a_loss_of_power_and_the_one_before_it_may_be_lost():
    oracle = Oracle(SECTOR, BELOW, UNIT)
    oracle.write(0, ONE[:100])
    oracle.write(200, TWO[:100], Outcome.DURABLE)
    only = BELOW[:200] + TWO[:100] + BELOW[300:]
    assert oracle.values() == {0: of([ONE[:100] + only[100:]], [only, ONE[:100] + only[100:]])}


def test_failed_write_is_there_or_not_until_it_is_seen():
    oracle = Oracle(2 * SECTOR, BELOW * 2, UNIT)
    oracle.write(0, ONE * 2, Outcome.FAILED)
    assert (oracle.must_be_set, oracle.may_be_set) == (set(), {0})
    assert oracle.see(0, ONE + BELOW) is None
    assert oracle.see(0, BELOW + BELOW) == 0
    assert oracle.see(0, ONE + ONE) == SECTOR
    oracle.flush()
    assert oracle.values() == {}


def test_failed_write_is_there_or_not_after_a_flush_too():
    oracle = Oracle(SECTOR, BELOW, UNIT)
    oracle.write(0, ONE, Outcome.FAILED)
    oracle.flush()
    assert oracle.values() == {0: of([BELOW, ONE], [BELOW, ONE])}
    assert oracle.copy().see(0, ONE) is None
    assert oracle.see(0, BELOW) is None
    assert oracle.see(0, ONE) == 0


def test_read_beyond_the_disk_is_wrong_and_tells_no_more_than_what_is_on_it():
    oracle = Oracle(100, None, UNIT)
    oracle.write(0, ONE[:100], Outcome.FAILED)
    assert oracle.see(0, bytes(101)) == 100
    assert oracle.copy().see(0, bytes(100)) is None
    assert oracle.see(0, ONE[:100]) is None


def test_buffer_that_is_used_again_changes_nothing_of_what_was_seen():
    oracle = Oracle(2 * SECTOR, BELOW * 2, UNIT)
    oracle.write(0, ONE, Outcome.FAILED)
    buffer = bytearray(BELOW)
    assert oracle.see(0, buffer) is None
    buffer[:] = ONE
    assert oracle.see(0, ONE) == 0


def test_read_of_one_sector_tells_nothing_of_another():
    oracle = Oracle(2 * SECTOR, BELOW * 2, UNIT)
    oracle.write(0, ONE * 2, Outcome.FAILED)
    assert oracle.see(0, ONE) is None
    assert oracle.see(0, BELOW) == 0
    assert oracle.copy().see(SECTOR, ONE) is None
    assert oracle.see(SECTOR, BELOW) is None


def test_read_of_some_bytes_tells_the_whole_sector():
    oracle = Oracle(SECTOR, BELOW[:100] + ONE[:412], UNIT)
    oracle.write(0, ONE[:100] + TWO[:412], Outcome.FAILED)
    assert oracle.see(200, TWO[:50]) is None
    assert oracle.read(0, 100) == ONE[:100]
    assert oracle.see(0, BELOW[:1]) == 0


def test_unit_that_a_stream_may_have_reached_grows_by_either():
    oracle = Oracle(100, BELOW * 2, UNIT)
    oracle.stream(Outcome.FAILED)
    oracle.resize(SECTOR)
    assert oracle.copy().see(0, BELOW) is None
    assert oracle.copy().see(0, BELOW[:100] + bytes(412)) is None


def test_sector_is_no_mixture_of_two_values():
    oracle = Oracle(SECTOR, BELOW, UNIT)
    oracle.write(0, ONE, Outcome.FAILED)
    assert oracle.see(0, ONE[:1] + BELOW[1:]) is not None


def test_killed_process_leaves_what_was_written_or_not():
    oracle = Oracle(2 * UNIT, None, UNIT)
    oracle.write(0, ONE)
    oracle.flush()
    oracle.write(UNIT, TWO)
    oracle.kill()
    assert (oracle.must_be_set, oracle.may_be_set) == ({0}, {0, 1})
    assert oracle.values() == {2: of([bytes(SECTOR), TWO], [bytes(SECTOR), TWO])}


@pytest.mark.parametrize(("bit", "zeros"), [("set", True), ("clear", False), ("may be set", None)])
def test_rest_of_a_short_unit_is_zeros_if_its_bit_is_set(bit, zeros):
    """Over a backing file that is longer, which shows through where the bit is clear."""
    oracle = Oracle(100, BELOW * 4, UNIT)
    if bit != "clear":
        oracle.write(0, ONE[:100], Outcome.DONE if bit == "set" else Outcome.FAILED)
        oracle.flush()
    oracle.resize(1500)
    first = ONE[:100] if bit == "set" else BELOW[:100]
    below, cut = first + (BELOW * 4)[100:1500], first + bytes(UNIT - 100) + (BELOW * 4)[UNIT:1500]
    assert oracle.copy().see(0, below) == (100 if zeros else None)
    assert oracle.copy().see(0, cut) == (100 if zeros is False else None)
    assert oracle.may_be_set == (set() if bit == "clear" else {0})
    assert (oracle.values() == {}) is (bit != "may be set")


def test_shrunk_disk_forgets_what_it_held():
    oracle = Oracle(4 * UNIT, None, UNIT)
    oracle.write(0, b"\1" * 4 * UNIT)
    oracle.flush()
    oracle.resize(UNIT + 10)
    oracle.resize(4 * UNIT)
    assert oracle.see(0, (b"\1" * (UNIT + 10)).ljust(4 * UNIT, b"\0")) is None
    assert oracle.must_be_set == oracle.may_be_set == oracle.durable_units == {0, 1}


def test_stream_sets_all_bits_and_no_byte():
    oracle = Oracle(2 * UNIT + 1, BELOW, UNIT)
    before = oracle.read(0, oracle.size)
    oracle.stream(Outcome.FAILED)
    assert (oracle.must_be_set, oracle.may_be_set) == (set(), {0, 1, 2})
    oracle.stream()
    assert (oracle.must_be_set, oracle.see(0, before), oracle.values()) == ({0, 1, 2}, None, {})


def test_copies_go_their_own_ways():
    oracle = Oracle(UNIT, BELOW, UNIT)
    twin = oracle.copy()
    twin.write(0, ONE, Outcome.FAILED)
    twin.stream()
    twin.resize(10)
    assert (oracle.read(0, SECTOR), oracle.values(), oracle.size) == (BELOW, {}, UNIT)
    assert oracle.must_be_set == oracle.may_be_set == set()


def test_large_disk_takes_no_memory_but_that_of_its_writes():
    tracemalloc.start()
    try:
        oracle = Oracle(8 << 30, None, 65536)
        oracle.write((8 << 30) - 1000, ONE)
        oracle.resize((8 << 30) - 800)
        assert oracle.see((8 << 30) - 1200, bytes(200) + ONE[:200]) is None
        assert tracemalloc.get_traced_memory()[1] < 64 << 20
    finally:
        tracemalloc.stop()
