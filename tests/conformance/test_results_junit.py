"""The junit format of a run, as an independent reader and CI services take it."""

from __future__ import annotations

from dataclasses import replace
from io import StringIO
from typing import TYPE_CHECKING, Any

import junitparser

from addcow_conformance.results import Run, render
from addcow_spec.rules import catalogue
from tests.conformance.result_samples import FAILED, GREEN, KNOWN, RED, UNMATCHED, UNSUPPORTED, run_of

if TYPE_CHECKING:
    from collections.abc import Iterator


def suite(run: Run) -> Any:
    text = "".join(render(run, output="junit")).partition("?>")[2]
    (only,) = junitparser.JUnitXml.fromfile(StringIO(text))
    return only


def verdicts(run: Run) -> Iterator[tuple[str, str, str]]:
    for case in suite(run):
        kinds = [(type(found).__name__, found.type) for found in case.result] or [("Passed", "")]
        assert len(kinds) == 1
        yield (case.name, *kinds[0])


def test_outcomes_become_what_a_service_counts() -> None:
    assert [(kind, named) for _, kind, named in verdicts(RED)] == [
        ("Passed", ""),
        ("Failure", "ACW-DYN-003"),
        ("Error", "crash"),
        ("Error", "timeout"),
        ("Error", "error"),
        ("Skipped", "fail"),
        ("Failure", "unexpected pass"),
        ("Skipped", "skip"),
        ("Skipped", "unsupported"),
        ("Failure", "unmatched"),
    ]
    found = suite(RED)
    assert (found.tests, found.failures, found.errors, found.skipped) == (10, 3, 3, 3)
    assert (suite(GREEN).failures, suite(GREEN).errors) == (0, 0)


def test_names_are_ids() -> None:
    names = [name for name, _, _ in verdicts(RED)]
    assert names == [*(result.case for result in RED.results), UNMATCHED.case]
    assert next(iter(suite(run_of(FAILED)))).classname == "v10.ACW-DYN-003"


def test_reasons_of_what_is_skipped() -> None:
    known, skipped = (
        case.result[0] for case in suite(GREEN) if case.result and case.result[0].type != "skip"
    )
    assert known.message == "known: flushes one file"
    assert skipped.message == UNSUPPORTED.detail


def test_known_failure_that_was_not_tried_says_why_it_was_not() -> None:
    case, _ = suite(run_of(replace(UNSUPPORTED, known=KNOWN.known)))
    assert case.result[0].message == UNSUPPORTED.detail


def test_properties_name_rule_sources_and_target() -> None:
    found = suite(run_of(FAILED, choices={"overlap": "refused"}))
    (case,) = found
    sources = [("source", str(source)) for source in catalogue()["ACW-DYN-003"].sources]
    properties = case.child(junitparser.Properties)
    assert [(p.name, p.value) for p in properties] == [("rule", "ACW-DYN-003"), *sources]
    facts = {p.name: p.value for p in found.properties()}
    assert (facts["target"], facts["implementation"], facts["overlap"]) == (
        RED.target,
        "my-engine 1.2",
        "refused",
    )
    assert found.timestamp == RED.started


def test_failure_has_bytes_script_and_last_words() -> None:
    (case,) = suite(run_of(FAILED))
    assert catalogue()["ACW-DYN-003"].statement in case.result[0].text
    assert "42 42 42 42 00 00 00 00" in case.result[0].text
    assert case.system_out == FAILED.script.rstrip("\n")
    assert case.system_err.splitlines() == list(FAILED.said)
