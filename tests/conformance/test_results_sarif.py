"""The sarif format of a run, judged by an independent validator too."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from addcow_conformance.results import Run, render
from addcow_spec.rules import catalogue
from tests.conformance.result_samples import (
    CRASHED,
    FAILED,
    GREEN,
    HOSTILE_TEXTS,
    RED,
    SURPRISE,
    hostile_run,
    run_of,
)
from tests.conformance.test_report_sarif import judged

if TYPE_CHECKING:
    from pathlib import Path


def log(run: Run) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads("".join(render(run, output="sarif")))
    return answer


def results(run: Run) -> list[dict[str, Any]]:
    (only,) = log(run)["runs"]
    found: list[dict[str, Any]] = only["results"]
    return found


@pytest.mark.system
def test_validator_finds_no_error(tmp_path: Path) -> None:
    document = log(RED)
    document["runs"] += [log(hostile_run(text))["runs"][0] for text in HOSTILE_TEXTS]
    document["runs"].append(log(GREEN)["runs"][0])
    verdicts = judged(document, tmp_path)
    assert [rule for rule, level in verdicts if level == "error"] == []
    # A result without a region is remarked: the validator did read the logs to their end.
    assert "SARIF2017" in dict(verdicts)


def test_rules_are_those_of_the_catalogue() -> None:
    (only,) = log(GREEN)["runs"]
    assert [rule["id"] for rule in only["tool"]["driver"]["rules"]] == list(catalogue())
    assert only["results"] == []
    assert only["invocations"] == [{"executionSuccessful": True}]


def test_each_deviation_is_a_result() -> None:
    assert [
        result["locations"][0]["logicalLocations"][0]["fullyQualifiedName"] for result in results(RED)
    ] == [result.case for result in RED.deviations]


def test_result_tells_rule_case_and_detail() -> None:
    (result,) = results(run_of(FAILED))
    assert (result["ruleId"], result["level"]) == ("ACW-DYN-003", "error")
    assert list(catalogue())[result["ruleIndex"]] == "ACW-DYN-003"
    assert FAILED.detail in result["message"]["text"]
    (location,) = result["locations"]
    assert location["physicalLocation"]["artifactLocation"]["uri"] == FAILED.case
    assert location["logicalLocations"][0]["name"] == "write-inside-a-unit"


def test_rule_that_no_catalogue_has_is_that_of_the_case() -> None:
    (result,) = results(run_of(replace(FAILED, broken="<rule>")))
    assert result["ruleId"] == "ACW-DYN-003"
    (unknown,) = results(run_of(replace(FAILED, case="ACW-ZZZ-999/v10/x", broken="")))
    assert unknown["ruleId"] == "ACW-ZZZ-999"
    assert "ruleIndex" not in unknown


def test_fingerprint_is_that_of_the_case_whatever_came_of_it() -> None:
    def fingerprints(run: Run) -> list[str]:
        return [result["partialFingerprints"]["addcowCase/v1"] for result in results(run)]

    (first,) = fingerprints(run_of(FAILED))
    again, other = fingerprints(run_of(replace(CRASHED, case=FAILED.case, detail="other"), CRASHED))
    assert first == again != other


def test_unexpected_pass_and_unmatched_expectation_are_told() -> None:
    (result,) = results(run_of(SURPRISE))
    assert result["ruleId"] == "ACW-DYN-009"
    (invocation,) = log(RED)["runs"][0]["invocations"]
    (notification,) = invocation["toolConfigurationNotifications"]
    assert "ACW-DYN-099/*" in notification["message"]["text"]


def test_text_of_a_target_is_neither_placeholder_nor_link() -> None:
    (result,) = results(run_of(replace(FAILED, detail="{0} [here](http://example.com)")))
    assert "{{0}} \\[here\\](http://example.com)" in result["message"]["text"]
