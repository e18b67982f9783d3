"""Programs as JSON: what is written is read again, and what somebody else wrote is bounded."""

from __future__ import annotations

import json

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from addcow_conformance.programs import (
    Backing,
    BackingKind,
    Disk,
    Fault,
    Flush,
    Kill,
    PowerLoss,
    Program,
    Race,
    Read,
    Reopen,
    Resize,
    StorageKind,
    Stream,
    Via,
    Write,
    Zeroes,
    dump_program,
    load_program,
    program_schema,
)
from addcow_spec.errors import UsageError
from addcow_spec.model import Revision

SCHEMA = jsonschema.Draft202012Validator(program_schema())
MIB = 1 << 20
HEAD = '{"add-cow program": 1, "disk": {"revision": "v10", "size": 1}, "operations": ['
LARGEST = {Revision.V4: 64 * MIB, Revision.V6: 64 * MIB, Revision.V10: 8 << 30}


def accepted(value):
    """Whether a program is taken, in which schema and reader agree."""
    try:
        load_program(json.dumps(value))
    except UsageError:
        taken = False
    else:
        taken = True
    assert SCHEMA.is_valid(value) == taken, value
    return taken


# -- any program


def numbers(largest):
    return st.integers(0, largest) | st.sampled_from([0, largest])


SMALL = numbers(MIB)
OFFSETS, STEPS, FLAGS = numbers(16 << 30), numbers(100_000), st.booleans()
REQUESTS = [
    st.builds(Read, OFFSETS, SMALL),
    st.builds(Write, OFFSETS, SMALL, numbers(1 << 32), FLAGS),
    st.builds(Zeroes, OFFSETS, SMALL, FLAGS, FLAGS),
    st.just(Flush()),
    st.builds(Stream, st.none() | STEPS),
]
FILES = st.text('abc.-~!\\"', min_size=1, max_size=64)
POWER_LOSSES = st.builds(
    PowerLoss,
    STEPS,
    st.dictionaries(FILES, STEPS, max_size=3),
    st.dictionaries(FILES, st.dictionaries(numbers(10**11 - 1), STEPS, max_size=3), max_size=2),
)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=50)


@st.composite
def programs(draw):
    revision = draw(st.sampled_from(Revision))
    kind = draw(st.sampled_from(BackingKind))
    backing = Backing(kind, draw(numbers(2 * MIB if kind is BackingKind.QCOW2 else 64 * MIB)))
    sizes = numbers(LARGEST[revision])
    disk = Disk(
        revision,
        draw(sizes),
        draw(st.sampled_from([None, backing])),
        draw(numbers(255)),
        draw(st.integers(4096, 64 * MIB)),
    )
    operations = st.one_of(
        *REQUESTS,
        st.builds(Reopen, FLAGS, st.sampled_from(Via)),
        st.just(Kill()),
        st.builds(Resize, sizes),
        st.builds(Fault, STEPS, numbers(133), numbers(64 * MIB)),
        st.builds(Race, st.one_of(REQUESTS), st.one_of(REQUESTS), STEPS),
    )
    return Program(
        disk,
        tuple(draw(st.lists(operations, max_size=12))),
        draw(st.sampled_from(StorageKind)),
        draw(st.none() | POWER_LOSSES),
        draw(st.sampled_from(["", "ACW-DYN-001", "ACW-QC2-017"])),
        draw(TEXTS),
    )


@given(programs())
@settings(deadline=None)
def test_program_that_is_written_is_read_again(program):
    text = dump_program(program)
    assert load_program(text) == load_program(text.encode()) == program
    assert SCHEMA.is_valid(json.loads(text))
    assert text.isascii()


def test_what_is_read_is_of_its_kind():
    """Words are members of their enumerations, and nothing is a bare tuple."""
    program = load_program(
        HEAD + '{"do": "reopen", "via": "symlink"}, {"do": "race", "first": {"do": "flush"}, '
        '"second": {"do": "write", "offset": 0, "length": 1}}], "storage": "files"}'
    )
    assert program.disk.revision is Revision.V10
    assert program.storage is StorageKind.FILES
    assert program.operations == (Reopen(via=Via.SYMLINK), Race(Flush(), Write(0, 1)))
    assert list(map(type, program.operations)) == [Reopen, Race]
    assert type(program.operations[1].second) is Write


