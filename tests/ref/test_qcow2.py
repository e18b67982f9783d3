"""Reading through a qcow2 file: every kind of cluster, and every way in which its tables can be wrong."""

from __future__ import annotations

import struct
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from addcow_ref._layer import Extent
from addcow_ref._qcow2 import Qcow2Layer, read_qcow2_header
from addcow_ref._qcow2_map import ClusterMap
from addcow_spec.errors import ImageError, InvalidImage, StorageError
from tests.ref.qcow2_images import (
    COMPRESSED,
    COPIED,
    DATA,
    DISK,
    PACKED,
    ROOM,
    Bytes,
    assert_covers,
    compressed_entry,
    content,
    deflated,
    header,
    image,
    mixed,
    opened,
    raw,
    read,
)

LOST = "ACW-QC2-017"


def mixed_disk(below: bytes) -> bytes:
    """What `mixed` shows over a raw backing file."""
    disk = bytearray(below[:DISK].ljust(DISK, b"\0"))
    disk[512:1536] = DATA[:1024]
    disk[2048:3072] = bytes(1024)
    disk[3072:3584] = DATA[:512]
    disk[63 * 512 : 65 * 512] = DATA[1024:]
    return bytes(disk)


# --- sound files


@pytest.mark.parametrize("length", [0, 1, 1024, 3000, DISK - 1, DISK, DISK + 5000])
def test_every_kind_of_cluster(length: int) -> None:
    below = content(length, seed=9)
    layer = opened(mixed(), raw(below))
    disk = mixed_disk(below)
    assert layer.size == DISK
    assert read(layer, 0, DISK) == disk
    for start, end in [(0, 1), (511, 513), (1000, 1024), (1500, 3100), (3300, 3301), (DISK - 700, DISK)]:
        assert read(layer, start, end - start) == disk[start:end]


def test_without_a_backing_file() -> None:
    assert read(opened(mixed()), 0, DISK) == mixed_disk(b"")


def test_zeros_hide_the_backing_file() -> None:
    layer = opened(image({0: 1, 1: COPIED | ROOM | 1}, parts={ROOM: DATA}), raw(b"\xff" * DISK))
    assert read(layer, 0, 1536) == bytes(1024) + b"\xff" * 512


def test_empty_read_reads_nothing() -> None:
    layer = opened(mixed())
    assert read(layer, 100, 0) == b""
    assert layer._file.reads == []


@pytest.mark.parametrize("size", [1, 511, 513, 33 * 1024 + 100])
def test_last_cluster_may_be_short(size: int) -> None:
    last = (size - 1) // 512
    layer = opened(image({last: COPIED | ROOM}, parts={ROOM: DATA}, size=size))
    assert layer.size == size
    assert read(layer, last * 512, size - last * 512) == DATA[: size - last * 512]


def test_contiguous_clusters_are_one_read() -> None:
    layer = opened(image({n: COPIED | ROOM + 512 * n for n in range(60)}, parts={ROOM: content(60 * 512)}))
    assert read(layer, 100, 50 * 512) == content(60 * 512)[100 : 100 + 50 * 512]
    assert layer._file.reads[-1] == (ROOM + 100, 50 * 512)
    assert len([offset for offset, _ in layer._file.reads if offset >= ROOM]) == 1


def test_table_pieces_are_read_once() -> None:
    layer = opened(mixed())
    read(layer, 0, DISK)
    layer._file.reads.clear()
    read(layer, 512, 1024)
    assert layer._file.reads == [(ROOM, 1024)]


def test_compressed_cluster_is_decoded_once_for_many_reads() -> None:
    layer = opened(mixed())
    assert b"".join(read(layer, 3072 + at, 64) for at in range(0, 512, 64)) == DATA[:512]
    assert [offset for offset, _ in layer._file.reads].count(ROOM + 2048 + 3) == 1


def test_compressed_entry_of_the_chapter() -> None:
    cluster = content(65536, seed=3)
    packed = deflated(cluster)[: 4 * 512 - 0x123]
    data = image({0: 0x40C0000000050123}, parts={0x50123: packed}, cluster_bits=16, length=0x52000)
    layer = opened(data)
    with pytest.raises(InvalidImage):
        read(layer, 0, 1)
    assert layer._file.reads[-1] == (0x50123, 1757)


@pytest.mark.parametrize("bits", range(9, 22))
@pytest.mark.parametrize("version", [2, 3])
def test_compressed_at_every_cluster_size(bits: int, version: int) -> None:
    cluster = content(1 << bits, seed=bits)
    packed = deflated(cluster)
    where = (5 << bits) + 321
    entries = {1: compressed_entry(bits, where, len(packed))}
    # It ends with the file, in the middle of a sector.
    layer = opened(image(entries, parts={where: packed}, cluster_bits=bits, version=version))
    assert layer._map.file_length == where + len(packed)
    assert read(layer, (1 << bits) + 5, 100) == cluster[5:105]


