"""The target ``ops``: the code of programs, its mutator, and that it finds what is planted alone."""

import os
import subprocess
import sys
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

import addcow_ref
from addcow_conformance.programs import (
    Backing,
    BackingKind,
    Disk,
    Fault,
    Flush,
    Kill,
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
    load_program,
)
from addcow_fuzz._program_mutator import custom_crossover, custom_mutator
from addcow_fuzz._program_run import finding, run
from addcow_fuzz._program_seeds import seeds, write_seeds
from addcow_fuzz._programs import KINDS, OPERATIONS, Case, Cut, decode, encode
from addcow_fuzz.targets import fuzz_ops
from addcow_spec.errors import UsageError
from addcow_spec.model import Revision
from tests.conformance import variants
from tests.conformance.planted import PLANTED
from tests.fuzz.hunting import LONGEST, SEEDS, hunt
from tests.repo.tree import ROOT

# Inputs within which each planted fault is found.
RUNS = 300
IN_MEMORY = [name for name, planted in PLANTED.items() if planted.storage is StorageKind.MEMORY]
DURABILITY = [
    variants.BitsFirst,
    variants.ForgetsOldBits,
    variants.LyingSync,
    variants.NoBarrierOnEviction,
    variants.OneFileFlush,
]


# --- the code


@given(st.binary(max_size=2 * LONGEST))
def test_any_bytes_are_a_program_and_its_encoding_is_the_same_one(data):
    case = decode(data)
    assert decode(encode(case)) == case
    assert encode(decode(encode(case))) == encode(case)


@given(st.binary(max_size=LONGEST))
def test_any_program_is_within_bounds(data):
    (disk, operations, *_), _, _ = decode(data)
    assert len(operations) <= OPERATIONS
    assert disk.size <= (4096 * 8 + 8) * disk.unit_size
    for operation in operations:
        for part in (operation.first, operation.second) if isinstance(operation, Race) else (operation,):
            assert getattr(part, "length", 0) <= 4 << 16


def test_code_of_version_1_means_what_it_meant():
    head = bytes.fromhex("01 01 01 00 00300000 01 03 00000000 dd 00 0200 0700")
    records = (
        "00 05 0700 00 00100000 00 09000000"  # a write with FUA, numbers as they are
        "01 00 0000 02 00feffff 01 ffffffff"  # a read from 512 bytes before the end, of a unit but a byte
        "05 09 0000 00 00000000 00 00000000"
        "09 00 0300 00 00000000 00 00000000"  # a race of the next two
        "02 02 0000 04 01000000 00 00020000"
        "03 00 0000 00 00000000 00 00000000"
        "08 00 1c00 00 02000000 00 00020000"
    )
    program = Program(
        Disk(Revision.V6, 12288, Backing(BackingKind.RAW, 0), 0xDD),
        (
            Write(4096, 9, 7, fua=True),
            Read(11776, 511),
            Reopen(writable=True, via=Via.SYMLINK),
            Race(Zeroes(4097, 512), Flush(), 3),
            Fault(2, 28, 512),
        ),
    )
    assert decode(head + bytes.fromhex(records)) == Case(program, cut=Cut(2, 7))


def test_each_kind_of_operation_survives_the_code():
    operations = (
        Write(1, 2, 65535),
        Read(1 << 31, 262144),
        Zeroes(0, 1, unmap=False, fua=True),
        Flush(),
        Stream(),
        Stream(0),
        Stream(7),
        Reopen(writable=False, via=Via.DIRECTORY),
        Kill(),
        Resize(511),
        Fault(1023, 133, 262144),
        Race(Read(5, 6), Stream(1), 7),
    )
    assert {type(operation) for operation in operations} == set(KINDS)
    case = Case(Program(Disk(size=9), operations), each=True, cut=Cut(65535, 65535))
    assert decode(encode(case)) == case