def test_defaults_are_not_written():
    assert dump_program(Program(Disk(), (Write(1, 2), Kill()))).splitlines() == [
        "{",
        '  "add-cow program": 1,',
        '  "disk": {"revision": "v10", "size": 65536, "backing": null, "fill": 221, "cache_size": 4096},',
        '  "operations": [',
        '    {"do": "write", "offset": 1, "length": 2},',
        '    {"do": "kill"}',
        "  ]",
        "}",
    ]


def test_any_note_can_be_written_and_read():
    """As notes may hold what an implementation says."""
    for note in ("\ud800 half", "x" * (1 << 20), "\0\n\u2028"):
        load_program(dump_program(Program(Disk(), note=note)))


# -- what is refused, by reader and schema alike


def a_program(**changes):
    return {"add-cow program": 1, "disk": {"revision": "v10", "size": 65536}, "operations": []} | changes


def with_operation(operation):
    return a_program(operations=[operation])


def with_disk(**changes):
    return a_program(disk={"revision": "v10", "size": 65536} | changes)


SOUND = {
    "read": {"offset": 0, "length": 0},
    "write": {"offset": 16 << 30, "length": 1, "seed": 1 << 32, "fua": True},
    "zeroes": {"offset": 1, "length": 2, "unmap": False, "fua": False},
    "flush": {},
    "stream": {"steps": None},
    "reopen": {"writable": False, "via": "directory"},
    "kill": {},
    "resize": {"size": 8 << 30},
    "fault": {"after": 100_000, "code": 133, "partial": 64 * MIB},
    "race": {"first": {"do": "flush"}, "second": {"do": "stream", "steps": 100_000}, "pause": 0},
}
NO_NUMBERS = [-1, 1 << 70, 0.5, True, False, None, "1", [], {}, [0], {"do": "flush"}]
NO_FLAGS = [0, 1, None, "true", []]
NO_WORDS = ["", "v1", "PATH", 4, True, None, [], ["v4"], {}]
WRONG = {int: NO_NUMBERS, bool: NO_FLAGS, str: NO_WORDS}


@pytest.mark.parametrize("do", SOUND)
def test_operation_has_its_members_and_no_others(do):
    operation = {"do": do, **SOUND[do]}
    assert accepted(with_operation(operation))
    assert not accepted(with_operation(operation | {"unknown": 0}))
    assert not accepted(with_operation(SOUND[do]))
    for name, value in SOUND[do].items():
        for wrong in WRONG.get(type(value), [1.5, "x", True]):
            if not (name == "steps" and wrong is None):
                assert not accepted(with_operation(operation | {name: wrong}))
    optional = {"seed", "fua", "unmap", "steps", "writable", "via", "code", "partial", "pause"}
    for name in SOUND[do]:
        rest = {other: value for other, value in operation.items() if other != name}
        assert accepted(with_operation(rest)) == (name in optional)


@pytest.mark.parametrize("do", [None, "", "Read", "boot", 1, True, [], {}, ["read"]])
def test_operation_is_one_that_there_is(do):
    assert not accepted(with_operation({"do": do}))


@pytest.mark.parametrize("operation", [None, 1, "flush", [], ["flush"], {}])
def test_operation_is_an_object(operation):
    assert not accepted(with_operation(operation))


@pytest.mark.parametrize("do", ["reopen", "kill", "resize", "fault", "race"])
def test_race_is_of_requests(do):
    assert not accepted(
        with_operation({"do": "race", "first": {"do": do, **SOUND[do]}, "second": {"do": "flush"}})
    )