def test_compressed_with_a_wide_window_is_read_as_qemu_does() -> None:
    cluster = (content(20000) + bytes(range(256)) * 10) * 3
    packed = deflated(cluster[:65536], window=-15)
    entries = {0: compressed_entry(16, 5 << 16, len(packed))}
    layer = opened(image(entries, parts={5 << 16: packed}, cluster_bits=16))
    assert read(layer, 0, 65536) == cluster[:65536]


def test_compressed_data_for_more_than_a_cluster_stops_there() -> None:
    packed = deflated(b"x" * (16 << 20))[:1024]
    layer = opened(image({0: compressed_entry(9, ROOM, 1024)}, parts={ROOM: packed}))
    assert read(layer, 0, 512) == b"x" * 512
    assert len(layer._decoded(ROOM, 2)) == 512


def test_file_that_ends_inside_a_cluster() -> None:
    layer = opened(image({0: COPIED | ROOM}, parts={ROOM: DATA}, length=ROOM + 100))
    assert read(layer, 0, 512) == DATA[:100] + bytes(412)
    assert read(layer, 200, 10) == bytes(10)


def test_reserved_bits_are_ignored() -> None:
    entries = {0: ROOM | 0x3F << 56 | 0x1FE}
    layer = opened(image(entries, l1={0: 3 * 512 | 0x7F << 56 | 0x1FF}, parts={ROOM: DATA}))
    assert read(layer, 0, 512) == DATA[:512]


def test_neighbours_of_other_kinds_are_told_apart() -> None:
    file = image({1: 512, 2: COMPRESSED | 1024, 3: 1}, parts={1024: PACKED})
    layer = opened(file)
    assert read(layer, 0, 2048) == bytes(512) + file[512:1024] + DATA[:512] + bytes(512)


def test_table_of_several_pieces() -> None:
    cluster = 128 << 10
    entries = {8191: 5 * cluster, 8192: 6 * cluster, 16383: 7 * cluster}
    data = content(3 * cluster)
    layer = opened(image(entries, parts={5 * cluster: data}, cluster_bits=17))
    assert read(layer, 8191 * cluster, 2 * cluster) == data[: 2 * cluster]
    assert read(layer, 16383 * cluster, cluster) == data[2 * cluster :]


def test_l1_table_of_several_pieces_that_ends_with_the_file() -> None:
    start = 300 * 512
    place = {"l1_table_offset": start, "length": start + 8 * 131}
    layer = opened(image({130 * 64 + 3: ROOM}, parts={ROOM: DATA}, size=131 << 15, l1_size=131, **place))
    assert read(layer, (130 << 15) + 1024, 1024) == bytes(512) + DATA[:512]
    assert [e.start for e in layer.extents(0, layer.size) if e.data] == [(130 << 15) + 1536]


def test_file_shorter_than_a_cluster_can_say_that_nothing_is_allocated() -> None:
    # The header is its own L1 table; entry 1 is the offset of no backing file's name.
    layer = opened(image(cluster_bits=21, l1_table_offset=0, length=1024))
    assert read(layer, 1 << 39, 512) == bytes(512)


def test_parallel_reads() -> None:
    below = content(DISK, seed=5)
    layer, disk = opened(mixed(), raw(below)), mixed_disk(below)
    ranges = [(at * 37 % 60000, at % 5000 + 1) for at in range(200)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda part: read(layer, *part), ranges))
    assert found == [disk[start : start + length] for start, length in ranges]


# --- tables that are wrong

FAULTS = {
    "L2 table unaligned": image(l1={0: COPIED | 3 * 512}, cluster_bits=10),
    "L2 table at the file's end": image(l1={0: 5 * 512}),
    "L2 table cut by the file's end": image(l1={0: 5 * 512}, length=5 * 512 + 511),
    "L2 table far off": image(l1={0: 0x00FF_FFFF_FFFF_FE00}),
    "cluster unaligned": image({0: COPIED | 5 * 1024 + 512}, cluster_bits=10, length=7 * 1024),
    "cluster at the file's end": image({0: COPIED | ROOM}, length=ROOM),
    "cluster far off": image({0: 0x00FF_FFFF_FFFF_FE00}),
    "zero bit in version 2": image({0: 1}, version=2),
    "zero bit with a place in version 2": image({0: ROOM | 1}, version=2),
    "compressed at the file's end": image({0: COMPRESSED | ROOM}, length=ROOM),
    "compressed far off": image({0: COMPRESSED | (1 << 61) - 1}),
    "compressed nonsense": image({0: COMPRESSED | ROOM}, parts={ROOM: b"\xff" * 512}),
    "compressed zeros": image({0: COMPRESSED | ROOM}, parts={ROOM: bytes(512)}),
    "compressed data too short": image({0: compressed_entry(9, ROOM, 9)}, parts={ROOM: deflated(bytes(511))}),
    "compressed data cut": image(
        {0: COMPRESSED | ROOM}, parts={ROOM: PACKED[:-9]}, length=ROOM + len(PACKED) - 9
    ),
}


