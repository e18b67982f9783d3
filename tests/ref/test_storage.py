"""What a storage promises, on real files and in memory alike."""

from __future__ import annotations

import os
import threading

import pytest

from addcow_ref import FileStorage, OpenFailed, OpenReason
from addcow_ref.memory import MemoryFiles
from addcow_ref.testing import FaultPlan, FaultyStorage, RecordingStorage
from addcow_spec.errors import ImageInUse, StorageError

BLOCK = 64 << 10


class Disk:
    """A place for files: ``open`` and ``create`` by name."""

    def __init__(self, directory):
        self.directory = os.fsencode(directory)
        os.mkdir(os.path.join(self.directory, b"sub"))

    def open(self, name, *, writable=False):
        return FileStorage.open_path(os.path.join(self.directory, name), writable=writable)

    def create(self, name):
        path = os.path.join(self.directory, name)
        return FileStorage.adopt(os.open(path, os.O_RDWR | os.O_CREAT), path)


class Wrapped:
    """The same through both wrappers, with no fault armed."""

    def __init__(self):
        self.files = MemoryFiles()
        self.plan = FaultPlan()

    def _wrap(self, storage):
        return FaultyStorage(RecordingStorage(storage, []), self.plan)

    def open(self, name, *, writable=False):
        return self._wrap(self.files.open(name, writable=writable))

    def create(self, name):
        return self._wrap(self.files.create(name))


@pytest.fixture(params=["files", "memory", "wrapped"])
def files(request, tmp_path):
    return {"files": lambda: Disk(tmp_path), "memory": MemoryFiles, "wrapped": Wrapped}[request.param]()


@pytest.fixture
def file(files):
    storage = files.create(b"x")
    yield storage
    storage.close()


def read(storage, offset, length):
    buffer = bytearray(b"\xaa" * length)
    storage.read_into(offset, buffer)
    return bytes(buffer)


# -- reading and writing


def test_what_is_written_is_read(file):
    file.write(BLOCK - 3, b"across a block")
    assert file.length() == BLOCK + 11
    assert read(file, BLOCK - 5, 16) == b"\0\0across a block"


def test_buffers_are_written_one_after_the_other(file):
    file.write(5, b"ab", bytearray(b"cd"), b"", memoryview(b"xxefxx")[2:4])
    assert read(file, 0, 11) == b"\0" * 5 + b"abcdef"


def test_more_buffers_than_one_call_takes(file):
    pieces = [bytes([i & 255]) * (i % 3) for i in range(5000)]
    file.write(7, *pieces)
    assert read(file, 7, file.length() - 7) == b"".join(pieces)


def test_part_of_a_buffer_is_filled(file):
    file.write(0, b"0123456789")
    buffer = bytearray(b"..........")
    file.read_into(3, memoryview(buffer)[2:6])
    assert buffer == b"..3456...."


def test_view_of_wider_items_is_filled_and_written(file):
    file.write(0, memoryview(b"0123456789abcdef").cast("I"))
    buffer = bytearray(16)
    file.read_into(0, memoryview(buffer).cast("I"))
    assert (file.length(), buffer) == (16, b"0123456789abcdef")


def test_writing_nothing_does_not_lengthen(file):
    file.write(100)
    file.write(100, b"")
    file.write_zeroes(100, 0)
    file.write_zeroes(100, 0, unmap=False)
    file.read_into(100, bytearray())
    assert file.length() == 0


@pytest.mark.parametrize(
    ("offset", "length"), [(0, 11), (9, 2), (10, 1), (5000, 1), (1 << 62, 1), (1 << 64, 1)]
)
def test_reading_past_the_end_is_an_error(file, offset, length):
    file.write(0, b"0123456789")
    with pytest.raises(StorageError):
        read(file, offset, length)


def test_file_that_shrinks_underneath_is_an_error(files, file):
    file.write(0, bytes(1000))
    other = files.open(b"x", writable=True)
    other.truncate(500)
    other.close()
    assert read(file, 0, 500) == bytes(500)
    with pytest.raises(StorageError):
        read(file, 400, 200)


