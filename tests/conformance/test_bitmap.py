"""The count of bits, against a model that looks at them one by one."""

from __future__ import annotations

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from addcow_conformance.checker import Bucket, CheckOptions, check_image
from addcow_conformance.checker import _bitmap as bitmap
from tests.conformance import by_hand


def naive(bits, units, backed, parts):
    """Bucket of each part, unit by unit."""
    found = []
    for part in range(parts):
        image = backing = zeros = 0
        for unit in range(part * units // parts, (part + 1) * units // parts):
            if bits[unit // 8] >> unit % 8 & 1:
                image += 1
            elif unit < backed:
                backing += 1
            else:
                zeros += 1
        found.append(Bucket(image, backing, zeros))
    return tuple(found)


@settings(max_examples=150, deadline=None)
@given(data=st.data(), revision=st.sampled_from(["v6", "v10"]))
def test_counts_and_buckets(tmp_path_factory, data, revision):
    directory = tmp_path_factory.mktemp("bits")
    units = data.draw(st.integers(1, 300), label="units")
    unit = by_hand.CLUSTER if revision == "v10" else 512
    size = units * unit - (data.draw(st.integers(0, unit // 512 - 1)) * 512)
    backed = data.draw(st.integers(0, units + 3), label="backed")
    whole = -(-units // 8)
    bits = bytearray(data.draw(st.binary(min_size=whole, max_size=whole), label="bits"))
    if units % 8:
        bits[-1] &= (1 << units % 8) - 1
    parts = data.draw(st.integers(1, units), label="parts")
    (directory / "base").touch()
    os.truncate(directory / "base", backed * unit)
    if revision == "v10":
        path = by_hand.v10(directory / "i", backing=b"base", size=size, bits=bytes(bits))
    else:
        path = by_hand.old(directory / "i", "v6", backing=b"base", size=size, bits=bytes(bits))
    report = check_image(os.fsencode(path), CheckOptions(buckets=parts))
    expected = naive(bits, units, min(backed, units), parts)
    assert report.bitmap.buckets == expected
    assert report.bitmap.set_units == sum(bucket.image for bucket in expected)
    assert report.bitmap.backed_units == sum(bucket.backing for bucket in expected)


@pytest.mark.parametrize("page", [8, 24, 4096])
def test_pages_and_holes_change_nothing(tmp_path, monkeypatch, page):
    monkeypatch.setattr(bitmap, "_PAGE", page)
    clusters = 8 * 40000
    path = by_hand.v10(tmp_path / "i", size=clusters * by_hand.CLUSTER)
    with path.open("r+b") as file:
        for offset in (4096, 4096 + 12345, 4096 + 39999):
            file.seek(offset)
            file.write(b"\x81")
    report = check_image(os.fsencode(path), CheckOptions(buckets=4))
    assert [bucket.image for bucket in report.bitmap.buckets] == [2, 2, 0, 2]
    assert report.bitmap.set_units == 6


@pytest.mark.parametrize("distance", [0, 1, 4095, 4096, 300_000])
def test_the_first_byte_after_the_bitmap_is_found(tmp_path, distance):
    path = by_hand.v10(tmp_path / "i")
    with path.open("r+b") as file:
        file.seek(4098 + distance)
        file.write(b"x\0")
    (finding,) = check_image(os.fsencode(path)).findings
    assert (finding.rule, finding.span.offset, finding.span.end) == (
        "ACW-BMP-003",
        4098 + distance,
        4100 + distance,
    )


def test_progress_ends_at_the_whole(tmp_path):
    seen = []
    path = by_hand.v10(tmp_path / "i", bits=b"\xff\x03")
    check_image(os.fsencode(path), progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (2, 2)


def test_progress_is_told_of_each_page(tmp_path, monkeypatch):
    monkeypatch.setattr(bitmap, "_PAGE", 8)
    seen = []
    path = by_hand.v10(tmp_path / "i", size=160 * by_hand.CLUSTER, bits=b"\1" * 20)
    check_image(os.fsencode(path), progress=lambda done, total: seen.append((done, total)))
    assert seen == [(8, 20), (16, 20), (20, 20)]
