"""The junit format: what a CI service counts."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from addcow_conformance.checker import Report
from addcow_conformance.report import render
from addcow_spec.rules import Profile
from addcow_spec.text import printable
from tests.conformance.report_samples import FOREIGN, INVALID, UNREADABLE, VALID
from tests.conformance.strategies import HOSTILE_NAMES


def suites(*found: Report) -> list[ET.Element]:
    text = "".join(render(found, output="junit", many=True, color=False))
    return ET.fromstring(text).findall("testsuite")  # noqa: S314 - our own output


def counts(suite: ET.Element) -> tuple[str | None, ...]:
    return tuple(suite.get(key) for key in ("tests", "failures", "errors"))


def test_suites_count_errors_of_images_and_of_checks() -> None:
    found = suites(VALID, INVALID, UNREADABLE, FOREIGN)
    assert [counts(suite) for suite in found] == [
        ("1", "0", "0"),
        ("5", "3", "0"),
        ("1", "0", "1"),
        ("1", "1", "0"),
    ]


def test_image_without_findings_passes_one_case() -> None:
    (suite,) = suites(VALID)
    (case,) = suite.findall("testcase")
    assert case.get("name") == "add-cow image"
    assert len(case) == 0


def test_failure_names_rule_and_source() -> None:
    (suite,) = suites(INVALID)
    case = suite.findall("testcase")[1]
    properties = {(p.get("name"), p.get("value")) for p in case.findall("properties/property")}
    assert ("rule", "ACW-FEA-003") in properties
    assert {name for name, _ in properties} == {"rule", "source"}
    failure = case.find("failure")
    assert failure is not None
    assert failure.get("type") == "ACW-FEA-003"
    assert INVALID.fingerprint(INVALID.findings[1]) in (failure.text or "")


def test_warning_passes_and_is_told() -> None:
    (suite,) = suites(INVALID)
    case = suite.findall("testcase")[3]
    assert case.find("failure") is None
    assert (case.findtext("system-out") or "").startswith("warning: ")


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_name_is_told_as_it_may_be_shown(name: bytes) -> None:
    (suite,) = suites(Report(name, Profile.REVIEWED))
    assert suite.get("name") == printable(name)