@pytest.mark.parametrize("offset", [(1 << 63) - 4, 1 << 63, 1 << 80])
def test_offsets_beyond_all_files(file, offset):
    for call in (
        lambda: file.write(offset, b"12345678"),
        lambda: file.write_zeroes(offset, 8),
        lambda: file.write_zeroes(offset, 8, unmap=False),
        lambda: file.truncate(offset + 8),
    ):
        with pytest.raises(StorageError) as caught:
            call()
        assert isinstance(caught.value.__cause__, OSError)
    assert file.length() == 0
    assert file.next_data(offset, offset + 8) == offset + 8
    assert file.next_hole(offset, offset + 8) == offset + 8


def test_reader_cannot_write(files, file):
    file.write(0, b"kept")
    reader = files.open(b"x")
    assert (reader.writable, file.writable) == (False, True)
    for call in (
        lambda: reader.write(0, b"lost"),
        lambda: reader.write_zeroes(0, 4),
        lambda: reader.write_zeroes(0, 4, unmap=False),
        lambda: reader.truncate(0),
    ):
        with pytest.raises(StorageError):
            call()
    assert read(reader, 0, 4) == b"kept"
    reader.close()


# -- zeros, lengths and holes


@pytest.mark.parametrize("unmap", [True, False])
@pytest.mark.parametrize(
    ("offset", "length"),
    [(0, 1), (1, BLOCK), (BLOCK, BLOCK), (100, 3 * BLOCK), (4 * BLOCK - 10, 10), (0, 4 * BLOCK)],
)
def test_zeros_replace_their_range_only(file, unmap, offset, length):
    file.write(0, b"\xee" * 4 * BLOCK)
    file.write_zeroes(offset, length, unmap=unmap)
    want = b"\xee" * offset + bytes(length) + b"\xee" * (4 * BLOCK - offset - length)
    assert read(file, 0, file.length()) == want


@pytest.mark.parametrize("unmap", [True, False])
@pytest.mark.parametrize("offset", [0, 50, 100, 3 * BLOCK + 1])
def test_zeros_past_the_end_lengthen(file, unmap, offset):
    file.write(0, b"\xee" * 100)
    file.write_zeroes(offset, 2 * BLOCK + 5, unmap=unmap)
    assert file.length() == offset + 2 * BLOCK + 5
    assert read(file, 0, file.length()) == (b"\xee" * min(offset, 100)).ljust(file.length(), b"\0")


def test_truncating_cuts_and_lengthens_by_zeros(file):
    file.write(0, b"\xee" * (2 * BLOCK))
    file.truncate(BLOCK + 10)
    assert file.length() == BLOCK + 10
    file.truncate(3 * BLOCK)
    assert read(file, 0, 3 * BLOCK) == (b"\xee" * (BLOCK + 10)).ljust(3 * BLOCK, b"\0")
    file.truncate(0)
    assert file.length() == 0


def test_data_and_holes_are_found(file):
    file.truncate(20 * BLOCK)
    file.write(4 * BLOCK, b"\xee" * BLOCK)
    file.write(12 * BLOCK, b"\xee" * 2 * BLOCK)
    end = 20 * BLOCK
    assert file.next_data(0, end) == 4 * BLOCK
    assert file.next_data(4 * BLOCK + 7, end) == 4 * BLOCK + 7
    assert file.next_hole(4 * BLOCK + 7, end) == 5 * BLOCK
    assert file.next_data(5 * BLOCK, end) == 12 * BLOCK
    assert file.next_hole(12 * BLOCK, end) == 14 * BLOCK
    assert file.next_hole(6 * BLOCK + 3, end) == 6 * BLOCK + 3
    assert file.next_data(14 * BLOCK, end) == end
    # Nothing is looked for beyond the end that the caller names.
    assert file.next_data(0, 2 * BLOCK) == 2 * BLOCK
    assert file.next_hole(12 * BLOCK, 12 * BLOCK + 9) == 12 * BLOCK + 9
    assert file.next_data(9, 9) == file.next_hole(9, 9) == 9


def test_end_of_file_is_a_hole_and_nothing_is_beyond_it(file):
    file.write(0, b"\xee" * BLOCK)
    assert file.next_hole(0, 9 * BLOCK) == BLOCK
    assert file.next_data(BLOCK, 9 * BLOCK) == 9 * BLOCK
    assert file.next_hole(BLOCK, 9 * BLOCK) == 9 * BLOCK


