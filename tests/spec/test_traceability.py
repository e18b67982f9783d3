"""From each rule to its prose, its check and its vectors, and back."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

from addcow_conformance.checker import CHECKED_RULES, Verdict
from addcow_conformance.suite import load_vectors
from addcow_spec.rules import Level, Profile, Severity, catalogue

ROOT = Path(__file__).parents[2]
RULES = catalogue()
ALL_VECTORS = load_vectors(ROOT / "corpora/vectors")
STATIC = [rule for rule in RULES.values() if rule.check == "static"]
MUST_ACCEPT = ["ACW-SIZ-001", "ACW-SIZ-002", "ACW-SIZ-003", "ACW-QC2-015", "ACW-QC2-016"]

# No add-cow header states that a backing file is add-cow or qcow2, so what lies behind one has to be probed.
PROBE = "ACW-CHN-003"
BEHIND_A_PROBE = {"ACW-CHN-002", "ACW-CHN-004"} | {rule.id for rule in STATIC if "-QC2-" in rule.id}


def each(rules):
    """Run a test once for each rule, under the rule's id."""
    return pytest.mark.parametrize("rule", rules, ids=lambda rule: rule.id)


@cache
def vectors(rule_id):
    return [vector for vector in ALL_VECTORS if vector.rule == rule_id]


@cache
def anchors(path):
    return set(re.findall(r'<a id="([^"]+)">', (ROOT / path).read_text(encoding="utf-8")))


def weighty(vector, profile):
    """The findings of a vector but for notes that the rule itself is not, and the probe that it needs."""
    findings = vector.labels[profile].findings
    beside = {PROBE} if vector.rule in BEHIND_A_PROBE else set()
    notes = {found for found in findings if RULES[found].level[profile].severity is Severity.NOTE}
    return [found for found in findings if found not in (notes | beside) - {vector.rule}]


@each(RULES.values())
def test_every_rule_has_its_place_in_the_prose(rule):
    path, _, anchor = rule.anchor.partition("#")
    assert anchor in anchors(path)


def test_every_anchor_of_a_rule_is_of_the_rule_s_chapter():
    chapters = {path.stem: anchors(path.relative_to(ROOT)) for path in (ROOT / "spec").glob("0*.md")}
    found = {
        (chapter, anchor)
        for chapter, names in chapters.items()
        for anchor in names
        if anchor.startswith("acw-")
    }
    assert found == {(rule.chapter, rule.id.lower()) for rule in RULES.values()}


def test_the_checker_has_the_static_rules_and_no_other():
    assert {rule.id for rule in STATIC} == CHECKED_RULES


@each(STATIC)
def test_every_static_rule_has_a_vector_that_breaks_it_alone(rule):
    assert [
        vector.id
        for vector in vectors(rule.id)
        for profile in Profile
        if rule.level[profile] is not Level.ABSENT and weighty(vector, profile) == [rule.id]
    ]


@each(STATIC)
def test_every_static_rule_has_a_vector_that_keeps_it(rule):
    allowed = {Verdict.VALID, Verdict.ACCEPTABLE} if rule.id in BEHIND_A_PROBE else {Verdict.VALID}
    assert [
        vector.id
        for vector in vectors(rule.id)
        if weighty(vector, Profile.REVIEWED) == weighty(vector, Profile.AS_WRITTEN) == []
        and vector.labels[Profile.REVIEWED].result in allowed
    ]


@pytest.mark.parametrize("rule_id", MUST_ACCEPT)
def test_what_must_be_accepted_has_vectors_that_say_so(rule_id):
    accepted = [vector for vector in vectors(rule_id) if weighty(vector, Profile.REVIEWED) in ([], [PROBE])]
    assert accepted
    assert all("must-accept" in vector.flags for vector in accepted)


@pytest.mark.parametrize("revision", ["v4", "v6", "v10"])
def test_every_revision_of_a_rule_has_a_vector_that_breaks_it(revision):
    # The length of a chain has nothing to do with the revision.
    exempt = {"ACW-CHN-004": {"v4", "v6"}}
    missing = {
        rule.id
        for rule in STATIC
        if revision in rule.revisions
        and revision not in exempt.get(rule.id, ())
        and not any(
            vector.revision == revision and rule.id in label.findings
            for vector in ALL_VECTORS
            for label in vector.labels.values()
        )
    }
    assert missing == set()


def test_every_rule_that_a_vector_names_exists():
    assert {vector.rule for vector in ALL_VECTORS} <= RULES.keys()


def test_no_vector_breaks_a_dynamic_rule():
    static = {rule.id for rule in STATIC}
    found = {found for vector in ALL_VECTORS for label in vector.labels.values() for found in label.findings}
    assert found == static
