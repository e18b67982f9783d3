"""The json format of a run: all that a run holds, as the schema says."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest

from addcow_conformance.results import FORMATS, Outcome, Run, render, schema
from addcow_conformance.results.expect import CONDITIONS
from addcow_spec.model import Revision
from addcow_spec.rules import Profile
from tests.conformance.result_samples import FAILED, GREEN, RED, UNMATCHED, run_of

SCHEMA = json.loads(schema())
DEFINITIONS = SCHEMA["$defs"]


def told(run: Run) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads("".join(render(run, output="json")))
    jsonschema.Draft202012Validator(SCHEMA).validate(answer)
    return answer


def test_run_is_told_in_full() -> None:
    answer = told(RED)
    expected = {
        "target": RED.target,
        "profile": "reviewed",
        "revisions": ["v6", "v10"],
        "seed": 17,
        "started": RED.started,
        "seconds": 13.25,
        "as-expected": False,
        "deviations": 5,
        "choices": {"names that overlap": "refused"},
    }
    assert {key: answer[key] for key in expected} == expected
    assert answer["counts"] == {outcome: RED.counts[outcome] for outcome in Outcome}
    assert answer["implementation"] == {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in RED.about._asdict().items()
    }
    assert answer["unmatched"] == [
        {
            "case": "ACW-DYN-099/*",
            "outcome": "crash",
            "reason": UNMATCHED.reason,
            "issue": None,
            "when": {"platform": "linux-*"},
        }
    ]
    assert told(GREEN)["as-expected"] is True


def test_case_is_told_in_full() -> None:
    (case,) = told(run_of(FAILED))["cases"]
    assert case == {
        "case": FAILED.case,
        "rule": "ACW-DYN-003",
        "revision": "v10",
        "title": FAILED.title,
        "outcome": "fail",
        "deviates": True,
        "seconds": 1.5,
        "broken": "ACW-DYN-003",
        "detail": FAILED.detail,
        "difference": {"offset": 65536, "expected": b"BBBBBBBBBBBB".hex(), "seen": b"BBBB\0\0\0\0\0".hex()},
        "stderr": list(FAILED.said),
        "script": FAILED.script,
        "program": FAILED.program,
        "known": None,
    }


def test_known_failure_names_its_expectation() -> None:
    known, surprise = told(RED)["cases"][5:7]
    assert known["known"] == surprise["known"]
    assert known["known"]["issue"] == "https://example.org/7"
    assert (known["deviates"], surprise["deviates"]) == (False, True)


def test_schema_is_sound_and_names_every_value_there_is() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    members = SCHEMA["properties"]
    assert members["profile"]["enum"] == list(Profile)
    assert members["revisions"]["items"]["enum"] == list(Revision)
    assert DEFINITIONS["outcome"]["enum"] == members["counts"]["required"] == list(Outcome)
    assert DEFINITIONS["expectation"]["properties"]["when"]["propertyNames"]["enum"] == list(CONDITIONS)
    assert "json" in FORMATS


@pytest.mark.parametrize(
    "change",
    [
        {"extra": 1},
        {"target": "two\nlines"},
        {"profile": "lenient"},
        {"counts": {"pass": 1}},
        {"cases": [{}]},
        {"deviations": -1},
        {"unmatched": [{"case": "a"}]},
    ],
)
def test_schema_refuses_what_is_not_an_answer(change: dict[str, Any]) -> None:
    assert not jsonschema.Draft202012Validator(SCHEMA).is_valid(told(RED) | change)
