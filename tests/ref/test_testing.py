"""The storages that fail, lie and remember."""

from __future__ import annotations

import errno
import os
import threading

import pytest

from addcow_ref import OpenFailed, OpenReason
from addcow_ref.memory import MemoryFiles
from addcow_ref.testing import (
    FaultPlan,
    FaultyStorage,
    Operation,
    RecordingStorage,
    SyncEvent,
    TruncateEvent,
    Wrapper,
    WriteEvent,
    ZeroesEvent,
)
from addcow_spec.errors import ImageInUse, StorageError
from tests.ref.outcomes import outcomes

CALLS = {
    Operation.OPEN: lambda file: file.open(b"y").close(),
    Operation.LOCK: lambda file: file.lock(exclusive=True),
    Operation.LENGTH: lambda file: file.length(),
    Operation.READ: lambda file: file.read_into(0, bytearray(4)),
    Operation.WRITE: lambda file: file.write(0, b"data"),
    Operation.ZEROES: lambda file: file.write_zeroes(0, 4),
    Operation.TRUNCATE: lambda file: file.truncate(8),
    Operation.SYNC: lambda file: file.sync(),
    Operation.SEEK: lambda file: (file.next_data(0, 4), file.next_hole(0, 4)),
}


class Counting:
    """A storage that counts its syncs."""

    def __init__(self, storage):
        self._storage = storage
        self.syncs = 0

    def __getattr__(self, name):
        return getattr(self._storage, name)

    def sync(self):
        self.syncs += 1


@pytest.fixture
def files():
    return MemoryFiles({b"x": b"01234567", b"y": b"01234567"})


@pytest.fixture
def plan():
    return FaultPlan()


@pytest.fixture
def file(files, plan):
    return FaultyStorage(files.open(b"x", writable=True), plan)


# -- faults


@pytest.mark.parametrize("operation", Operation)
def test_every_operation_can_fail(file, plan, operation):
    fault = plan.arm(operation, code=errno.ENOLCK)
    for other, call in CALLS.items():
        if other is operation:
            with pytest.raises(StorageError) as caught:
                call(file)
            assert caught.value.__cause__.errno == errno.ENOLCK
        else:
            call(file)
    plan.disarm(fault)
    CALLS[operation](file)


@pytest.mark.parametrize("operation", [Operation.WRITE, Operation.ZEROES, Operation.TRUNCATE])
def test_failed_call_does_nothing(file, plan, files, operation):
    plan.arm(operation)
    assert outcomes(lambda: CALLS[operation](file), 1) == [0]
    assert files.contents(b"x") == b"01234567"


@pytest.mark.parametrize(
    ("options", "failed"),
    [
        ({}, [0, 1, 2, 3, 4, 5]),
        ({"times": 1}, [0]),
        ({"after": 2, "times": 1}, [2]),
        ({"after": 3}, [3, 4, 5]),
        ({"after": 1, "times": 2}, [1, 2]),
    ],
)
def test_calls_that_fail_are_counted(file, plan, options, failed):
    plan.arm(Operation.SYNC, **options)
    assert outcomes(file.sync, 6) == failed
    assert plan.calls[Operation.SYNC, b"x"] == 6


def test_fault_of_one_file_spares_the_others(file, plan):
    other = file.open(b"y", writable=True)
    plan.arm(Operation.WRITE, name=b"y", times=1)
    assert outcomes(lambda: file.write(0, b"1"), 2) == []
    assert outcomes(lambda: other.write(0, b"1"), 2) == [0]
    assert (plan.calls[Operation.WRITE, b"x"], plan.calls[Operation.WRITE, b"y"]) == (2, 2)


def test_faults_are_disarmed_one_by_one_or_all(file, plan):
    first = plan.arm(Operation.SYNC)
    plan.arm(Operation.WRITE)
    plan.disarm(first)
    assert outcomes(file.sync, 1) == []
    assert outcomes(lambda: file.write(0, b"1"), 1) == [0]
    plan.disarm()
    assert outcomes(lambda: file.write(0, b"1"), 1) == []


def test_failed_open_is_that_of_a_file(file, plan):
    fault = plan.arm(Operation.OPEN, name=b"y", code=errno.EACCES)
    with pytest.raises(OpenFailed) as caught:
        file.open(b"y")
    assert (caught.value.reason, caught.value.path) == (OpenReason.UNREADABLE, b"y")
    plan.disarm(fault)
    plan.arm(Operation.OPEN, code=errno.EMFILE)
    with pytest.raises(StorageError) as caught:
        file.open(b"y")
    assert type(caught.value) is StorageError


