"""What strace says, understood: calls, descriptors, and the order of writes and syncs."""

from __future__ import annotations

import pytest

from addcow_conformance.powerloss import CannotTrace
from addcow_conformance.powerloss._strace import parse, text
from addcow_conformance.powerloss._syscalls import Tracer
from addcow_conformance.programs import Unsupported
from addcow_ref.testing import SyncEvent, TruncateEvent, WriteEvent, ZeroesEvent

IMAGE, RAW, BASE = (0, 0), (0, 1), (0, 2)
# Whatever a directory may be called.
DIRECTORY = b'/nowhere/a, (b) <c> "d"\n 7 write(3) = 1 \\ \xff'
NAMES = {"add-cow": b"disk.add-cow", "raw": b"disk.raw", "base": b"base.raw"}
WANTED = {DIRECTORY + b"/" + name: (0, at) for at, name in enumerate(NAMES.values())}


def shown(data):
    return "".join(f"\\x{byte:02x}" for byte in data)


def string(data):
    return f'"{shown(data)}"'


def iov(data):
    return f"{{iov_base={string(data)}, iov_len={len(data)}}}"


def path(name):
    return DIRECTORY + b"/" + NAMES.get(name, name.encode())


def fd(number, name):
    return f"{number}<{shown(path(name))}>"


def opened(number, name, flags="O_RDWR|O_CLOEXEC", pid=7):
    return f"{pid} openat(AT_FDCWD<{shown(b'/')}>, {string(path(name))}, {flags}) = {fd(number, name)}"


def steps(*lines, image=4096, raw=100_000):
    lengths = {path("raw"): raw, path("base"): 500} | ({} if image is None else {path("add-cow"): image})
    return list(Tracer(DIRECTORY, WANTED, lengths).run(parse(lines)))


def events(*lines, **lengths):
    found = steps(*lines, **lengths)
    return list(found[-1].log) if found else []


OPEN = (opened(3, "raw"), opened(4, "add-cow"))
R, I = fd(3, "raw"), fd(4, "add-cow")  # noqa: E741 - as short as R


def after_open(*lines, **lengths):
    return events(*OPEN, *lines, **lengths)


# --- lines


def test_lines_of_no_call_are_passed_over():
    assert parse(["7 --- SIGCHLD {si_signo=SIGCHLD} ---", "7 +++ exited with 0 +++"]) == []


def test_arguments_are_cut_where_they_end():
    (call,) = parse(['7 f({a=[1, 2], b="\\x2c"}, [3, {c=4}], NULL) = 0 (flags X, Y)'])
    assert call.arguments == ['{a=[1, 2], b="\\x2c"}', "[3, {c=4}]", "NULL"]
    assert (call.process, call.name, call.result, call.error) == (7, "f", 0, "")


@pytest.mark.parametrize(
    ("tail", "result", "error", "returned"),
    [
        ("= 12", 12, "", 0),
        ("= 0x7f00", 0x7F00, "", 0),
        ("= -1 ENOSPC (No space left on device)", -1, "ENOSPC", 0),
        ("= ? ERESTARTSYS (To be restarted if SA_RESTART is set)", None, "ERESTARTSYS", 0),
        ("= ?", None, "", None),
    ],
)
def test_results(tail, result, error, returned):
    (call,) = parse([f"7 f(1) {tail}"])
    assert (call.result, call.error, call.returned) == (result, error, returned)


def test_lines_of_several_threads_are_joined():
    calls = parse(
        [
            "7 f(1,  <unfinished ...>",
            "8 g(2 <unfinished ...>",
            "7 <... f resumed>3)              = 4",
            "8 <... g resumed> <unfinished ...>) = ?",
            "9 h(5 <unfinished ...>",
        ]
    )
    assert [(call.name, call.arguments, call.result) for call in calls] == [
        ("f", ["1", "3"], 4),
        ("g", ["2"], None),
        ("h", ["5"], None),
    ]
    assert [(call.entered, call.returned) for call in calls] == [(0, 2), (1, None), (4, None)]


@pytest.mark.parametrize(
    "line",
    [
        "",
        "write(3) = 1",
        "7 what is this",
        "7 f(1)",
        "7 f(1) = x",
        "7 <... f resumed>) = 0",
        "7 f <unfinished ...>",
        "[ Process PID=7 runs in 32 bit mode. ]",
        "7 f() = 3</not/in/hexadecimal>",
    ],
)
def test_line_that_is_not_understood_is_an_error(line):
    with pytest.raises(CannotTrace):
        parse([line])


def test_resumed_call_has_the_name_of_the_one_that_was_cut():
    with pytest.raises(CannotTrace):
        parse(["7 f(1 <unfinished ...>", "7 <... g resumed>) = 0"])


@pytest.mark.parametrize("argument", ["", '"', "x", '"x"', '"\\x6"', '"\\x61"...', "0x7ffe"])
def test_string_that_is_not_whole_is_an_error(argument):
    with pytest.raises(CannotTrace):
        text(argument)


def test_it_is_no_fault_of_the_program():
    assert issubclass(CannotTrace, Unsupported)


