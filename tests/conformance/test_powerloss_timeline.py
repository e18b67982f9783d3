"""Calls that change names, that are not seen, and that overlap."""

from __future__ import annotations

import pytest

from addcow_conformance.powerloss import CannotTrace
from addcow_ref.testing import SyncEvent, TruncateEvent, WriteEvent
from tests.conformance.strace_lines import (
    DIRECTORY,
    IMAGE,
    OPEN,
    RAW,
    THREAD,
    I,
    R,
    after_open,
    events,
    fd,
    iov,
    logs,
    opened,
    path,
    shown,
    string,
)

# --- names


def made(name="new", flags="O_RDWR|O_CREAT|O_EXCL, 0666"):
    return (
        opened(5, name, flags),
        f"7 write({fd(5, name)}, {string(b'head')}, 4) = 4",
        f"7 fsync({fd(5, name)}) = 0",
        f"7 write({fd(5, name)}, {string(b'x')}, 1) = 1",
    )


CONTENT = [WriteEvent(IMAGE, 0, b"head"), SyncEvent(IMAGE), WriteEvent(IMAGE, 4, b"x")]
AT = f"AT_FDCWD<{shown(DIRECTORY)}>"


@pytest.mark.parametrize(
    "call",
    [
        f"rename({string(path('new'))}, {string(path('add-cow'))})",
        f"renameat2({AT}, {string(b'new')}, {AT}, {string(b'disk.add-cow')}, RENAME_NOREPLACE)",
        f"linkat(6<{shown(DIRECTORY)}>, {string(b'new')}, {AT}, {string(b'disk.add-cow')}, 0)",
        f"linkat({AT}, {string(b'/proc/self/fd/5')}, {AT}, {string(b'disk.add-cow')}, AT_SYMLINK_FOLLOW)",
    ],
)
def test_file_that_gets_its_name_when_it_is_written_is_there_at_once(call):
    found = logs(
        *made(), f"7 {call} = 0", f"7 pwrite64({fd(5, 'new')}, {string(b'y')}, 1, 0) = 1", image=None
    )
    assert [log for _, log in found] == [CONTENT, [*CONTENT, WriteEvent(IMAGE, 0, b"y")]]


def test_name_that_is_relative_to_where_the_process_is():
    name = f"7 truncate({string(b'disk.raw')}, 9) = 0"
    here = f"7 newfstatat(AT_FDCWD<{shown(DIRECTORY)}>, {string(b'x')}, 0x7f00, 0) = 0"
    assert events(here, name) == [TruncateEvent(RAW, 9)]
    for call in (f"chdir({string(b'/')})", f"fchdir(9<{shown(b'/')}>)"):
        with pytest.raises(CannotTrace):
            events(here, f"7 {call} = 0", name)


def test_file_that_is_made_under_its_name():
    found = events(*made("add-cow"), image=None)
    assert found == CONTENT


@pytest.mark.parametrize(
    ("lines", "image"),
    [
        ((*made(), f"7 rename({string(path('new'))}, {string(path('add-cow'))}) = 0"), 4096),
        ((*made(flags="O_RDWR"), f"7 rename({string(path('new'))}, {string(path('add-cow'))}) = 0"), None),
        ((f"7 rename({string(path('add-cow'))}, {string(path('x'))}) = 0",), 4096),
        ((f"7 rename({string(b'disk.raw')}, {string(b'x')}) = 0",), 4096),
        ((f"7 unlink({string(path('raw'))}) = 0",), 4096),
        ((f"7 unlinkat({AT}, {string(b'disk.raw')}, 0) = 0",), 4096),
        ((f"7 renameat2({AT}, {string(b'a')}, {AT}, {string(b'b')}, RENAME_EXCHANGE) = 0",), 4096),
        ((f"7 truncate({string(b'disk.raw')}, 0) = 0",), 4096),
    ],
    ids=[
        "replaces",
        "was-there",
        "renames",
        "relative",
        "unlinks",
        "unlinks-at",
        "swaps",
        "truncates-relative",
    ],
)
def test_names_that_cannot_be_judged(lines, image):
    with pytest.raises(CannotTrace):
        events(*lines, image=image)


