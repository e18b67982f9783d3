"""What files in memory promise beyond what every storage does."""

from __future__ import annotations

import tracemalloc

import pytest

from addcow_ref import FileStorage, OpenFailed
from addcow_ref.memory import MemoryFiles

BLOCK = 64 << 10
PEBIBYTE = 1 << 50


def test_files_begin_with_the_contents_given():
    files = MemoryFiles({b"base": b"abc", b"dir/x": bytearray(b"defg"), b"empty": b""})
    assert [files.contents(name) for name in (b"base", b"./dir/../dir/x", b"empty")] == [b"abc", b"defg", b""]
    with pytest.raises(OpenFailed):
        files.contents(b"other")


def test_pebibyte_costs_what_is_written():
    tracemalloc.start()
    try:
        file = MemoryFiles().create(b"disk")
        file.truncate(PEBIBYTE)
        for place in range(8):
            file.write(place * (PEBIBYTE // 8) + 12345, b"data")
        assert file.next_data(PEBIBYTE // 8 * 7 + BLOCK, PEBIBYTE) == PEBIBYTE
        file.write_zeroes(PEBIBYTE // 8, PEBIBYTE // 2)
        assert file.next_data(BLOCK, PEBIBYTE) == (PEBIBYTE // 8 * 5 + 12345) // BLOCK * BLOCK
        file.truncate(1)
        file.truncate(PEBIBYTE)
        assert file.next_data(BLOCK, PEBIBYTE) == PEBIBYTE
        assert tracemalloc.get_traced_memory()[1] < 64 * BLOCK
    finally:
        tracemalloc.stop()


def test_created_again_is_another_file():
    files = MemoryFiles({b"x": b"old"})
    old = files.open(b"x")
    new = files.create(b"x")
    new.write(0, b"new!")
    assert old.identity != new.identity
    assert (old.length(), files.contents(b"x")) == (3, b"new!")


def test_identity_is_that_of_no_real_file(tmp_path):
    (tmp_path / "x").write_bytes(b"")
    real = FileStorage.open_path(bytes(tmp_path / "x"))
    memory = [files.create(b"x").identity for files in (MemoryFiles(), MemoryFiles())]
    assert len({real.identity, *memory}) == 3
    real.close()
