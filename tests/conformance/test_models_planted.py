"""Faults planted in the engine are found within what `make test` tries: by their rules, and shortly."""

import pytest
from hypothesis import settings

import addcow_ref
from addcow_conformance.models import find
from addcow_conformance.programs import Session, Violation, dump_program, load_program
from tests.conformance.planted import PLANTED
from tests.conformance.test_models import EXAMPLES


@pytest.mark.parametrize("name", PLANTED)
def test_planted_fault_is_found(name, monkeypatch):
    planted = PLANTED[name]
    planted.plant(monkeypatch)
    using = settings(max_examples=EXAMPLES, derandomize=True, database=None)
    program = find(planted.revision, addcow_ref, using, storage=planted.storage)
    assert program is not None
    assert program.rule in planted.rules
    assert len(program.operations) <= planted.longest, dump_program(program)
    assert load_program(dump_program(program)) == program
    if not program.operations:
        return
    monkeypatch.undo()
    with Session(program.disk, addcow_ref) as session:
        session.run(program.operations)


def test_hypothesis_profile_is_ours():
    assert settings.get_current_profile_name() in {"quick", "campaign"}
    assert settings.get_profile("quick").derandomize
    assert settings.get_profile("campaign").database is not None


def test_violation_of_a_target_that_cannot_even_create():
    class Nothing:
        create_image = staticmethod(lambda *_, **__: 1 / 0)
        open_image = staticmethod(addcow_ref.open_image)

    using = settings(max_examples=12, derandomize=True, database=None)
    program = find(PLANTED["zeros set no bit"].revision, Nothing, using)
    assert program is not None
    assert (program.rule, program.operations) == ("ACW-DYN-010", ())
    with pytest.raises(Violation), Session(program.disk, Nothing):
        pass
