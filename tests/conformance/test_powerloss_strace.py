"""What strace says, understood: lines, what is written, and by which descriptor."""

from __future__ import annotations

import pytest

from addcow_conformance.powerloss import CannotTrace
from addcow_conformance.powerloss._strace import parse, text
from addcow_conformance.programs import Unsupported
from addcow_ref.testing import TruncateEvent, WriteEvent, ZeroesEvent
from tests.conformance.strace_lines import (
    BASE,
    FORK,
    IMAGE,
    RAW,
    THREAD,
    I,
    R,
    after_open,
    events,
    fd,
    iov,
    opened,
    path,
    shown,
    string,
)

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