@pytest.mark.parametrize(
    ("changes", "taken"),
    [
        ({"size": 8 << 30}, True),
        ({"size": (8 << 30) + 1}, False),
        ({"revision": "v4", "size": 64 * MIB}, True),
        ({"revision": "v4", "size": 64 * MIB + 512}, False),
        ({"revision": "v6", "size": 8 << 30}, False),
        ({"revision": "v7"}, False),
        ({"revision": 10}, False),
        ({"fill": 256}, False),
        ({"fill": 0, "cache_size": 4096}, True),
        ({"cache_size": 4095}, False),
        ({"cache_size": 64 * MIB + 1}, False),
        ({"backing": None}, True),
        ({"backing": {"kind": "raw", "size": 64 * MIB}}, True),
        ({"backing": {"kind": "chain", "size": 64 * MIB + 1}}, False),
        ({"backing": {"kind": "qcow2", "size": 2 * MIB}}, True),
        ({"backing": {"kind": "qcow2", "size": 2 * MIB + 1}}, False),
        ({"backing": {"kind": "vmdk", "size": 1}}, False),
        ({"backing": {"kind": "raw"}}, False),
        ({"backing": {"kind": "raw", "size": 1, "name": "x"}}, False),
        ({"backing": []}, False),
        ({"path": "/etc/passwd"}, False),
    ],
)
def test_disk_is_bounded(changes, taken):
    assert accepted(with_disk(**changes)) is taken


def test_resize_is_bounded_as_the_disk_is():
    small = {"revision": "v4", "size": 512}
    assert accepted(a_program(disk=small, operations=[{"do": "resize", "size": 64 * MIB}]))
    assert not accepted(a_program(disk=small, operations=[{"do": "resize", "size": 64 * MIB + 512}]))


@pytest.mark.parametrize(
    ("changes", "taken"),
    [
        ({"add-cow program": 0}, False),
        ({"add-cow program": 2}, False),
        ({"add-cow program": True}, False),
        ({"add-cow program": "1"}, False),
        ({"add-cow program": None}, False),
        ({"disk": None}, False),
        ({"disk": []}, False),
        ({"disk": {}}, False),
        ({"operations": {}}, False),
        ({"operations": None}, False),
        ({"operations": [{"do": "flush"}] * 100_001}, False),
        ({"storage": "files"}, True),
        ({"storage": "tape"}, False),
        ({"rule": "ACW-DYN-001"}, True),
        ({"rule": "ACW-DYN-001\n"}, False),
        ({"rule": "acw-dyn-001"}, False),
        ({"rule": None}, False),
        ({"rule": 1}, False),
        ({"note": "x" * 65536}, True),
        ({"note": "x" * 65537}, False),
        ({"note": "\ud800"}, False),
        ({"note": "\U0001f600"}, True),
        ({"note": []}, False),
        ({"unknown": 1}, False),
        ({"power_loss": None}, True),
        ({"power_loss": []}, False),
    ],
)
def test_program_is_bounded(changes, taken):
    assert accepted(a_program(**changes)) is taken


@pytest.mark.parametrize("value", [None, [], "x", 1, True, {}, [a_program()]])
def test_program_is_an_object(value):
    assert not accepted(value)


@pytest.mark.parametrize("name", ["add-cow program", "disk", "operations"])
def test_program_has_its_parts(name):
    program = a_program()
    del program[name]
    assert not accepted(program)


@pytest.mark.parametrize(
    ("changes", "taken"),
    [
        ({}, True),
        ({"after": -1}, False),
        ({"lengths": {"x": 100_000}, "sectors": {"x": {"0": 0, "99999999999": 1}}}, True),
        ({"lengths": {"x": 100_001}}, False),
        ({"lengths": {"x": True}}, False),
        ({"lengths": {"": 1}}, False),
        ({"lengths": {"x" * 65: 1}}, False),
        ({"lengths": {"x\n": 1}}, False),
        ({"lengths": {"\ud800": 1}}, False),
        ({"lengths": []}, False),
        ({"sectors": {"x": []}}, False),
        ({"sectors": {"x": {"1": None}}}, False),
        ({"sectors": {"x": {"01": 1}}}, False),
        ({"sectors": {"x": {"-1": 1}}}, False),
        ({"sectors": {"x": {"1\n": 1}}}, False),
        ({"sectors": {"x": {"\u0663": 1}}}, False),
        ({"sectors": {"x": {"1" * 12: 1}}}, False),
        ({"sectors": {"x": {"1" * 5000: 1}}}, False),
        ({"more": 1}, False),
    ],
)
def test_loss_of_power_is_bounded(changes, taken):
    assert accepted(a_program(power_loss={"after": 1, "lengths": {}, "sectors": {}} | changes)) is taken
