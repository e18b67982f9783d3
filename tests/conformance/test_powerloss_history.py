"""What a loss of power may leave of files, against a disk that is played through step by step."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from addcow_conformance.oracle import SECTOR
from addcow_conformance.powerloss import History
from addcow_conformance.programs import PowerLoss
from addcow_ref.memory import MemoryFiles
from addcow_ref.testing import SyncEvent, TruncateEvent, WriteEvent, ZeroesEvent
from addcow_spec.errors import UsageError

A, B = (0, 1), (0, 2)
NAMES = {A: b"a", B: b"b"}
EVERY = 1 << 40


def drawing(seed):
    return Random(seed)  # noqa: S311 - draws states to try


def contents(history, state):
    files = MemoryFiles()
    for name in state.files:
        file = files.create(name)
        history.put(name, state, file)
    return tuple(files.contents(name) for name in state.files)


def states(history, **options):
    found = history.states(**({"bound": EVERY, "samples": 0, "random": drawing(0)} | options))
    return [(contents(history, state), state) for state in found]


def history_of(events, **files):
    history = History({name.encode(): data for name, data in files.items()}, NAMES)
    for event in events:
        history.add(event)
    return history


# -- by hand


def test_nothing_was_written():
    assert [content for content, _ in states(history_of([], a=b"old"))] == [(b"old",)]


def test_unsynced_write_is_there_or_not():
    history = history_of([WriteEvent(A, 0, b"n" * SECTOR)], a=b"o" * SECTOR)
    assert {content for content, _ in states(history)} == {(b"o" * SECTOR,), (b"n" * SECTOR,)}


def test_synced_write_is_there():
    history = history_of([WriteEvent(A, 0, b"new"), SyncEvent(A)], a=b"old")
    assert {content for content, _ in states(history)} == {(b"new",)}


def test_sync_of_another_file_helps_nothing():
    history = history_of([WriteEvent(A, 0, b"new"), SyncEvent(B)], a=b"old", b=b"")
    assert {content[0] for content, _ in states(history)} == {b"old", b"new"}


def test_write_is_torn_between_sectors_and_never_within():
    history = history_of([WriteEvent(A, 10, b"n" * SECTOR)], a=b"o" * 2 * SECTOR)
    first, second = b"o" * 10 + b"n" * (SECTOR - 10), b"n" * 10 + b"o" * (SECTOR - 10)
    old = b"o" * SECTOR
    expected = {old + old, first + old, old + second, first + second}
    assert {content for (content,), _ in states(history)} == expected


def test_files_have_no_order_between_them():
    history = history_of([WriteEvent(A, 0, b"1"), WriteEvent(B, 0, b"1")], a=b"0", b=b"0")
    assert {content for content, _ in states(history)} == {(x, y) for x in (b"0", b"1") for y in (b"0", b"1")}


def test_lengthening_write_without_its_length_and_the_reverse():
    history = history_of([WriteEvent(A, SECTOR, b"n" * 10)], a=b"o" * SECTOR)
    expected = {b"o" * SECTOR, b"o" * SECTOR + bytes(10), b"o" * SECTOR + b"n" * 10}
    assert {content for (content,), _ in states(history)} == expected


GIB = 1 << 30


@pytest.mark.parametrize("before", [[], [TruncateEvent(A, 0), TruncateEvent(A, GIB)]], ids=["", "cut"])
@pytest.mark.parametrize("after", [[], [SyncEvent(A)]], ids=["pending", "synced"])
def test_zeros_in_a_hole_are_nothing_that_can_be_lost(before, after):
    """And cost nothing: a stream zeroes what is left of a disk in one go."""
    history = history_of([*before, ZeroesEvent(A, 100, GIB - 200, unmap=True), *after], a=GIB)
    newest = list(history.states(bound=EVERY, samples=0, random=drawing(0)))[-1]
    file = MemoryFiles().create(b"a")
    history.put(b"a", newest, file)
    assert (file.length(), file.next_data(0, GIB)) == (GIB, GIB)
    assert len(history.tell(newest.choice)) == len(before) + len(after) + 1


@pytest.mark.parametrize("after", [[], [SyncEvent(A)]], ids=["pending", "synced"])
def test_zeros_that_punch_no_hole_are_bytes(after):
    history = history_of([ZeroesEvent(A, 0, 256 * SECTOR, unmap=False), *after], a=512 * SECTOR)
    newest = history.draw(drawing(0))
    file = MemoryFiles().create(b"a")
    history.put(b"a", newest, file)
    assert (file.next_data(0, 512 * SECTOR), file.next_hole(0, 512 * SECTOR)) == (0, 256 * SECTOR)


def test_zeros_that_a_cut_has_wiped_are_there():
    """They cannot be told from those that the cut left, whatever was written since then."""
    events = [ZeroesEvent(A, 0, 1024, unmap=True), TruncateEvent(A, 0), WriteEvent(A, 0, b"x" * 1024)]
    history = history_of(events, a=1024)
    told = [history.tell(state.choice) for _, state in states(history)]
    assert {lines[0].partition(": ")[2] for lines in told if "truncate a to 0: there" in lines[1]} == {
        "there"
    }


@pytest.mark.parametrize("unmap", [True, False])
def test_zeros_over_bytes_are_there_or_not(unmap):
    """In the bytes that a file began with, in those that were synced, and in those that were not."""
    block = 128 * SECTOR
    events = [
        *(WriteEvent(A, 2 * block, b"s" * SECTOR), SyncEvent(A)),
        *(WriteEvent(A, 4 * block, b"p" * SECTOR), ZeroesEvent(A, SECTOR, 5 * block, unmap=unmap)),
    ]
    history = history_of(events, a=b"o" * 2 * SECTOR + bytes(6 * block - 2 * SECTOR))
    found = {
        tuple(content[at : at + 1] for at in (0, SECTOR, 2 * block, 4 * block))
        for (content,), _ in states(history)
    }
    assert found == {
        (b"o", second, synced, pending)
        for second in (b"o", b"\0")
        for synced in (b"s", b"\0")
        for pending in (b"p", b"\0")
    }
    history.add(SyncEvent(A))
    assert {content for (content,), _ in states(history)} == {b"o" * SECTOR + bytes(6 * block - SECTOR)}


def test_files_that_were_zeroed_have_another_key():
    old = history_of([], a=b"o" * 128 * SECTOR)
    zeroed = history_of([ZeroesEvent(A, 0, 128 * SECTOR, unmap=True), SyncEvent(A)], a=b"o" * 128 * SECTOR)
    (one,), (two,) = ([state for _, state in states(each)] for each in (old, zeroed))
    assert one.key(b"a") != two.key(b"a")


def test_durable_cut_has_wiped_what_it_cut_off():
    history = history_of([TruncateEvent(A, 4096), TruncateEvent(A, 4100)], a=b"o" * 4104)
    expected = {b"o" * 4104, b"o" * 4096, b"o" * 4096 + bytes(4)}
    assert {content for (content,), _ in states(history)} == expected


def test_cut_that_is_not_durable_may_have_filled_its_last_block_with_zeros():
    history = history_of([TruncateEvent(A, 3)], a=b"o" * 4097)
    first = {b"ooo", b"o" * 4097}
    found = {content for (content,), _ in states(history)}
    assert first < found
    for content in found - first:
        assert len(content) == 4097
        for at in range(0, 4096, SECTOR):
            assert content[at : at + SECTOR] in {
                b"o" * SECTOR,
                bytes(SECTOR) if at else b"ooo".ljust(SECTOR, b"\0"),
            }
        assert content[4096:] == b"o"


def test_cut_that_was_synced_stays():
    history = history_of([TruncateEvent(A, 0), SyncEvent(A), TruncateEvent(A, 8)], a=b"oldbytes")
    assert {content for (content,), _ in states(history)} == {b"", bytes(8)}


def test_zeroes_are_a_write():
    history = history_of([ZeroesEvent(A, 2, 3, True)], a=b"oldbytes")
    assert {content for (content,), _ in states(history)} == {b"oldbytes", b"ol\0\0\0tes"}


def test_file_that_is_one_hole():
    history = history_of([WriteEvent(A, 64 << 20, b"x")], a=(64 << 20) + 1)
    assert sorted(content.strip(b"\0") for (content,), _ in states(history)) == [b"", b"x"]


# -- a disk that is played through


class Played:
    """All contents of one file that write-back may have left, by trying every order of doing it."""

    def __init__(self, content):
        # What is on disk: length, sectors with the event that they are from; and what is in memory.
        self._length = len(content)
        self._disk = {at: (-1, piece) for at, piece in pieces(content)}
        self._events = []

    def run(self, events):
        found, waiting, seen = set(), [self._start()], set()
        while waiting:
            state = waiting.pop()
            if state in seen:
                continue
            seen.add(state)
            if state[0] == len(events):
                found.add(self._content(state))
            waiting += self._next(state, events)
        return found

    def _start(self):
        disk = tuple(sorted(self._disk.items()))
        # Number of events done; length on disk; sectors on disk; length, sectors in memory; lengths to come.
        return 0, self._length, disk, self._length, disk, ()

    def _content(self, state):
        _, length, disk, *_ = state
        sectors = {at: piece for at, (_, piece) in disk}
        data = b"".join(sectors.get(at, bytes(SECTOR)) for at in range(-(-length // SECTOR)))
        return data[:length]

    def _next(self, state, events):
        done, length, disk, now_length, now, due = state
        on_disk, in_memory = dict(disk), dict(now)
        # Any sector in memory may be written back.
        for at, found in now:
            if on_disk.get(at, (-1, bytes(SECTOR))) != found and found[0] >= 0:
                later = {**on_disk, at: found}
                yield done, length, tuple(sorted(later.items())), now_length, now, due
        # The next length may become durable; of a cut, what was there before it is wiped.
        if due:
            step, new = due[0]
            later = {at: self._cut(at, found, step, new) for at, found in on_disk.items()}
            yield done, new, tuple(sorted(later.items())), now_length, now, due[1:]
        if done < len(events):
            yield self._do(state, events[done], on_disk, in_memory)

    def _do(self, state, event, _on_disk, memory):
        done, length, disk, now_length, _, due = state
        if isinstance(event, TruncateEvent):
            block = -(-event.length // 4096) * 4096
            if event.length < now_length:
                memory = {at: self._zeroed(at, found, done, event.length) for at, found in memory.items()}
                memory = {at: found for at, found in memory.items() if at * SECTOR < block}
            due = (*due, (done, event.length))
            return done + 1, length, disk, event.length, tuple(sorted(memory.items())), due
        data = event.data if isinstance(event, WriteEvent) else bytes(event.length)
        for number, byte in enumerate(data):
            at, place = divmod(event.offset + number, SECTOR)
            piece = bytearray(memory.get(at, (-1, bytes(SECTOR)))[1])
            piece[place] = byte
            memory = {**memory, at: (done, bytes(piece))}
        end = event.offset + len(data)
        if end > now_length:
            due, now_length = (*due, (done, end)), end
        return done + 1, length, disk, now_length, tuple(sorted(memory.items())), due

    @staticmethod
    def _cut(at, found, step, length):
        since, piece = found
        keep = max(min(length - at * SECTOR, SECTOR), 0)
        return found if since > step else (since, piece[:keep].ljust(SECTOR, b"\0"))

    @staticmethod
    def _zeroed(at, found, step, length):
        piece = found[1][: max(length - at * SECTOR, 0)].ljust(SECTOR, b"\0")
        return found if piece == found[1] else (step, piece)


def pieces(content):
    padded = content.ljust(-(-len(content) // SECTOR) * SECTOR, b"\0")
    return [(at, padded[at * SECTOR : (at + 1) * SECTOR]) for at in range(len(padded) // SECTOR)]


PLACES = st.sampled_from([0, 5, SECTOR - 3, SECTOR, 2 * SECTOR - 1])
EVENTS = st.one_of(
    st.builds(
        lambda at, size, byte: WriteEvent(A, at, bytes([byte]) * size),
        PLACES,
        st.sampled_from([1, 6, SECTOR]),
        st.integers(1, 3),
    ),
    st.builds(lambda at, size: ZeroesEvent(A, at, size, True), PLACES, st.sampled_from([2, SECTOR])),
    st.builds(lambda size: TruncateEvent(A, size), st.sampled_from([0, 3, SECTOR, SECTOR + 4, 3 * SECTOR])),
)


@given(st.sampled_from([b"", b"o" * 7, b"o" * SECTOR, b"o" * (2 * SECTOR + 9)]), st.lists(EVENTS, max_size=3))
def test_states_are_those_of_a_disk_that_is_played_through(content, events):
    history = history_of(events, a=content)
    ours = {found for (found,), _ in states(history)}
    assert ours == Played(content).run(events)


@given(st.lists(EVENTS, max_size=4), st.lists(EVENTS, max_size=2))
def test_after_a_sync_the_past_is_one_state(before, after):
    synced = history_of([*before, SyncEvent(A)], a=b"o" * 700)
    ((content, _),) = states(synced)
    again = history_of(after, a=content[0])
    for event in after:
        synced.add(event)
    assert {found for found, _ in states(synced)} == {found for found, _ in states(again)}


# -- choices


def busy():
    return history_of(
        [
            WriteEvent(A, 0, b"1" * 5 * SECTOR),
            WriteEvent(A, SECTOR, b"2" * 2 * SECTOR),
            WriteEvent(B, 3, b"3" * SECTOR),
            TruncateEvent(B, 2 * SECTOR),
            WriteEvent(A, 5 * SECTOR, b"4" * 700),
        ],
        a=b"0" * 4 * SECTOR,
        b=b"0" * 3 * SECTOR,
    )


def test_total_is_the_number_of_choices_and_keys_tell_files_apart():
    history = busy()
    found = states(history)
    assert len(found) == history.total() > 200
    by_key = {}
    for content, state in found:
        assert by_key.setdefault(tuple(map(state.key, state.files)), content) == content
    assert len(by_key) == len({content for content, _ in found})


def test_samples_are_states_of_the_whole_and_begin_at_its_corners():
    history = busy()
    every = {content for content, _ in states(history)}
    some = states(history, bound=10, samples=40)
    assert len(some) == 40
    assert {content for content, _ in some} <= every
    nothing = (b"0" * 4 * SECTOR, b"0" * 3 * SECTOR)
    last = next(
        content for content, state in states(history) if not (state.choice.lengths or state.choice.sectors)
    )
    corners = {(a, b) for a in (nothing[0], last[0]) for b in (nothing[1], last[1])}
    assert corners <= {content for content, _ in some[:4]}


def test_samples_hang_on_the_seed_alone():
    def draw(seed):
        return [content for content, _ in states(busy(), bound=10, samples=60, random=drawing(seed))]

    assert draw(1) == draw(1) != draw(2)


def test_many_samples_come_near_every_state():
    """Chance covers the corners and the middle: most of a small space is found."""
    history = busy()
    every = {content for content, _ in states(history)}
    drawn = {content for content, _ in states(history, bound=1, samples=5 * len(every))}
    assert len(drawn) > 0.55 * len(every)


def test_choice_that_was_told_gives_the_state_again():
    history = busy()
    for content, state in states(history):
        assert contents(history, history.chosen(state.choice)) == content


@pytest.mark.parametrize(
    "choice",
    [
        PowerLoss(5, {"a": 9}, {}),
        PowerLoss(5, {}, {"a": {77: 0}}),
        PowerLoss(5, {}, {"a": {1: 9}}),
    ],
)
def test_choice_that_is_none(choice):
    with pytest.raises(UsageError):
        busy().chosen(choice)


def test_order_is_told_write_by_write():
    history = history_of(
        [WriteEvent(A, 0, b"1"), SyncEvent(A), WriteEvent(A, 0, b"2" * 2 * SECTOR), WriteEvent(B, 0, b"3")],
        a=b"0" * 2 * SECTOR,
        b=b"0",
    )
    told = history.tell(PowerLoss(4, {}, {"a": {1: 0}, "b": {0: 0}}))
    assert told == (
        "write a 0..1: durable",
        "sync a",
        "write a 0..1024: torn: 1 of 2 sectors are there",
        "write b 0..1: lost",
    )


def test_lengths_become_durable_in_their_order():
    history = history_of([TruncateEvent(A, size) for size in (5, 0, 9)], a=b"o" * 7)
    lengths = [len(content[0]) for content, _ in states(history)]
    assert list(dict.fromkeys(lengths)) == [7, 5, 0, 9]
