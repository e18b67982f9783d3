"""What was once wrong stays right: each program of `corpora/regressions` runs, and does what it says."""

import pytest

import addcow_ref
from addcow_conformance.models import keep
from addcow_conformance.powerloss import rerun
from addcow_conformance.programs import (
    Session,
    StorageKind,
    Violation,
    load_program,
)
from tests.conformance import variants
from tests.conformance.planted import PLANTED
from tests.repo.tree import ROOT

PROGRAMS = {path.name: path for path in (ROOT / "corpora/regressions/programs").iterdir()}

# Programs whose fault can be planted again.
PLANTED_AGAIN = {"acw-dyn-004-8aaf3271.json": "stream that stops at once is never refused"}
# Those that end in a loss of power, and an engine that has the fault.
VARIANTS = {"acw-dyn-005-12f9f980.json": variants.ForgetsOldBits}


def load(name):
    return load_program(PROGRAMS[name].read_bytes())


def outcomes(program, directory):
    place = directory if program.storage is StorageKind.FILES else None
    with Session(program.disk, addcow_ref, directory=place) as session:
        return [session.step(operation).outcome for operation in program.operations]


def test_there_are_programs():
    assert PROGRAMS
    assert PLANTED_AGAIN.keys() | VARIANTS.keys() <= PROGRAMS.keys()


@pytest.mark.parametrize("name", PROGRAMS)
def test_name_and_text_are_those_of_a_kept_program(name, tmp_path):
    program = load(name)
    assert program.rule
    assert program.note
    kept = keep(program, tmp_path)
    assert kept.name == name
    assert kept.read_bytes() == PROGRAMS[name].read_bytes()


@pytest.mark.parametrize("name", PROGRAMS)
def test_program_runs(name, tmp_path):
    program = load(name)
    if program.power_loss:
        assert rerun(program, addcow_ref) is None
        return
    found = outcomes(program, tmp_path)
    assert len(found) == len(program.operations)
    assert "skipped" not in found or "skipped" in program.note


@pytest.mark.parametrize(("name", "fault"), PLANTED_AGAIN.items())
def test_program_finds_its_fault(name, fault, tmp_path, monkeypatch):
    program = load(name)
    PLANTED[fault].plant(monkeypatch)
    with pytest.raises(Violation) as caught:
        outcomes(program, tmp_path)
    assert caught.value.rule == program.rule


@pytest.mark.parametrize(("name", "variant"), VARIANTS.items())
def test_loss_of_power_finds_its_fault(name, variant):
    program = load(name)
    found = rerun(program, variant)
    assert (found.rule, found.program.power_loss) == (program.rule, program.power_loss)
