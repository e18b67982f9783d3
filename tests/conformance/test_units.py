"""Sets of units beside Python's own, at the ends of the numbers that hold them."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from addcow_conformance._units import Units

PART = 4096 * 8
NUMBERS = st.sampled_from(
    [0, 1, 7, 8, PART - 1, PART, PART + 1, 2 * PART, 3 * PART - 1, 1 << 47]
) | st.integers(0, 3 * PART)
SETS = st.frozensets(NUMBERS, max_size=6)


@given(SETS, SETS)
def test_two_sets_are_as_pythons_own(one, two):
    ours, theirs = Units(one), Units(two)
    assert ours | theirs == one | two
    assert ours & theirs == one & two
    assert ours - theirs == one - two
    assert (ours <= theirs) is (one <= two)
    assert (ours < theirs) is (one < two)
    assert (ours == theirs) is (one == two)
    assert ours | two == one | theirs == one | two
    assert ours - two == one - theirs == one - two
    assert (ours <= two) is (one <= theirs) is (one <= two)
    assert hash(ours) == hash(Units(sorted(one, reverse=True)))


@given(SETS, NUMBERS)
def test_one_set_is_as_pythons_own(units, number):
    ours = Units(units)
    assert list(ours) == sorted(units)
    assert len(ours) == len(units)
    assert bool(ours) is bool(units)
    assert (number in ours) is (number in units)
    assert min(ours, default=None) == min(units, default=None)
    assert Units.of(ours) is ours
    assert Units.of(units) == units


@given(NUMBERS, st.integers(-2, 3 * PART))
def test_range(first, length):
    assert set(Units.between(first, first + length)) == set(range(first, first + length))
    assert len(Units.between(first, first + length)) == max(length, 0)


@given(st.binary(max_size=20), st.integers(0, 4))
def test_bits_of_a_bitmap(data, pages):
    bitmap = bytes(4096 * pages) + data
    expected = {at * 8 + bit for at, byte in enumerate(bitmap) for bit in range(8) if byte >> bit & 1}
    assert set(Units.of_bitmap(bitmap)) == expected


@pytest.mark.parametrize("other", ["0", None, 0.5])
def test_what_is_no_unit_is_in_no_set(other):
    assert other not in Units({0, 1})
    assert Units({0, 1}) != other


def test_one_unit_of_the_largest_disk_takes_little_memory():
    tracemalloc.start()
    try:
        assert len(Units({1 << 47}) | Units.between(0, PART)) == PART + 1
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
