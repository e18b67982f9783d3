"""The arithmetic against a model that walks the disk byte by byte, unit by unit, bit by bit."""

from __future__ import annotations

from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from addcow_spec.codec import HEADER_LENGTH
from addcow_spec.geometry import CLUSTER_SIZE, SECTOR_SIZE, Geometry, ceil_div, round_up
from addcow_spec.model import Revision

REVISIONS = pytest.mark.parametrize("revision", Revision)
UNIT = {Revision.V4: 512, Revision.V6: 512, Revision.V10: 65536}
START = {Revision.V4: 2068, Revision.V6: 2560, Revision.V10: 4096}


def walked(revision: Revision, size: int) -> list[list[int]]:
    """The bitmap's bytes, each as the list of units that its bits stand for, the lowest bit first."""
    bitmap: list[list[int]] = []
    for unit in count():
        if unit * UNIT[revision] >= size:
            return bitmap
        if not bitmap or len(bitmap[-1]) == 8:
            bitmap.append([])
        bitmap[-1].append(unit)
    raise AssertionError


def agrees(revision: Revision, size: int) -> None:
    geometry = Geometry(revision, size)
    bitmap = walked(revision, size)
    assert geometry.unit_size == UNIT[revision]
    assert geometry.units == sum(map(len, bitmap))
    assert geometry.bitmap_size == len(bitmap)
    assert geometry.bitmap_offset == START[revision]
    assert geometry.bitmap_end == START[revision] + len(bitmap)
    unused = range(len(bitmap[-1]), 8) if bitmap else ()
    assert geometry.trailing_mask == sum(1 << bit for bit in unused)


@REVISIONS
def test_every_size_around_the_first_two_bitmap_bytes(revision: Revision) -> None:
    unit = UNIT[revision]
    for units in range(18):
        for step in (-1, 0, 1, unit // 2):
            if (size := units * unit + step) >= 0:
                agrees(revision, size)


@given(st.sampled_from(Revision), st.integers(0, 3000), st.integers(0, 65535))
def test_any_size(revision: Revision, units: int, rest: int) -> None:
    agrees(revision, units * UNIT[revision] + rest % UNIT[revision])


@REVISIONS
def test_the_bitmap_starts_where_the_header_ends(revision: Revision) -> None:
    assert Geometry(revision, 0).bitmap_offset == HEADER_LENGTH[revision]


@pytest.mark.parametrize(
    ("revision", "size", "units", "bitmap_size"),
    [
        (Revision.V10, 1 << 40, 1 << 24, 1 << 21),
        (Revision.V6, 1 << 40, 1 << 31, 1 << 28),
        (Revision.V4, 1 << 40, 1 << 31, 1 << 28),
        (Revision.V6, 2**64 - 1, 1 << 55, 1 << 52),
        (Revision.V10, 2**64 - 1, 1 << 48, 1 << 45),
    ],
)
def test_large_disks_are_exact(revision: Revision, size: int, units: int, bitmap_size: int) -> None:
    geometry = Geometry(revision, size)
    assert (geometry.units, geometry.bitmap_size, geometry.trailing_mask) == (units, bitmap_size, 0)


def test_sizes() -> None:
    assert (SECTOR_SIZE, CLUSTER_SIZE) == (512, 65536)


@given(st.integers(0, 10**6), st.integers(1, 1000))
def test_rounding(value: int, divisor: int) -> None:
    quotient = ceil_div(value, divisor)
    assert (quotient - 1) * divisor < value <= quotient * divisor
    assert round_up(value, divisor) == quotient * divisor


@given(st.integers(0, 2**70), st.integers(1, 2**40))
def test_rounding_is_exact_beyond_floating_point(value: int, divisor: int) -> None:
    quotient = ceil_div(value, divisor)
    assert (quotient - 1) * divisor < value <= quotient * divisor