# --- what is written


def test_writes_at_offsets():
    assert after_open(
        f"7 pwrite64({R}, {string(b'abc')}, 3, 512) = 3",
        f"7 pwritev({I}, [{iov(b'de')}, {iov(b'f')}], 2, 8) = 3",
        f"7 pwritev2({I}, [{iov(b'g')}], 1, 0, 0) = 1",
    ) == [WriteEvent(RAW, 512, b"abc"), WriteEvent(IMAGE, 8, b"def"), WriteEvent(IMAGE, 0, b"g")]


def test_writes_where_the_descriptor_stands():
    assert after_open(
        f"7 lseek({R}, 10, SEEK_SET) = 10",
        "7 read(0x3, 0x7f00, 0x10) = 0x10",
        f"7 write({R}, {string(b'abc')}, 3) = 3",
        f"7 writev({R}, [{iov(b'd')}], 1) = 1",
        f"7 pwritev2({R}, [{iov(b'e')}], 1, -1, 0) = 1",
        f"7 pwrite64({R}, {string(b'f')}, 1, 0) = 1",
        f"7 write({R}, {string(b'g')}, 1) = 1",
    ) == [
        WriteEvent(RAW, 26, b"abc"),
        WriteEvent(RAW, 29, b"d"),
        WriteEvent(RAW, 30, b"e"),
        WriteEvent(RAW, 0, b"f"),
        WriteEvent(RAW, 31, b"g"),
    ]


def test_writes_at_the_end():
    assert events(
        opened(3, "raw", "O_WRONLY|O_APPEND"),
        f"7 write({R}, {string(b'ab')}, 2) = 2",
        f"7 pwrite64({R}, {string(b'c')}, 1, 0) = 1",
        opened(4, "add-cow"),
        f"7 pwritev2({I}, [{iov(b'd')}], 1, 0, RWF_APPEND) = 1",
        f"7 fcntl({I}, F_SETFL, O_RDWR|O_APPEND) = 0",
        f"7 write({I}, {string(b'e')}, 1) = 1",
        raw=10,
    ) == [
        WriteEvent(RAW, 10, b"ab"),
        WriteEvent(RAW, 12, b"c"),
        WriteEvent(IMAGE, 4096, b"d"),
        WriteEvent(IMAGE, 4097, b"e"),
    ]


def test_short_writes_count_what_was_written_and_failed_ones_nothing():
    assert after_open(
        f"7 write({R}, {string(b'abc')}, 3) = 2",
        f"7 write({R}, {string(b'c')}, 1) = -1 ENOSPC (No space left on device)",
        f"7 write({R}, {string(b'd')}, 1) = 1",
        f"7 pwrite64({R}, {string(b'')}, 0, 0) = 0",
        f"7 ftruncate({R}, 0) = -1 EPERM (Operation not permitted)",
        f"7 fsync({R}) = -1 EIO (Input/output error)",
        f"7 rename({string(path('raw'))}, {string(b'/x')}) = -1 EXDEV (Invalid cross-device link)",
    ) == [WriteEvent(RAW, 0, b"ab"), WriteEvent(RAW, 2, b"d")]


def test_write_that_never_returned_may_have_been_done():
    assert after_open(f"7 pwrite64({R}, {string(b'abc')}, 3, 0 <unfinished ...>") == [
        WriteEvent(RAW, 0, b"abc")
    ]


def test_write_that_is_not_shown_whole_is_an_error():
    with pytest.raises(CannotTrace):
        after_open(f"7 pwrite64({R}, {string(b'abc')}, 9, 0) = 9")


def test_lengths():
    assert after_open(
        f"7 ftruncate({R}, 50) = 0",
        f"7 truncate({string(path('raw'))}, 60) = 0",
        f"7 fallocate({R}, 0, 10, 20) = 0",
        f"7 fallocate({R}, 0, 40, 40) = 0",
        f"7 fallocate({R}, FALLOC_FL_KEEP_SIZE, 0, 900) = 0",
        f"7 fallocate({R}, FALLOC_FL_KEEP_SIZE|FALLOC_FL_PUNCH_HOLE, 70, 100) = 0",
        f"7 fallocate({R}, FALLOC_FL_KEEP_SIZE|FALLOC_FL_PUNCH_HOLE, 80, 100) = 0",
        f"7 fallocate({R}, FALLOC_FL_ZERO_RANGE, 70, 20) = 0",
        opened(5, "raw", "O_WRONLY|O_CREAT|O_TRUNC, 0666"),
    ) == [
        TruncateEvent(RAW, 50),
        TruncateEvent(RAW, 60),
        TruncateEvent(RAW, 80),
        ZeroesEvent(RAW, 70, 10, True),
        ZeroesEvent(RAW, 70, 20, False),
        TruncateEvent(RAW, 0),
    ]


def test_files_below_are_seen():
    assert events(opened(5, "base"), f"7 write({fd(5, 'base')}, {string(b'x')}, 1) = 1") == [
        WriteEvent(BASE, 0, b"x")
    ]