def test_unmapped_blocks_become_holes(file):
    file.write(0, b"\xee" * 4 * BLOCK)
    file.write_zeroes(BLOCK, 2 * BLOCK)
    assert file.next_hole(0, 4 * BLOCK) == BLOCK
    assert file.next_data(BLOCK, 4 * BLOCK) == 3 * BLOCK


def test_hole_past_the_end_takes_no_room(file):
    file.write_zeroes(BLOCK, 1 << 40)
    assert file.length() == BLOCK + (1 << 40)
    assert file.next_data(0, file.length()) == file.length()


def test_sync_returns(file):
    file.write(0, b"1")
    file.sync()
    assert read(file, 0, 1) == b"1"


# -- identity, names, closing


def test_identity_is_that_of_the_file(files, file):
    other, same = files.create(b"y"), files.open(b"./x")
    assert same.identity == file.identity != other.identity
    same.close()
    other.close()


def test_names_are_relative_to_the_directory_of_the_file(files):
    for name in (b"sub/x", b"sub/near", b"top"):
        storage = files.create(name)
        storage.write(0, name)
        storage.close()
    x = files.open(b"sub/x")
    near = x.open(b"near")
    top = near.open(b"../top", writable=True)
    back = top.open(b"sub/near")
    assert [read(f, 0, f.length()) for f in (near, top, back)] == [b"sub/near", b"top", b"sub/near"]
    assert [f.writable for f in (near, top, back)] == [False, True, False]
    assert near.path == os.path.join(os.path.dirname(x.path), b"near")
    for storage in (x, near, top, back):
        storage.close()


@pytest.mark.parametrize("name", [b"none", b"none/x", b"x/none", b"a\0b", b"n" * 300, b"n/" * 3000])
def test_missing_file_is_absent(files, file, name):
    for opener in (files, file):
        with pytest.raises(OpenFailed) as caught:
            opener.open(name)
        assert caught.value.reason is OpenReason.ABSENT
        assert caught.value.path.endswith(name)


def test_empty_name_is_absent(file):
    with pytest.raises(OpenFailed) as caught:
        file.open(b"")
    assert caught.value.reason is OpenReason.ABSENT


def test_closed_file_takes_no_call(file):
    file.write(0, b"1")
    file.close()
    file.close()
    for call in (
        file.length,
        file.sync,
        lambda: read(file, 0, 1),
        lambda: file.write(0, b"1"),
        lambda: file.write_zeroes(0, 1),
        lambda: file.truncate(0),
        lambda: file.next_data(0, 1),
        lambda: file.next_hole(0, 1),
        lambda: file.lock(exclusive=False),
    ):
        with pytest.raises(StorageError):
            call()


# -- locks within one process


@pytest.mark.parametrize(
    ("first", "second", "refused"),
    [(False, False, False), (False, True, True), (True, False, True), (True, True, True)],
)
def test_readers_share_and_a_writer_is_alone(files, file, first, second, refused):
    file.lock(exclusive=first)
    other = files.open(b"x", writable=True)
    if refused:
        with pytest.raises(ImageInUse) as caught:
            other.lock(exclusive=second)
        assert caught.value.path == other.path
        # What was refused leaves nothing behind, and what was held goes with its holder.
        file.close()
        third = files.open(b"x", writable=True)
        third.lock(exclusive=True)
        third.close()
    else:
        other.lock(exclusive=second)
    other.close()


def test_lock_is_held_until_all_readers_are_gone(files, file):
    reader = files.open(b"x")
    file.lock(exclusive=False)
    reader.lock(exclusive=False)
    file.close()
    writer = files.open(b"x", writable=True)
    with pytest.raises(ImageInUse):
        writer.lock(exclusive=True)
    reader.close()
    writer.lock(exclusive=True)
    writer.close()


# -- threads


def test_threads_do_not_disturb_one_another(file):
    file.truncate(8 * BLOCK)
    wrong = []

    def work(number):
        mine = bytes([number]) * 700
        for turn in range(60):
            offset = number * BLOCK + turn * 700
            file.write(offset, mine[:300], mine[300:])
            file.next_data(0, 8 * BLOCK)
            file.length()
            if read(file, offset, 700) != mine:
                wrong.append((number, turn))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(1, 7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
