"""What holds for every format of a run: safe text, documents that parse, loading on demand."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from xml.etree import ElementTree as ET

import jsonschema
import pytest
from hypothesis import given, settings

from addcow_conformance.results import FORMATS, Outcome, Run, render, schema
from addcow_spec.errors import UsageError
from tests.conformance.result_samples import GREEN, HOSTILE_TEXTS, RED, hostile_run, runs
from tests.conformance.test_report_formats import STRICT, unsafe

VALIDATOR = jsonschema.Draft202012Validator(json.loads(schema()))


def accept_json(text: str, run: Run) -> None:
    answer = json.loads(text, parse_constant=STRICT["parse_constant"])
    VALIDATOR.validate(answer)
    assert [case["case"] for case in answer["cases"]] == [result.case for result in run.results]
    assert not unsafe("".join(case["title"] for case in answer["cases"]))


def accept_sarif(text: str, run: Run) -> None:
    (log,) = json.loads(text, **STRICT)["runs"]
    assert len(log["results"]) == len(run.deviations)
    rules = log["tool"]["driver"]["rules"]
    for result in log["results"]:
        assert not unsafe(result["message"]["text"])
        assert "ruleIndex" not in result or rules[result["ruleIndex"]]["id"] == result["ruleId"]


def accept_junit(text: str, run: Run) -> None:
    (suite,) = ET.fromstring(text).findall("testsuite")  # noqa: S314 - our own output
    assert len(suite.findall("testcase")) == len(run.results) + len(run.unmatched) + (not run.tried)
    red = int(suite.get("failures", "")) + int(suite.get("errors", ""))
    assert red == len(run.deviations) + len(run.unmatched) + (not run.tried)


def accept_badge(text: str, run: Run) -> None:
    assert json.loads(text).keys() == {"schemaVersion", "label", "message", "color"}
    assert run.revisions[0] in text


def accept_text(text: str, run: Run) -> None:
    # A tab means something to a shell, and harms nobody.
    assert not unsafe(text) - {"\t"}
    assert all(result.case in text for result in run.deviations[:10])


def accept_html(text: str, run: Run) -> None:
    accept_text(text.replace("\u2068", "?"), run)
    assert text.count("<details ") == text.count("</details>") == len(run.results)


ACCEPT = {
    "human": accept_text,
    "json": accept_json,
    "junit": accept_junit,
    "sarif": accept_sarif,
    "html": accept_html,
    "markdown": accept_text,
    "github": accept_text,
    "badge": accept_badge,
}


def document(run: Run, output: str) -> str:
    text = "".join(render(run, output=output))
    text.encode()
    return text


# Drawing runs takes longer than all formats together.
@settings(max_examples=25, deadline=None)
@given(run=runs())
def test_any_run_makes_sound_documents(run: Run) -> None:
    for output in FORMATS:
        ACCEPT[output](document(run, output), run)


@pytest.mark.parametrize("output", FORMATS)
@pytest.mark.parametrize("text", HOSTILE_TEXTS)
def test_hostile_text_makes_a_sound_document(output: str, text: str) -> None:
    run = hostile_run(text)
    ACCEPT[output](document(run, output), run)


@settings(max_examples=25, deadline=None)
@given(run=runs())
def test_no_line_of_a_log_starts_a_command_of_a_target(run: Run) -> None:
    for output, starts in {"human": (), "github": ("::error title=",)}.items():
        lines = [line.lstrip() for line in document(run, output).splitlines()]
        assert [line for line in lines if line.startswith("::") and not line.startswith(starts)] == []


def test_coloured_text_has_the_same_words() -> None:
    coloured = "".join(render(RED, output="human", color=True))
    assert coloured.count("\x1b[") > 10
    assert re.sub(r"\x1b\[\d+m", "", coloured).split() == document(RED, "human").split()


def test_human_format_loads_nothing_heavy() -> None:
    program = """
import sys
from addcow_conformance.results import About, CaseResult, Outcome, Run, render
failed = CaseResult("ACW-DYN-003/v10/x", "", Outcome.FAIL)
print(*render(Run("", About(""), "reviewed", (), 0, "", 0, (failed,)), output="human"))
print(*sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    words = set(done.stdout.split())
    assert "ACW-DYN-003" in done.stdout
    assert not {"jinja2", "junitparser", "addcow_conformance.checker", "json"} & words


@pytest.mark.parametrize(("output", "package"), [("junit", "junitparser"), ("html", "jinja2")])
def test_missing_package_is_a_usage_error_that_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, output: str, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    for module in (f"addcow_conformance.results.{output}", "addcow_conformance.report.html"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    with pytest.raises(UsageError, match=rf"{package}.*add-cow-toolkit\[report\]"):
        render(GREEN, output=output)


def test_unknown_format_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        render(GREEN, output="_model")


def test_every_outcome_is_in_the_sample() -> None:
    assert set(RED.counts) == set(Outcome)
    assert GREEN.as_expected
    assert not RED.as_expected
