"""Programs that somebody wrote to do harm: what no schema sees, and what would take memory."""

from __future__ import annotations

import tracemalloc

import pytest

import addcow_ref
from addcow_conformance.programs import (
    LARGEST_FILE,
    Backing,
    BackingKind,
    Disk,
    Flush,
    Kill,
    Program,
    Race,
    Read,
    Reopen,
    Resize,
    Session,
    Write,
    Zeroes,
    dump_program,
    load_program,
)
from addcow_spec.errors import UsageError
from addcow_spec.model import Revision

MIB = 1 << 20
HEAD = '{"add-cow program": 1, "disk": {"revision": "v10", "size": 1}, "operations": ['


def refused(text):
    with pytest.raises(UsageError):
        load_program(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "\0",
        b"\xff\xfe",
        b"\xef\xbb\xbf" + HEAD.encode() + b"]}",
        (HEAD + "]}").encode("utf-16"),
        (HEAD + "]}").replace("v10", "v\ud800"),
        HEAD + "]} x",
        HEAD + '], "add-cow program": 1}',
        HEAD + '{"do": "flush", "do": "kill"}]}',
        HEAD + '], "power_loss": {"after": 1, "lengths": {"x": 1, "x": 2}, "sectors": {}}}',
        HEAD + '{"do": "resize", "size": NaN}]}',
        HEAD + '{"do": "resize", "size": Infinity}]}',
        HEAD + '{"do": "resize", "size": 1e400}]}',
        HEAD + '{"do": "resize", "size": 1.0}]}',
        HEAD + '{"do": "resize", "size": 1e2}]}',
        HEAD + '{"do": "resize", "size": ' + "9" * 5000 + "}]}",
        HEAD.replace("1,", "1.0,", 1) + "]}",
        HEAD + "[" * 200_000,
        HEAD + '{"do": "race", "first": ' * 20_000,
        '{"a": ' * 200_000,
    ],
)
def test_text_that_is_no_program_is_refused(text):
    refused(text)


@pytest.mark.parametrize("depth", [1, 50, 200, 320, 900])
def test_race_in_races_is_refused_however_deep(depth):
    inner = '{"do": "race", "second": {"do": "flush"}, "first": ' * depth + '{"do": "flush"}' + "}" * depth
    refused(HEAD + '{"do": "race", "second": {"do": "flush"}, "first": ' + inner + "}]}")


def test_file_is_bounded_in_bytes():
    sound = HEAD + "]" + " " * (LARGEST_FILE - len(HEAD) - 2) + "}"
    assert load_program(sound).operations == ()
    refused(sound + " ")
    refused(sound.encode() + b" ")
    note = HEAD + '], "note": "' + "\u20ac" * (LARGEST_FILE // 3) + '"}'
    assert len(note) < LARGEST_FILE
    refused(note)


def test_all_lengths_together_are_bounded():
    write, other = Write(0, 32 * MIB), Read(0, 32 * MIB)
    load_program(dump_program(Program(Disk(), (write, other, Race(write, other)))))
    refused(dump_program(Program(Disk(), (write, other, Race(write, other), Read(0, 1)))))


@pytest.mark.parametrize(
    "disk",
    [
        Disk(size=8 << 30),
        Disk(Revision.V4, 64 * MIB),
        Disk(size=8 << 30, backing=Backing(BackingKind.RAW, 4 * MIB)),
        Disk(size=1 << 31, fill=0),
    ],
)
def test_largest_disks_take_little_memory(disk):
    tail = disk.size - disk.size % 512 - 512
    program = (
        Write(tail, 512),
        Zeroes(0, MIB),
        Flush(),
        Resize(tail),
        Resize(disk.size),
        Write(disk.size // 2 - 5, 10),
        Kill(),
        Reopen(),
    )
    loaded = load_program(dump_program(Program(disk, program)))
    tracemalloc.start()
    try:
        with Session(loaded.disk, addcow_ref) as session:
            assert [session.step(operation).outcome for operation in loaded.operations] == ["done"] * 8
        assert tracemalloc.get_traced_memory()[1] < 400 * MIB
    finally:
        tracemalloc.stop()


def test_backing_file_that_cannot_be_made_is_a_mistake_of_the_caller():
    with pytest.raises(UsageError):
        Session(Disk(backing=Backing(BackingKind.QCOW2, 2 * MIB + 1)), addcow_ref)