def test_other_files_are_nobodys_concern():
    lock = fd(5, "disk.raw.lock")
    assert (
        after_open(
            opened(5, "disk.raw.lock", "O_RDWR|O_CREAT"),
            f"7 write({lock}, {string(b'x')}, 1) = 1",
            f"7 mmap(NULL, 4096, PROT_READ|PROT_WRITE, MAP_SHARED, {lock}, 0) = 0x7f00",
            f"7 unlink({string(path('disk.raw.lock'))}) = 0",
            f"7 write(1<{shown(b'pipe:[1]')}>, {string(b'disk.raw')}, 8) = 8",
        )
        == []
    )


# --- descriptors


@pytest.mark.parametrize(
    "call",
    [
        f"dup({R}) = {fd(9, 'raw')}",
        f"dup2({R}, 9) = {fd(9, 'raw')}",
        f"dup3({R}, 9<{shown(b'pipe:[1]')}>, O_CLOEXEC) = {fd(9, 'raw')}",
        f"fcntl({R}, F_DUPFD_CLOEXEC, 9) = {fd(9, 'raw')}",
    ],
)
def test_copies_of_a_descriptor_share_its_offset(call):
    assert after_open(
        f"7 {call}",
        f"7 write({R}, {string(b'ab')}, 2) = 2",
        f"7 close({R}) = 0",
        f"7 write({fd(9, 'raw')}, {string(b'c')}, 1) = 1",
    ) == [WriteEvent(RAW, 0, b"ab"), WriteEvent(RAW, 2, b"c")]


def test_second_opening_has_an_offset_of_its_own():
    assert after_open(
        opened(5, "raw"),
        f"7 write({R}, {string(b'ab')}, 2) = 2",
        f"7 write({fd(5, 'raw')}, {string(b'c')}, 1) = 1",
    ) == [WriteEvent(RAW, 0, b"ab"), WriteEvent(RAW, 0, b"c")]


FORK = "clone(child_stack=NULL, flags=CLONE_CHILD_CLEARTID|SIGCHLD"
THREAD = "clone3({flags=CLONE_VM|CLONE_FILES|CLONE_THREAD, stack=0x7f00} => {parent_tid=[8]}, 88"


def test_child_has_copies_of_the_descriptors_even_before_its_parent_knows():
    assert after_open(
        f"7 {FORK} <unfinished ...>",
        f"8 write({R}, {string(b'a')}, 1) = 1",
        f"8 close({R}) = 0",
        "7 <... clone resumed>) = 8",
        f"7 write({R}, {string(b'b')}, 1) = 1",
    ) == [WriteEvent(RAW, 0, b"a"), WriteEvent(RAW, 1, b"b")]


def test_threads_have_the_same_descriptors():
    assert after_open(
        f"7 {THREAD}) = 8",
        opened(5, "add-cow", pid=8),
        f"7 pwrite64({fd(5, 'add-cow')}, {string(b'a')}, 1, 0) = 1",
    ) == [WriteEvent(IMAGE, 0, b"a")]


def test_number_that_is_another_files_since():
    pipe = f"3<{shown(b'pipe:[1]')}>"
    assert (
        after_open(
            f"7 execve({string(b'/bin/true')}, [], 0x7f00 /* 9 vars */) = 0",
            f"7 write({pipe}, {string(b'ab')}, 2) = 2",
        )
        == []
    )


@pytest.mark.parametrize(
    "close",
    [f"close({R}) = 0", "close_range(3, 4294967295, 0) = 0", f"dup2(1<{shown(b'/dev/null')}>, 3) = 3"],
)
def test_descriptor_that_came_unseen_is_an_error(close):
    with pytest.raises(CannotTrace):
        after_open(f"7 {close}", f"7 pwrite64({R}, {string(b'a')}, 1, 0) = 1")


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
    found = steps(
        *made(), f"7 {call} = 0", f"7 pwrite64({fd(5, 'new')}, {string(b'y')}, 1, 0) = 1", image=None
    )
    assert [list(step.log) for step in found] == [CONTENT, [*CONTENT, WriteEvent(IMAGE, 0, b"y")]]


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
    found = steps(
        *OPEN,
        f"7 {THREAD}) = 8",
        f"{put(A)}) = 1",
        f"8 fsync({R} <unfinished ...>",
        f"{put(B)}) = 1",
        f"{put(X)}) = 1",
        "8 <... fsync resumed>) = 0",
    )
    # Until the sync has returned, each may be there without the others.
    assert [list(step.log) for step in found] == [[A], [A, B], [A, B, X], [A, X, S, B]]
    assert [step.kept for step in found] == [0, 1, 2, 1]


def test_sync_that_never_returned_is_none():
    assert after_open(f"{put(A)}) = 1", f"7 fsync({R} <unfinished ...>") == [A]


def test_write_may_be_there_when_it_is_entered():
    found = steps(
        *OPEN,
        f"7 {THREAD}) = 8",
        f"{put(A)} <unfinished ...>",
        f"8 fsync({R}) = 0",
        "7 <... pwrite64 resumed>) = 1",
    )
    assert [(step.line, list(step.log)) for step in found] == [(3, [A]), (4, [S, A])]


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