# --- what is not seen


@pytest.mark.parametrize(
    "call",
    [
        f"mmap(NULL, 4096, PROT_READ|PROT_WRITE, MAP_SHARED, {R}, 0) = 0x7f00",
        "io_uring_setup(8, {flags=0}) = 9",
        "io_uring_enter(9, 1, 0, 0, NULL, 8) = 1",
        "io_submit(0x7f00, 1, [0x7f01]) = 1",
        f"copy_file_range({I}, [0], {R}, [0], 512, 0) = 512",
        f"sendfile({R}, {I}, NULL, 512) = 512",
        f"splice(9<{shown(b'pipe:[1]')}>, NULL, {R}, [0], 512, 0) = 512",
        f"ioctl({R}, FICLONE, {I}) = 0",
        f"ioctl({R}, BLKZEROOUT, 0x7f00) = 0",
        f"fallocate({R}, FALLOC_FL_COLLAPSE_RANGE, 0, 4096) = 0",
        f"fallocate({R}, FALLOC_FL_INSERT_RANGE, 0, 4096) = 0",
        f"syncfs(9<{shown(b'/elsewhere')}>) = 0",
        f"new_in_linux_9({R}, 0) = 0",
        f"new_in_linux_9({string(path('raw'))}, 0) = 0",
    ],
)
def test_what_cannot_be_seen_is_an_error_and_no_pass(call):
    with pytest.raises(CannotTrace):
        after_open(f"7 {call}")


@pytest.mark.parametrize(
    "call",
    [
        f"mmap(NULL, 4096, PROT_READ, MAP_SHARED, {R}, 0) = 0x7f00",
        f"mmap(NULL, 4096, PROT_READ|PROT_WRITE, MAP_PRIVATE, {R}, 0) = 0x7f00",
        "mmap(NULL, 4096, PROT_READ|PROT_WRITE, MAP_SHARED|MAP_ANONYMOUS, -1, 0) = 0x7f00",
        "mprotect(0x7f00, 4096, PROT_READ|PROT_WRITE) = 0",
        "io_uring_setup(8, {flags=0}) = -1 EPERM (Operation not permitted)",
        f"sendfile(1<{shown(b'pipe:[1]')}>, {R}, NULL, 512) = 512",
        f"ioctl({R}, FS_IOC_FIEMAP, {{fm_start=0}}) = 0",
        f"ioctl({R}, FICLONE, {I}) = -1 EOPNOTSUPP (Operation not supported)",
        f"newfstatat({R}, {string(b'')}, {{st_size=1, ...}}, AT_EMPTY_PATH) = 0",
        f"fcntl({R}, F_SETLK, {{l_type=F_WRLCK, l_whence=SEEK_SET, l_start=0, l_len=1}}) = 0",
        f"sync_file_range({R}, 0, 0, SYNC_FILE_RANGE_WRITE) = 0",
        f"new_in_linux_9({string(b'/x/disk.raw.old')}) = 0",
    ],
)
def test_what_changes_nothing(call):
    assert after_open(f"7 {call}") == []


def test_mapping_that_becomes_writable():
    mapped = f"7 mmap(NULL, 4096, PROT_READ, MAP_SHARED, {R}, 0) = 0x10000"
    assert after_open(mapped, "7 mprotect(0x11000, 4096, PROT_READ|PROT_WRITE) = 0") == []
    with pytest.raises(CannotTrace):
        after_open(mapped, "7 mprotect(0x10800, 4096, PROT_READ|PROT_WRITE) = 0")


def test_reading_by_sendfile_moves_on():
    assert after_open(
        f"7 sendfile(1<{shown(b'pipe:[1]')}>, {R}, NULL, 512) = 100", f"7 write({R}, {string(b'a')}, 1) = 1"
    ) == [WriteEvent(RAW, 100, b"a")]


# --- order

