"""The target ``differential``: it finds implementations that are wrong, and none that is right."""

import pytest

import addcow_ref
from addcow_conformance.adapters.stdio import StdioTarget
from addcow_conformance.programs import Disk, Flush, Program, Write, dump_program
from addcow_fuzz._programs import Case, encode
from addcow_fuzz.invariants import Finding
from addcow_fuzz.targets import fuzz_differential
from addcow_spec.errors import UsageError
from tests.conformance.miniatures import MINIATURES, RIGHT
from tests.conformance.stdio_programs import REFERENCE, faulty, wrong
from tests.conformance.wrong_targets_files import SCENARIOS
from tests.fuzz.hunting import SEEDS, hunt

RUNS = 400

# Miniatures that a program on a sound image shows; the others are wrong about broken images, names or locks.
FOUND = (
    "MostSignificantBitFirst",
    "ShortLastUnitHasNoBit",
    "LastBytesOfThePageAreNotWritten",
    "BackingFileIsAlwaysRaw",
    "LongerImageIsRefused",
    "FuaIsIgnored",
    "ClosingDoesNotFlush",
    "BigEndianV10",
    "ClearUnitsAreZeros",
    "ImageFileShowsBeyondTheBackingFile",
    "ReadPastTheEndIsShort",
    "ExtentsKnowTwoLayers",
    "UnusedBitsStaySet",
    "SizeFieldIsKept",
    "OddSizeIsTaken",
    "StreamLeavesOutTheLastUnit",
    "StreamLeavesZerosToChance",
    "RestIsCopiedOverWhatIsThere",
    "WritesForReadingAreSwallowed",
    "ZeroesTakeWholeUnits",
    "EmptyWriteSetsABit",
)
WRONG = {
    scenario.name: scenario
    for scenario in SCENARIOS
    if scenario.name
    in {
        "backing file is written with its own bytes",
        "closing an image open for reading writes",
        "write is refused",
        "write outside is refused by another rule",
        "resize does nothing",
    }
}


def on(target):
    """What is tried with each input."""

    def check(data):
        fuzz_differential.compare(fuzz_differential.program_of(data), target)

    return check


@pytest.mark.parametrize("target", [addcow_ref, RIGHT], ids=["engine", "miniature"])
def test_right_implementation_is_clean(target):
    assert hunt(on(target), RUNS) == (None, None)


def test_right_program_is_clean():
    with StdioTarget(REFERENCE, timeout=30) as target:
        assert hunt(on(target), len(SEEDS) + 20) == (None, None)


@pytest.mark.parametrize("name", FOUND)
def test_miniature_is_found(name):
    found, _ = hunt(on(MINIATURES[name]), RUNS)
    assert found is not None
    assert found.oracle == "differential"
    assert found.rule.startswith("ACW-")


@pytest.mark.parametrize("name", WRONG)
def test_wrong_target_is_found(name):
    found, _ = hunt(on(WRONG[name].target()), RUNS)
    assert found is not None
    assert found.oracle == "differential"


@pytest.mark.parametrize("fault", ["lost-writes", "wrong-reads", "writes-backing"])
def test_wrong_program_is_found(fault):
    with StdioTarget(faulty(fault), timeout=30) as target:
        found, _ = hunt(on(target), len(SEEDS))
    assert found is not None
    assert (found.oracle, found.site) == ("differential", "")
    assert found.rule.startswith("ACW-DYN-")


@pytest.mark.parametrize("fault", ["plain", "read-only", "v10-raw"])
def test_what_a_program_has_not_is_left_out(fault):
    with StdioTarget(faulty(fault), timeout=30) as target:
        assert hunt(on(target), len(SEEDS)) == (None, None)


@pytest.mark.parametrize(
    ("command", "timeout", "token"),
    [
        (faulty("crashes"), 30, "differential:-:write:crashed"),
        (faulty("hangs"), 2, "differential:-:write:timedout"),
        (wrong("sigsegv"), 30, "differential:-:create:crashed"),
        (wrong("garbage"), 30, "differential:-:create:protocolviolation"),
        (wrong("sanitizer"), 30, "differential:-:create:sanitizerreport"),
    ],
)
def test_program_that_gives_no_answer_is_a_finding_with_its_operation(command, timeout, token):
    data = encode(Case(Program(Disk(), (Write(0, 9), Flush()))))
    with StdioTarget(command, timeout=timeout) as target:
        with pytest.raises(Finding) as found:
            on(target)(data)
        assert found.value.token == token
        with pytest.raises(Finding) as again:  # it is started anew, and the campaign goes on
            on(target)(data)
        assert again.value.token == token


def test_target_is_that_of_the_environment(monkeypatch):
    data = encode(Case(Program(Disk(), (Write(0, 9),))))
    monkeypatch.delenv("ADDCOW_FUZZ_TARGET", raising=False)
    fuzz_differential.check_one(data)
    monkeypatch.setenv("ADDCOW_FUZZ_TARGET", "python:tests.conformance.suite_targets:RAISES")
    with pytest.raises(Finding) as found:
        fuzz_differential.check_one(data)
    assert found.value.token.startswith("strict:-:write:keyerror.")
    monkeypatch.setenv("ADDCOW_FUZZ_TARGET", "nothing:at-all")
    with pytest.raises(UsageError):
        fuzz_differential.check_one(data)


def test_finding_is_explained_as_a_program():
    program = Program(Disk(size=9), (Write(0, 9), Flush()))
    assert fuzz_differential.explain(encode(Case(program))) == dump_program(program)