@pytest.mark.parametrize(
    "program",
    [
        Program(Disk(size=1 << 33)),
        Program(Disk(), (Flush(),) * (OPERATIONS + 1)),
        Program(Disk(), (Write(1 << 32, 1),)),
        Program(Disk(), (Write(0, 1, 1 << 16),)),
        Program(Disk(), (Read(0, 655361),)),
        Program(Disk(), (Read(-1, 1),)),
        Program(Disk(cache_size=4097)),
        Program(Disk(), (Race(Flush(), Flush(), 8),)),
    ],
)
def test_program_that_is_too_large_for_the_code_is_refused(program):
    with pytest.raises(UsageError):
        encode(Case(program))


# --- seeds


def test_seeds_are_those_that_are_made(tmp_path):
    (tmp_path / "regressions").symlink_to(ROOT / "corpora/regressions")
    write_seeds(tmp_path)
    for target in ("ops", "differential"):
        made = {path.name: path.read_bytes() for path in (tmp_path / "seeds" / target).iterdir()}
        kept = {path.name: path.read_bytes() for path in (ROOT / "corpora/seeds" / target).iterdir()}
        assert kept == made == seeds(ROOT / "corpora")


def test_seeds_have_every_kind_of_operation():
    cases = [decode(data) for data in SEEDS.values()]
    assert {type(operation) for case in cases for operation in case.program.operations} == set(KINDS)
    assert {case.program.disk.revision for case in cases} == set(Revision)


@pytest.mark.parametrize("name", SEEDS)
def test_seed_runs_clean(name):
    fuzz_ops.check_one(SEEDS[name])


# --- the mutator


@given(
    st.binary(max_size=LONGEST), st.binary(max_size=LONGEST), st.integers(0, 1200), st.integers(0, 1 << 32)
)
def test_mutants_have_no_more_bytes_than_they_may(one, two, room, seed):
    assert len(custom_mutator(one, room, seed)) <= room
    assert len(custom_crossover(one, two, room, seed)) <= room
    assert custom_mutator(one, room, seed) == custom_mutator(one, room, seed)


def test_mutants_of_nothing_come_to_every_kind_of_operation():
    random = Random(0)  # noqa: S311 - the same inputs in every run
    met, data = set(), b""
    for _ in range(200):
        data = custom_mutator(data, LONGEST, random.getrandbits(32))
        met |= {type(operation) for operation in decode(data).program.operations}
    assert met == set(KINDS)


# --- what is found


def test_nothing_is_found_in_the_right_engine():
    assert hunt(fuzz_ops.check_one, RUNS) == (None, None)


@pytest.mark.parametrize("name", IN_MEMORY)
def test_planted_fault_is_found(name, monkeypatch):
    planted = PLANTED[name]
    planted.plant(monkeypatch)
    found, data = hunt(fuzz_ops.check_one, RUNS)
    assert found is not None
    # What is left wrong behind the end of the disk is seen when the disk grows; and for bytes that a loss of
    # power leaves there is one rule.
    late = {"oracle": {"ACW-DYN-006"}, "powerloss": {"ACW-DYN-005"}}
    assert found.rule in planted.rules | late[found.oracle]
    program = load_program(fuzz_ops.explain(data))
    assert program.rule == found.rule
    assert program.note


@pytest.mark.parametrize("variant", DURABILITY)
def test_planted_fault_of_durability_is_found(variant):
    def check(data):
        wrong = run(decode(data), variant)
        if wrong:
            raise finding(wrong)

    found, _ = hunt(check, RUNS)
    assert found is not None
    assert (found.oracle, found.rule) == ("powerloss", "ACW-DYN-005")


def test_error_that_nobody_declared_is_a_finding_with_its_site(monkeypatch):
    def write(*_, **__):
        raise KeyError("no such thing")

    monkeypatch.setattr(addcow_ref.Image, "write", write)
    found, _ = hunt(fuzz_ops.check_one, RUNS)
    assert found is not None
    assert found.token.startswith("strict:-:write:keyerror.")


def test_module_is_imported_without_atheris():
    code = (
        "import sys; sys.modules['atheris'] = None; "
        "from addcow_fuzz.targets import fuzz_differential, fuzz_ops; "
        "fuzz_ops.check_one(b''); fuzz_differential.check_one(b'')"
    )
    environment = {name: value for name, value in os.environ.items() if name != "ADDCOW_FUZZ_TARGET"}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment, timeout=60)
