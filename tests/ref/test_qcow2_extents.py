"""Where the bytes of a qcow2 file come from, and what it is in a chain."""

from __future__ import annotations

from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from addcow_ref import _qcow2_map
from addcow_ref._layer import Extent, LayerInfo
from addcow_ref._qcow2 import Qcow2Layer, read_qcow2_header
from addcow_ref._raw import RawLayer
from addcow_spec.errors import InvalidImage, StorageError
from tests.ref.qcow2_images import (
    DATA,
    DISK,
    ROOM,
    Bytes,
    content,
    image,
    mixed,
    opened,
    raw,
)

LOST = "ACW-QC2-017"


def place(offset: int) -> dict:
    return {"offset": offset, "path": b"disk.qcow2"}


def test_extents_of_every_kind() -> None:
    layer = opened(mixed(size=70 * 512), raw(content(300)))
    assert list(layer.extents(100, 70 * 512 - 100)) == [
        Extent(100, 200, 1, True, False, True, offset=100, path=b"base.raw"),
        Extent(300, 212, 0, False, True, False),
        Extent(512, 1024, 0, True, False, True, **place(ROOM)),
        Extent(1536, 512, 0, False, True, False),
        Extent(2048, 512, 0, True, True, False),
        Extent(2560, 512, 0, True, True, False, **place(ROOM + 512)),
        Extent(3072, 512, 0, True, False, True, compressed=True),
        Extent(3584, 56 * 512, 0, False, True, False),
        # Two tables, one extent.
        Extent(63 * 512, 1024, 0, True, False, True, **place(ROOM + 1024)),
        Extent(65 * 512, 5 * 512, 0, False, True, False),
    ]


def test_extents_of_a_chain_say_how_deep() -> None:
    middle = opened(image({1: ROOM}, parts={ROOM: DATA}), raw(content(1000)))
    top = opened(image({0: 1}), middle)
    assert [(e.length, e.depth, e.present) for e in top.extents(0, DISK)] == [
        (512, 0, True),
        (512, 1, True),
        (DISK - 1024, 1, False),
    ]
    assert top.chain == (
        LayerInfo(b"disk.qcow2", "qcow2", "v3", DISK),
        LayerInfo(b"disk.qcow2", "qcow2", "v3", DISK),
        LayerInfo(b"base.raw", "raw", "", 1000),
    )


def test_holes_below_standard_clusters_are_zeros() -> None:
    class Holed(Bytes):
        def next_data(self, offset: int, end: int) -> int:
            return min(max(offset, ROOM + 256), end) if offset >= ROOM else offset

    file = Holed(image({0: ROOM}, parts={ROOM: bytes(256) + DATA[:100]}))
    layer = Qcow2Layer(file, read_qcow2_header(file)[0], None)
    assert list(layer.extents(0, 512)) == [
        Extent(0, 256, 0, True, True, True, **place(ROOM)),
        Extent(256, 100, 0, True, False, True, **place(ROOM + 256)),
        # The file ends there.
        Extent(356, 156, 0, True, True, True, **place(ROOM + 356)),
    ]


def test_extents_of_a_broken_table() -> None:
    extents = opened(image(l1={1: 1 << 40})).extents(0, DISK)
    with pytest.raises(InvalidImage) as caught:
        list(extents)
    assert caught.value.rule == LOST


# --- the chain


def test_close_closes_all() -> None:
    base = Bytes(b"", b"base.raw")
    layer = opened(mixed(), RawLayer(base))
    layer.close()
    assert layer._file.closed
    assert base.closed


def test_close_goes_on_after_a_failure() -> None:
    class Failing(Bytes):
        def close(self) -> None:
            raise StorageError("close failed")

    base, file = Bytes(b"", b"base.raw"), Failing(mixed())
    layer = Qcow2Layer(file, read_qcow2_header(file)[0], RawLayer(base))
    with pytest.raises(StorageError):
        layer.close()
    assert base.closed


def test_version_2_is_told() -> None:
    assert opened(image(version=2)).chain == (LayerInfo(b"disk.qcow2", "qcow2", "v2", DISK),)


FLAGS = st.sampled_from([0, 1, 1 << 63, 1 << 62, 1 << 63 | 1, 1 << 57, (1 << 64) - 1])


@given(
    st.lists(st.tuples(FLAGS, st.integers(0, 1 << 40), st.integers(1, 40)), max_size=6),
    st.sampled_from([0, 512, 65536]),
    st.data(),
)
def test_entries_that_belong_together_are_counted_however_many_there_are(
    runs: list[tuple[int, int, int]], step: int, data: st.DataObject
) -> None:
    """Beside a look at each of them."""
    entries = array("Q")
    for flags, host, count in runs:
        entries.extend(flags | (host * 512 + number * step) & (1 << 56) - 1 for number in range(count))
    entries.extend([0] * 3)
    index = data.draw(st.integers(0, len(entries) - 1))
    stop = data.draw(st.integers(index + 1, len(entries)))
    first = entries[index] & _qcow2_map._MEANING
    alike = (
        number
        for number, entry in enumerate(entries[index:stop])
        if entry & _qcow2_map._MEANING != first + number * step
    )
    assert _qcow2_map._alike(entries, index, stop, step) == next(alike, stop - index)
