"""The json format: QEMU's members, the schema, names that are not text."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import jsonschema
import pytest

from addcow_conformance.checker import FileFormat, Report, Verdict
from addcow_conformance.report import render, schema
from addcow_spec.model import Revision, Role
from addcow_spec.rules import Profile, Severity, catalogue
from tests.conformance.report_samples import FOREIGN, INVALID, REPAIRED, UNREADABLE, VALID

SCHEMA = json.loads(schema())
DEFINITIONS = SCHEMA["$defs"]


def check(report: Report) -> dict[str, Any]:
    text = "".join(render([report], output="json", many=False, color=False))
    jsonschema.Draft202012Validator(SCHEMA).validate(json.loads(text))
    answer: dict[str, Any] = json.loads(text)
    return answer


def test_members_of_image_check_of_a_valid_image() -> None:
    answer = check(VALID)
    expected = {
        "filename": "vm/disk.add-cow",
        "format": "add-cow",
        "check-errors": 0,
        "corruptions": 0,
        "leaks": 0,
        "corruptions-fixed": 0,
        "leaks-fixed": 0,
        "image-end-offset": 24576,
        "total-clusters": 163_840,
        "allocated-clusters": 1234,
    }
    assert {key: answer[key] for key in expected} == expected


def test_errors_are_corruptions_and_unused_bytes_are_leaks() -> None:
    answer = check(INVALID)
    assert (answer["corruptions"], answer["leaks"], answer["check-errors"]) == (5, 1, 0)
    assert answer["counts"] == {"error": 5, "warning": 2, "note": 1}
    assert answer["findings-omitted"] == 3
    assert answer["rule-counts"]["ACW-BMP-003"] == 1


def test_incomplete_check_is_a_check_error_without_counts_of_clusters() -> None:
    answer = check(UNREADABLE)
    assert (answer["check-errors"], answer["verdict"], answer["format"]) == (1, "unknown", "unavailable")
    assert not {"image-end-offset", "total-clusters", "allocated-clusters"} & answer.keys()


def test_foreign_file_is_told_by_its_format() -> None:
    answer = check(FOREIGN)
    assert (answer["format"], answer["verdict"]) == ("other", "not-add-cow")


@pytest.mark.parametrize(("backup", "fixed"), [(b"b", 1), (None, 0)])
def test_only_repairs_that_were_made_are_fixed(backup: bytes | None, fixed: int) -> None:
    answer = check(replace(REPAIRED, backup=backup))
    assert (answer["corruptions-fixed"], answer["leaks-fixed"]) == (fixed, fixed)
    assert answer["repaired"] is bool(fixed)
    assert [repair["rule"] for repair in answer["repairs"]] == ["ACW-BMP-002", "ACW-BMP-003"]


def test_finding_tells_file_bytes_rule_and_source() -> None:
    finding = check(INVALID)["findings"][1]
    rule = catalogue()["ACW-FEA-003"]
    assert (finding["file"], finding["offset"], finding["length"]) == (0, 28, 8)
    assert finding["fingerprint"] == INVALID.fingerprint(INVALID.findings[1])
    assert (finding["statement"], finding["hint"], finding["anchor"]) == (
        rule.statement,
        rule.hint,
        rule.anchor,
    )
    assert [source["document"] for source in finding["sources"]] == [s.document for s in rule.sources]
    elsewhere = check(INVALID)["findings"][4]
    assert (elsewhere["file"], elsewhere["path"], elsewhere["offset"]) == (3, "/srv/images/root.raw", None)


def test_one_image_is_an_object_and_many_an_array_however_few() -> None:
    for found in ((), (VALID,), (VALID, UNREADABLE)):
        answers = json.loads("".join(render(found, output="json", many=True, color=False)))
        assert [answer["verdict"] for answer in answers] == [report.verdict for report in found]


def test_schema_is_sound_and_names_every_value_there_is() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    members = DEFINITIONS["check"]["properties"]
    assert members["verdict"]["enum"] == list(Verdict)
    assert members["profile"]["enum"] == list(Profile)
    assert members["revision"]["enum"] == [*Revision, None]
    assert DEFINITIONS["level"]["enum"] == list(Severity)
    assert DEFINITIONS["format"]["enum"] == list(FileFormat)
    assert DEFINITIONS["file"]["properties"]["role"]["enum"] == [*Role, None]
    stages = {rule.stage for rule in catalogue().values() if rule.check == "static"}
    assert set(DEFINITIONS["finding"]["properties"]["stage"]["enum"]) == stages


@pytest.mark.parametrize(
    "change",
    [
        {"verdict": "fine"},
        {"corruptions": -1},
        {"extra": 1},
        {"problem": "two\nlines"},
        {"filename-hex": "0"},
        {"counts": {"error": 0}},
    ],
)
def test_schema_refuses_what_is_not_an_answer(change: dict[str, Any]) -> None:
    assert not jsonschema.Draft202012Validator(SCHEMA).is_valid(check(VALID) | change)