@pytest.mark.parametrize("case", FAULTS)
def test_fault_is_found_when_it_is_used(case: str) -> None:
    layer = opened(FAULTS[case], raw(b"\xff" * DISK))
    with pytest.raises(InvalidImage) as caught:
        read(layer, 0, 1)
    assert caught.value.rule == LOST
    assert caught.value.span
    half = layer.size // 2
    assert read(layer, half, 1) == (b"\xff" if half < DISK else b"\0")


def test_cluster_after_the_last_that_lies_in_the_file() -> None:
    layer = opened(image({0: ROOM, 1: ROOM + 512}, parts={ROOM: DATA[:512]}))
    assert read(layer, 0, 512) == DATA[:512]
    with pytest.raises(InvalidImage) as caught:
        read(layer, 0, 513)
    assert caught.value.rule == LOST


def test_unused_place_of_a_zero_cluster_is_not_judged() -> None:
    layer = opened(image({0: 0x00FF_FFFF_FFFF_FE00 | 1, 1: (5 * 1024 + 512) | 1}, cluster_bits=10))
    assert read(layer, 0, 2048) == bytes(2048)


def test_tables_that_lie_in_each_other_give_something() -> None:
    everything = image(dict.fromkeys(range(64), 3 * 512), l1={1: 3 * 512})
    layer = opened(everything)
    assert read(layer, 0, DISK) == everything[3 * 512 : 4 * 512] * 128


def test_file_that_shrinks_underneath() -> None:
    layer = opened(mixed())
    layer._file.truncate(ROOM + 100)
    with pytest.raises(StorageError):
        read(layer, 512, 512)


@given(patches=st.lists(st.tuples(st.integers(0, ROOM), st.binary(min_size=1, max_size=8)), max_size=4))
def test_any_bytes_give_data_or_an_error(patches) -> None:
    data = bytearray(mixed())
    for at, patch in patches:
        data[at : at + len(patch)] = patch
    file = Bytes(bytes(data))
    try:
        found, _ = read_qcow2_header(file)
        layer = Qcow2Layer(file, found, raw(content(5000)))
        size = min(layer.size, DISK)
        extents = list(layer.extents(0, size))
        disk = read(layer, 0, size)
    except (ImageError, StorageError):
        return
    assert len(disk) == size
    assert_covers(extents, size)


def test_fault_in_the_layer_below_goes_through() -> None:
    below = opened(image(l1={0: 1 << 40}))
    with pytest.raises(InvalidImage) as caught:
        read(opened(image(), below), 0, 1)
    assert caught.value.rule == LOST
    assert caught.value.span == (512, 8)


def test_l1_entries_lie_where_the_error_says() -> None:
    data = image({70: 1 << 40})
    with pytest.raises(InvalidImage) as caught:
        read(opened(data), 70 * 512, 1)
    offset, length = caught.value.span
    assert struct.unpack(">Q", data[offset : offset + length]) == (1 << 40,)


# --- bounds


@pytest.mark.parametrize("bits", range(9, 22))
def test_cache_of_tables_is_bounded(bits: int) -> None:
    tables = ClusterMap(Bytes(b""), header(cluster_bits=bits))
    assert tables._piece.cache_info().maxsize * tables._piece_size == 1 << 20


def test_huge_empty_disk_costs_few_reads() -> None:
    entries = 8 << 16
    layer = opened(image(cluster_bits=21, size=entries << 39, l1_size=entries, length=5 << 21))
    assert list(layer.extents(0, layer.size)) == [Extent(0, layer.size, 0, False, True, False)]
    assert all(length <= 65536 for _, length in layer._file.reads)
    assert len(layer._file.reads) <= 8 * entries // 65536


def test_hole_in_the_table_is_skipped() -> None:
    class Sparse(Bytes):
        def next_data(self, _offset: int, end: int) -> int:
            return end

    file = Sparse(image(cluster_bits=16, size=8192 * 3 << 29, l1_size=8192 * 3))
    layer = Qcow2Layer(file, read_qcow2_header(file)[0], None)
    file.reads.clear()
    assert [extent.length for extent in layer.extents(0, layer.size)] == [layer.size]
    assert len(file.reads) == 1