A, B = WriteEvent(RAW, 0, b"a"), WriteEvent(RAW, 512, b"b")
X = WriteEvent(IMAGE, 0, b"x")
S = SyncEvent(RAW)


def put(event, pid=7):
    who = R if event.file == RAW else I
    return f"{pid} pwrite64({who}, {string(event.data)}, {len(event.data)}, {event.offset}"


@pytest.mark.parametrize("sync", ["fsync", "fdatasync"])
def test_sync_of_one_file(sync):
    assert after_open(f"{put(A)}) = 1", f"{put(X)}) = 1", f"7 {sync}({R}) = 0") == [A, X, S]


@pytest.mark.parametrize("sync", ["sync() = 0", f"syncfs(9<{shown(DIRECTORY)}>) = 0", f"syncfs({R}) = 0"])
def test_sync_of_all_files(sync):
    found = after_open(f"{put(A)}) = 1", f"{put(X)}) = 1", f"7 {sync}")
    assert found[:2] == [A, X]
    assert {S, SyncEvent(IMAGE)} <= set(found[2:])


def test_sync_covers_nothing_that_was_under_way_when_it_began():
    assert after_open(
        f"7 {THREAD}) = 8",
        f"{put(A)}) = 1",
        f"{put(B)} <unfinished ...>",
        f"8 fsync({R} <unfinished ...>",
        "7 <... pwrite64 resumed>) = 1",
        "8 <... fsync resumed>) = 0",
    ) == [A, S, B]


def test_sync_covers_nothing_that_was_begun_after_it():
    found = logs(
        *OPEN,
        f"7 {THREAD}) = 8",
        f"{put(A)}) = 1",
        f"8 fsync({R} <unfinished ...>",
        f"{put(B)}) = 1",
        f"{put(X)}) = 1",
        "8 <... fsync resumed>) = 0",
    )
    # Until the sync has returned, each may be there without the others.
    assert [log for _, log in found] == [[A], [A, B], [A, B, X], [A, X, S, B]]


def test_sync_that_never_returned_is_none():
    assert after_open(f"{put(A)}) = 1", f"7 fsync({R} <unfinished ...>") == [A]


def test_write_may_be_there_when_it_is_entered():
    found = logs(
        *OPEN,
        f"7 {THREAD}) = 8",
        f"{put(A)} <unfinished ...>",
        f"8 fsync({R}) = 0",
        "7 <... pwrite64 resumed>) = 1",
    )
    assert found == [(3, [A]), (4, [S, A])]


@pytest.mark.parametrize("flags", ["O_RDWR|O_SYNC", "O_RDWR|O_DSYNC", "O_RDWR"])
def test_write_that_syncs_itself_syncs_no_other(flags):
    itself = "RWF_DSYNC" if flags == "O_RDWR" else "0"
    large = WriteEvent(RAW, 0, b"123456")
    found = events(
        opened(4, "raw"),
        opened(3, "raw", flags),
        f"7 pwrite64({fd(4, 'raw')}, {string(b'123456')}, 6, 0) = 6",
        f"7 pwritev2({R}, [{iov(b'xy')}], 1, 2, {itself}) = 2",
    )
    own = WriteEvent(RAW, 2, b"xy")
    assert found == [own, S, WriteEvent(RAW, 0, b"12"), WriteEvent(RAW, 4, b"56")]
    assert large not in found


def test_write_that_syncs_itself_syncs_the_length():
    found = events(
        opened(3, "raw", "O_RDWR|O_DSYNC"),
        f"7 ftruncate({R}, 50) = 0",
        f"{put(A)}) = 1",
    )
    assert found == [TruncateEvent(RAW, 50), A, S]


def test_log_starts_again_for_a_process_that_is_started_again():
    found = after_open(
        f"{put(A)}) = 1",
        f"9 execve({string(b'/bin/x')}, [], 0x7f) = 0",
        opened(3, "raw", pid=9),
        f"{put(B, 9)}) = 1",
    )
    assert found == [A, B]