def test_part_is_written_before_the_failure(file, plan, files):
    plan.arm(Operation.WRITE, partial=3)
    assert outcomes(lambda: file.write(1, b"ab", b"cd"), 1) == [0]
    assert files.contents(b"x") == b"0abc4567"


def test_part_is_zeroed_before_the_failure(file, plan, files):
    plan.arm(Operation.ZEROES, partial=3)
    assert outcomes(lambda: file.write_zeroes(1, 6), 1) == [0]
    assert files.contents(b"x") == b"0\0\0\x004567"


def test_part_is_read_before_the_failure(file, plan):
    plan.arm(Operation.READ, partial=3)
    buffer = bytearray(b"......")
    assert outcomes(lambda: file.read_into(1, buffer), 1) == [0]
    assert buffer == b"123..."


def test_part_is_no_more_than_the_call(file, plan, files):
    plan.arm(Operation.WRITE, partial=100)
    assert outcomes(lambda: file.write(0, b"ab"), 1) == [0]
    assert files.contents(b"x") == b"ab234567"


@pytest.mark.parametrize("operation", Operation)
def test_fault_of_no_kind_is_of_every_kind(file, plan, operation):
    fault = plan.arm(None, code=errno.EDQUOT, times=1)
    assert fault.hit is None
    with pytest.raises(StorageError) as caught:
        CALLS[operation](file)
    assert caught.value.__cause__.errno == errno.EDQUOT
    assert (fault.hit, fault.times) == (operation, 0)
    CALLS[operation](file)


def test_fault_of_no_kind_counts_the_calls_of_all_kinds(file, plan):
    fault = plan.arm(None, name=b"x", after=2, times=2)
    other = file.open(b"y", writable=True)
    calls = [file.length, other.sync, file.sync, lambda: file.write(0, b"1"), file.length, file.sync]
    assert [outcomes(call, 1) for call in calls] == [[], [], [], [0], [0], []]
    assert fault.hit is Operation.LENGTH


@pytest.mark.parametrize(
    ("offset", "partial", "done"),
    [
        (0, 0, 0),
        (0, 3, 0),
        (0, 4, 4),
        (0, 7, 4),
        (0, 8, 8),
        (1, 2, 0),
        (1, 3, 3),
        (1, 6, 3),
        (1, 7, 7),
        (3, 1, 1),
        (5, 2, 0),
    ],
)
def test_part_ends_at_the_grain_of_the_file(file, plan, files, offset, partial, done):
    plan.grain = 4
    plan.arm(Operation.WRITE, partial=partial)
    assert outcomes(lambda: file.write(offset, b"ab", b"cdefghij"), 1) == [0]
    before, data = b"01234567", b"abcdefghij"[:done]
    assert files.contents(b"x") == before[:offset] + data + before[offset + done :]


def test_grain_is_that_of_zeroes_too(file, plan, files):
    plan.grain = 4
    plan.arm(Operation.ZEROES, partial=4)
    assert outcomes(lambda: file.write_zeroes(1, 6), 1) == [0]
    assert files.contents(b"x") == b"0\0\0\x004567"


def test_grain_is_that_of_a_disk_that_is_full(file, plan, files):
    plan.grain, plan.space = 4, 6
    assert outcomes(lambda: file.write(2, b"abcdefgh"), 1) == [0]
    assert files.contents(b"x") == b"01abcdef"
    assert plan.space == 0


def test_grain_does_not_change_what_succeeds(file, plan, files):
    plan.grain = 512
    file.write(1, b"ab")
    assert files.contents(b"x") == b"0ab34567"


def test_space_runs_out_over_all_files(file, plan, files):
    plan.space = 6
    other = file.open(b"y", writable=True)
    file.write(0, b"abcd")
    with pytest.raises(StorageError) as caught:
        other.write(0, b"ab", b"cd")
    assert caught.value.__cause__.errno == errno.ENOSPC
    assert outcomes(lambda: file.write(4, b"e"), 1) == [0]
    assert (files.contents(b"x"), files.contents(b"y")) == (b"abcd4567", b"ab234567")
    # A hole takes no space, and what the disk has got back can be used.
    file.write_zeroes(0, 4)
    plan.space = None
    assert outcomes(lambda: file.write(4, b"efgh"), 1) == []


def test_lying_sync_does_nothing_and_is_counted(files, plan):
    below = Counting(files.open(b"x", writable=True))
    file = FaultyStorage(below, plan)
    file.sync()
    plan.lying_sync = True
    file.sync()
    assert (below.syncs, plan.calls[Operation.SYNC, b"x"]) == (1, 2)


def test_wrappers_pass_the_rest_on(file, files):
    inner = files.open(b"x")
    assert (file.path, file.identity, file.writable) == (b"x", inner.identity, True)
    assert (file.length(), file.next_data(2, 8), file.next_hole(2, 9)) == (8, 2, 8)


