"""What holds for every format: safe text, documents that parse, streaming, loading on demand."""

from __future__ import annotations

import json
import subprocess
import sys
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn
from xml.etree import ElementTree as ET

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from addcow_conformance.checker import Report
from addcow_conformance.report import FORMATS, render, schema
from addcow_spec.errors import UsageError
from addcow_spec.rules import Profile
from tests.conformance.report_samples import FOREIGN, INVALID, UNREADABLE, VALID
from tests.conformance.strategies import HOSTILE_NAMES, reports

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

OURS = tuple(name for name in FORMATS if name != "html")
TEXT = ("human", "markdown", "github")
STREAMED = ("human", "json", "jsonl", "github", "markdown")

VALIDATOR = jsonschema.Draft202012Validator(json.loads(schema()))


def document(found: Sequence[Report], output: str, *, many: bool = True, color: bool = False) -> str:
    return "".join(render(found, output=output, many=many, color=color))


def no_float(text: str) -> NoReturn:
    raise AssertionError(f"a float: {text}")


STRICT: dict[str, Any] = {"parse_float": no_float, "parse_constant": no_float}


def unsafe(text: str) -> set[str]:
    """Characters that could steer a terminal, or deceive the eye."""
    return {c for c in text if c != "\n" and unicodedata.category(c) in {"Cc", "Cf", "Cs", "Zl", "Zp"}}


def accept_json(text: str, found: Sequence[Report]) -> None:
    answer = json.loads(text, **STRICT)
    VALIDATOR.validate(answer)
    assert [bytes.fromhex(check["filename-hex"]) for check in answer] == [r.filename for r in found]
    assert [[f["rule"] for f in check["findings"]] for check in answer] == [
        [f.rule for f in r.findings] for r in found
    ]


def accept_jsonl(text: str, found: Sequence[Report]) -> None:
    lines = text.splitlines()
    assert len(lines) == len(found)
    for line in lines:
        VALIDATOR.validate(json.loads(line, **STRICT))


def accept_sarif(text: str, found: Sequence[Report]) -> None:
    (run,) = json.loads(text, **STRICT)["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert [(rules[r["ruleIndex"]]["id"], r["level"]) for r in run["results"]] == [
        (finding.rule, report.severity(finding)) for report in found for finding in report.findings
    ]
    assert run["invocations"][0]["executionSuccessful"] is not any(report.problem for report in found)


def accept_junit(text: str, found: Sequence[Report]) -> None:
    suites = ET.fromstring(text).findall("testsuite")  # noqa: S314 - our own output
    assert len(suites) == len(found)
    for suite, report in zip(suites, found, strict=True):
        named = [p.get("value") for p in suite.findall("testcase/properties/property[@name='rule']")]
        assert named == [finding.rule for finding in report.findings]
        assert (suite.find("testcase/error") is not None) is bool(report.problem)
        assert suite.findall("testcase")


def accept_text(text: str, found: Sequence[Report]) -> None:
    assert not unsafe(text)
    assert all(finding.rule in text for report in found for finding in report.findings[:1])


ACCEPT = {
    "json": accept_json,
    "jsonl": accept_jsonl,
    "sarif": accept_sarif,
    "junit": accept_junit,
    **dict.fromkeys(TEXT, accept_text),
}


# Drawing reports takes longer than all formats together.
@settings(max_examples=25, deadline=None)
@given(found=st.lists(reports(), max_size=2))
def test_any_report_makes_sound_documents(found: list[Report]) -> None:
    for output in OURS:
        ACCEPT[output](document(found, output), found)


@pytest.mark.parametrize("output", OURS)
@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_hostile_name_makes_a_sound_document(output: str, name: bytes) -> None:
    found = [Report(name, Profile.REVIEWED, problem=name.decode("utf-8", "surrogateescape"))]
    ACCEPT[output](document(found, output), found)


@settings(max_examples=25, deadline=None)
@given(found=st.lists(reports(), max_size=2))
def test_no_line_of_a_log_starts_a_command_of_an_image(found: list[Report]) -> None:
    ours = {"human": (), "github": ("::error file=", "::warning file=", "::notice file=")}
    for output, starts in ours.items():
        lines = [line.lstrip() for line in document(found, output).splitlines()]
        assert [line for line in lines if line.startswith("::") and not line.startswith(starts)] == []


@pytest.mark.parametrize("output", STREAMED)
def test_each_report_is_written_before_the_next_is_asked_for(output: str) -> None:
    asked = 0

    def source() -> Iterator[Report]:
        nonlocal asked
        for report in (INVALID, FOREIGN, UNREADABLE):
            asked += 1
            yield report

    text = ""
    for piece in render(source(), output=output, many=True, color=False):
        text += piece
        if "disk.add-cow" in text:
            break
    assert asked == 1


def test_human_format_loads_nothing_heavy() -> None:
    program = """
import sys
sys.path.insert(0, sys.argv[1])
from tests.conformance.report_samples import VALID
from addcow_conformance.report import render
list(render([VALID], output="human", many=False, color=False))
print(*sys.modules)
"""
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", program, root], capture_output=True, text=True, check=True)
    heavy = {"jinja2", "junitparser", "importlib.metadata", "urllib.parse", "addcow_conformance.report.json"}
    assert not heavy & set(done.stdout.split())


def test_missing_package_is_told_before_any_image_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "junitparser", None)
    monkeypatch.delitem(sys.modules, "addcow_conformance.report.junit", raising=False)

    def source() -> Iterator[Report]:
        pytest.fail("a report was asked for")
        yield VALID

    with pytest.raises(UsageError, match=r"add-cow-toolkit\[report\]") as caught:
        render(source(), output="junit", many=False, color=False)
    assert "\n" not in str(caught.value)


def test_unknown_format_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        render([], output="yaml", many=False, color=False)
