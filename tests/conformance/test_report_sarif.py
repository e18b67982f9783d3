"""The sarif format, judged by an independent validator too."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

import pytest

from addcow_conformance.report import render
from addcow_spec.model import Span
from addcow_spec.rules import catalogue
from tests.conformance.report_samples import FOREIGN, INVALID, UNREADABLE, VALID
from tests.conformance.strategies import HOSTILE_NAMES

if TYPE_CHECKING:
    from addcow_conformance.checker import Report

# The program itself: the package's own wrapper splits a path with spaces.
_PACKAGE = Path(__file__).parents[1] / "node" / "node_modules" / "@microsoft" / "sarif-multitool-linux"
VALIDATOR = _PACKAGE / "Sarif.Multitool"


def log(*found: Report) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads("".join(render(found, output="sarif", many=True, color=False)))
    return answer


def run(*found: Report) -> dict[str, Any]:
    (only,) = log(*found)["runs"]
    answer: dict[str, Any] = only
    return answer


def judged(document: dict[str, Any], folder: Path) -> list[tuple[str, str]]:
    """What the validator says of a log: pairs of its rule and level."""
    source, answer = folder / "log.sarif", folder / "answer.sarif"
    source.write_text(json.dumps(document), encoding="utf-8")
    subprocess.run(
        [VALIDATOR, "validate", source, "-o", answer, "--quiet"],
        check=True,
        capture_output=True,
        env=os.environ | {"DOTNET_SYSTEM_GLOBALIZATION_INVARIANT": "1"},
    )
    (answered,) = json.loads(answer.read_text(encoding="utf-8-sig"))["runs"]
    assert answered["invocations"][0]["executionSuccessful"] is True
    return [(result["ruleId"], result.get("level", "warning")) for result in answered["results"]]


def hostile() -> list[Report]:
    paths = [*HOSTILE_NAMES, b"../up/./here", b"//two", b"/a//b", b"a:b", b"c%41#?q"]
    far = INVALID.findings[3]._replace(span=Span(2**62, 2**40))
    return [
        replace(
            INVALID,
            filename=path,
            files=(replace(INVALID.files[0], path=path), *INVALID.files[1:]),
            findings=(*INVALID.findings, far),
        )
        for path in paths
    ]


@pytest.mark.system
def test_validator_finds_no_error(tmp_path: Path) -> None:
    found = judged(log(VALID, INVALID, FOREIGN, UNREADABLE, *hostile()), tmp_path)
    assert [rule for rule, level in found if level == "error"] == []
    # A finding without bytes has no region, which the validator remarks: it did read the log to its end.
    assert "SARIF2017" in dict(found)


@pytest.mark.system
def test_validator_finds_an_error_where_there_is_one(tmp_path: Path) -> None:
    broken = log(INVALID)
    broken["runs"][0]["results"][0]["ruleIndex"] = 10_000
    assert "error" in dict(judged(broken, tmp_path)).values()


def test_rules_are_the_static_rules_with_help() -> None:
    rules = run(VALID)["tool"]["driver"]["rules"]
    static = {rule.id: rule for rule in catalogue().values() if rule.check == "static"}
    assert [rule["id"] for rule in rules] == list(static)
    for rule in rules:
        stated = static[rule["id"]]
        assert stated.statement in rule["help"]["text"]
        assert stated.hint in rule["help"]["markdown"]
        assert rule["properties"]["sources"] == [str(source) for source in stated.sources]
    levels = {rule["id"]: rule["defaultConfiguration"] for rule in rules}
    assert levels["ACW-HDR-001"] == {"level": "error"}
    assert levels["ACW-BMP-004"] == {"level": "note"}
    assert levels["ACW-SIZ-005"] == {"enabled": False, "level": "warning"}


def test_result_tells_bytes_and_fingerprint() -> None:
    result = run(INVALID)["results"][1]
    location = result["locations"][0]["physicalLocation"]
    assert (result["ruleId"], result["level"]) == ("ACW-FEA-003", "error")
    assert location["region"] == {"byteOffset": 28, "byteLength": 8}
    assert location["artifactLocation"]["uri"] == "vm/disk.add-cow"
    assert result["partialFingerprints"] == {"addcowFinding/v1": INVALID.fingerprint(INVALID.findings[1])}


def test_region_beyond_what_readers_hold_is_kept_as_a_property() -> None:
    far = INVALID.findings[3]._replace(span=Span(2**31, 1))
    near = INVALID.findings[3]._replace(span=Span(2**31 - 1, 1))
    results = run(replace(INVALID, findings=(far, near)))["results"]
    locations = [result["locations"][0] for result in results]
    assert "region" not in locations[0]["physicalLocation"]
    assert locations[0]["properties"] == {"byteOffset": 2**31, "byteLength": 1}
    assert locations[1]["physicalLocation"]["region"] == {"byteOffset": 2**31 - 1, "byteLength": 1}


@pytest.mark.parametrize("path", HOSTILE_NAMES)
def test_uri_gives_the_path_back(path: bytes) -> None:
    relative, absolute = run(replace(VALID, filename=path), replace(VALID, filename=b"/" + path))["artifacts"]
    assert relative["location"]["uri"].isascii()
    assert unquote_to_bytes(relative["location"]["uri"]) == path
    assert unquote_to_bytes(absolute["location"]["uri"].removeprefix("file://")) == b"/" + path


def test_text_of_an_image_is_neither_placeholder_nor_link() -> None:
    forged = INVALID.findings[0]._replace(actual="{0} [here](http://example.com)")
    text = run(replace(INVALID, findings=(forged,)))["results"][0]["message"]["text"]
    assert "{{0}} \\[here\\](http://example.com)" in text


def test_incomplete_check_is_told_by_the_invocation() -> None:
    (invocation,) = run(VALID, UNREADABLE)["invocations"]
    assert invocation["executionSuccessful"] is False
    (notification,) = invocation["toolExecutionNotifications"]
    assert notification["level"] == "error"
    assert notification["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "gone.add-cow"
    assert run(VALID)["invocations"] == [{"executionSuccessful": True}]
