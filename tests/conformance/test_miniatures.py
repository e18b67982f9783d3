"""No miniature is secretly right, and the implementation that they are made from is.

What tells a miniature from it is computed: the probes of the rule that it breaks are run on both. A probe is
a vector, a program, a loss of power, or a thing to try by hand.
"""

from functools import cache

import pytest
from hypothesis import settings

from addcow_conformance.checker import Verdict
from addcow_conformance.models import explain, find
from addcow_conformance.powerloss import explore
from addcow_conformance.results import Outcome
from addcow_conformance.suite import RegularFile, all_cases
from addcow_conformance.targets import load_target
from addcow_spec.model import QCOW2_MAGIC, Revision
from addcow_spec.rules import Level, Profile, rule
from tests.conformance.miniatures import MINIATURES, RIGHT
from tests.conformance.miniatures._document import cells_of, lines, row_of, told_by
from tests.conformance.miniatures._probes import POWER_LOSSES, PROGRAMS, SINGLE, VECTORS, probes, try_vector
from tests.conformance.miniatures._suite import attempt, deviations, impatient

TARGET = "python:tests.conformance.miniatures:"
CASES = {case.id: case for case in all_cases()}
LINES = lines()
# Those whose line of the document is found anew: a run of the whole suite each.
SAMPLED = ("ShortLastUnitHasNoBit",)

# The checker looks at the working directory to tell why a file is missing; an opener does not.
SAME = {"ACW-NAM-010": {"ACW-ENV-001", "ACW-ENV-002"}}


@cache
def right(probe):
    return probe.run(RIGHT)


def differences(implementation):
    """The probes of its rule that tell it from the right one, with what both say."""
    for probe in probes()[implementation.rule]:
        ours, theirs = right(probe), probe.run(implementation)
        if ours != theirs:
            yield probe.name, ours, theirs


def test_there_are_miniatures():
    assert len(MINIATURES) >= 40
    for name, miniature in MINIATURES.items():
        assert miniature.name == name
        assert miniature.who.startswith("Whoever ")
        assert rule(miniature.rule)
        assert load_target(TARGET + name) is miniature


@pytest.mark.parametrize("name", MINIATURES)
def test_miniature_is_told_from_the_right_one(name):
    assert next(differences(MINIATURES[name]), None)


# --- what the suite makes of them

# The suite sees it, and two GiB of memory are gone.
COSTLY = {"WholeBitmapIsInMemory"}


def test_document_is_about_these():
    said = [cells_of(line)[:3] for line in LINES.values()]
    assert said == [[name, miniature.who, miniature.rule] for name, miniature in MINIATURES.items()]


# A file may be open where the time of one who never ends is up.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("name", [name for name in MINIATURES if name not in COSTLY])
def test_case_of_its_rule_tells(name):
    case = CASES[cells_of(LINES[name])[3]]
    assert case.rule == MINIATURES[name].rule
    with impatient(2.0):
        # An error would be the suite's own, and says nothing of a miniature.
        assert attempt(MINIATURES[name], case).outcome in {Outcome.FAIL, Outcome.TIMEOUT}


@pytest.mark.parametrize("name", SAMPLED)
def test_document_has_what_is_found(name):
    assert str(row_of(name)) == LINES[name]
    assert told_by(name) == cells_of(LINES[name])[3]


# --- the right one


def has_qcow2(vector):
    """Whether there may be a qcow2 layer, which the right implementation refuses."""
    pieces = (piece for entry in vector.files if isinstance(entry, RegularFile) for piece in entry.data)
    return any(offset == 0 and data.startswith(QCOW2_MAGIC) for offset, data in pieces)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector.id)
def test_right_one_agrees_with_the_label(vector):
    label = vector.labels[Profile.REVIEWED]
    broken = {found for found in label.findings if rule(found).level[Profile.REVIEWED] is Level.MUST}
    word = try_vector(vector, RIGHT)
    if len(word) == 64:  # a digest
        assert label.result is not Verdict.INVALID
    else:
        refusals = broken.union(*(SAME.get(found, set()) for found in broken)) or {"ACW-NAM-011"}
        assert word in refusals | ({"ACW-ENV-002"} if has_qcow2(vector) else set())


@pytest.mark.parametrize("about", sorted(PROGRAMS.keys() | POWER_LOSSES.keys()))
def test_right_one_breaks_no_rule(about):
    tried = [probe for probe in probes()[about] if not probe.name.startswith("vector ")]
    assert {right(probe) for probe in tried} == {""}


@pytest.mark.parametrize(
    ("about", "words"),
    [
        ("ACW-CHN-004", ["base", "ACW-CHN-004"]),
        ("ACW-DYN-008", ["little", "again"]),
        ("ACW-DYN-010", ["disk.raw", "ACW-DYN-010", "ACW-ENV-001 0 2", "ACW-ENV-002 0 2"]),
        ("ACW-DYN-014", ["opened", *["ACW-DYN-014"] * 3] * 2),
    ],
)
def test_right_one_does_as_it_must(about, words):
    found = [right(probe) for probe in SINGLE[about]]
    assert found[: len(words)] == words
    assert set(found[len(words) :]) <= {""}


@pytest.mark.parametrize("revision", Revision, ids=str)
def test_right_one_is_what_the_oracle_says(revision):
    program = find(revision, RIGHT, settings(max_examples=40, derandomize=True, database=None))
    assert program is None, explain(program)


def test_right_one_passes_the_suite():
    assert deviations(RIGHT) == []


def test_right_one_lives_with_a_loss_of_power():
    summary = explore(target=TARGET + "RIGHT", operations=1)
    assert summary.tally.states > 1000
    assert not summary.found