def test_wrapper_passes_calls_on_to_what_it_wraps(files):
    class Reading(Wrapper):
        def read_into(self, offset, buffer):
            super().read_into(offset, buffer)
            reads.append(offset)

    reads, buffer = [], bytearray(2)
    inner = files.open(b"x", writable=True)
    outer = Reading(inner)
    outer.read_into(3, buffer)
    outer.lock(exclusive=True)
    assert (bytes(buffer), reads, outer.storage) == (b"34", [3], inner)
    with pytest.raises(ImageInUse):
        files.open(b"x").lock(exclusive=False)
    outer.close()
    files.open(b"x").lock(exclusive=False)
    with pytest.raises(StorageError):
        inner.length()


# -- the log


def test_log_has_what_changes_files_in_order(files):
    log = []
    x = RecordingStorage(files.open(b"x", writable=True), log)
    y = x.open(b"y", writable=True)
    x.write(3, b"ab", bytearray(b"cd"))
    y.write_zeroes(0, 4)
    y.write_zeroes(4, 2, unmap=False)
    y.sync()
    x.truncate(5)
    x.read_into(0, bytearray(2))
    x.sync()
    assert log == [
        WriteEvent(x.identity, 3, b"abcd"),
        ZeroesEvent(y.identity, 0, 4, unmap=True),
        ZeroesEvent(y.identity, 4, 2, unmap=False),
        SyncEvent(y.identity),
        TruncateEvent(x.identity, 5),
        SyncEvent(x.identity),
    ]
    assert (files.contents(b"x"), files.contents(b"y")) == (b"012ab", bytes(6) + b"67")


def test_logged_data_are_a_copy(files):
    log, data = [], bytearray(b"abcd")
    RecordingStorage(files.open(b"x", writable=True), log).write(0, data)
    data[:] = b"...."
    assert log[0].data == b"abcd"


def test_failed_change_is_logged_and_failed_sync_is_not(files, plan):
    log = []
    file = RecordingStorage(FaultyStorage(files.open(b"x", writable=True), plan), log)
    plan.arm(Operation.WRITE, partial=1)
    plan.arm(Operation.SYNC)
    assert outcomes(lambda: file.write(0, b"ab"), 1) == [0]
    assert outcomes(file.sync, 1) == [0]
    assert log == [WriteEvent(file.identity, 0, b"ab")]


def test_lying_sync_is_logged_from_outside_only(files, plan):
    plan.lying_sync = True
    outside, inside = [], []
    RecordingStorage(FaultyStorage(files.open(b"x"), plan), outside).sync()
    FaultyStorage(RecordingStorage(files.open(b"x"), inside), plan).sync()
    assert (len(outside), inside) == (1, [])


def test_order_of_the_log_is_kept_between_files(files):
    """A write that begins while another file is synced is logged after the sync, not before it."""
    log = []

    class Syncing(Counting):
        def sync(self):
            super().sync()
            writing.start()
            writing.join(0.1)

    y = RecordingStorage(files.open(b"y", writable=True), log)
    x = y.open(b"x", writable=True)
    x.storage = Syncing(x.storage)
    writing = threading.Thread(target=y.write, args=(0, b"late"))
    x.sync()
    writing.join()
    assert log == [SyncEvent(x.identity), WriteEvent(y.identity, 0, b"late")]


def test_log_replayed_gives_the_files(files):
    """Also when threads write at once, to one file through one storage and to another through its sibling."""
    log = []
    x = RecordingStorage(files.open(b"x", writable=True), log)
    y = x.open(b"y", writable=True)

    def work(number):
        for turn in range(40):
            (x, y)[turn % 2].write(number % 3, bytes([number, turn]) * 20)
            (x, y)[number % 2].truncate(30 + turn % 7)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    again = MemoryFiles({b"x": b"01234567", b"y": b"01234567"})
    names = {x.identity: again.open(b"x", writable=True), y.identity: again.open(b"y", writable=True)}
    for event in log:
        if isinstance(event, WriteEvent):
            names[event.file].write(event.offset, event.data)
        else:
            names[event.file].truncate(event.length)
    assert len(log) == 4 * 80
    assert [again.contents(name) for name in (b"x", b"y")] == [files.contents(name) for name in (b"x", b"y")]


def test_wrapped_names_are_resolved_as_the_wrapped_storage_does(plan):
    files = MemoryFiles({b"sub/x": b"x", b"sub/y": b"yy"})
    log = []
    x = RecordingStorage(FaultyStorage(files.open(b"sub/x"), plan), log)
    y = x.open(b"y")
    assert (y.length(), y.path) == (2, os.path.join(b"sub", b"y"))
