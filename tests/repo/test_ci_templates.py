"""The templates for continuous integration are what the services ask for, and their steps gate a target."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml
from junitparser import JUnitXml

from tests.repo.ci_templates import GITHUB, GITLAB, run_github, run_gitlab, runner
from tests.repo.tree import ROOT
from tests.repo.wheel import build_wheel

STEPS = GITHUB["runs"]["steps"]
JOB = GITLAB[".addcow-conformance"]
INSTALL, GATE, KEEP = (step["name"] for step in STEPS)
RULE = "ACW-HDR-001"
FEW = ("-k", RULE, "-j1", "--examples", "0", "--ops", "0")
REPORTS = {"junit.xml", "run.sarif", "run.html", "run.json", "badge.json"}
RIGHT = "python:addcow_ref"
WRONG = """
from addcow_ref import create_image

def open_image(*arguments, **options):
    raise ValueError("nothing is opened")
"""
KNOWN = """
[[expect]]
case = "*"
outcome = "fail"
reason = "nothing is opened yet"
"""


class Site(NamedTuple):
    """A runner and the checkout that it has."""

    checkout: Path
    environment: dict[str, str]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    checkout = tmp_path_factory.mktemp("checkout")
    (checkout / "wrong.py").write_text(WRONG)
    (checkout / "known.toml").write_text(KNOWN)
    return Site(checkout, runner(tmp_path_factory.mktemp("runner")))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    return build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def github(site, tmp_path_factory):
    """The runner of a job that has got as far as having the suite installed."""
    temporary = tmp_path_factory.mktemp("temporary")
    environment = site.environment | {
        "GITHUB_ACTIONS": "true",
        "GITHUB_ACTION_PATH": str(ROOT / "conformance/ci"),
        "GITHUB_STEP_SUMMARY": str(temporary / "summary.md"),
        "RUNNER_TEMP": str(temporary),
    }
    ran = run_github(INSTALL, environment, site.checkout)
    assert ran.status == 0, ran.output
    return site._replace(environment=environment)


def gate(github, summary, **inputs):
    environment = github.environment | {"GITHUB_STEP_SUMMARY": str(summary)}
    arguments = "\n".join(FEW)
    return run_github(GATE, environment, github.checkout, **{"arguments": arguments} | inputs)


def annotations(output):
    return re.findall(r"^::error title=", output, re.MULTILINE)


def outcomes(folder):
    """How many cases came to what, after a look at each report."""
    assert {path.name for path in folder.iterdir()} == REPORTS
    counts = {
        name: count
        for name, count in json.loads((folder / "run.json").read_text())["counts"].items()
        if count
    }
    assert JUnitXml.fromfile(str(folder / "junit.xml")).tests == sum(counts.values())
    assert json.loads((folder / "run.sarif").read_text())["version"] == "2.1.0"
    assert json.loads((folder / "badge.json").read_text())["schemaVersion"] == 1
    assert (folder / "run.html").read_text().startswith("<!DOCTYPE html>")
    return counts


# --- what the services ask for


def test_the_action_is_a_composite_one():
    assert GITHUB.keys() == {"name", "description", "inputs", "runs"}
    assert GITHUB["runs"].keys() == {"using", "steps"}
    assert GITHUB["runs"]["using"] == "composite"
    for about in GITHUB["inputs"].values():
        assert about["description"]
        assert about.get("required") or isinstance(about["default"], str)
    for step in STEPS:
        assert ("shell" in step) == ("run" in step) != ("uses" in step)


def test_no_input_is_pasted_into_a_script():
    shown = " ".join([*(step.get("run", "") for step in STEPS), *JOB["script"]])
    assert "ADDCOW_TARGET" in shown
    assert "${{" not in shown
    assert "$[[" not in shown


def test_each_input_has_its_variable():
    variables = {name: value for step in STEPS for name, value in step.get("env", {}).items()}
    assert variables == {f"ADDCOW_{name.upper()}": f"${{{{ inputs.{name} }}}}" for name in GITHUB["inputs"]}
    # A job of GitLab's has its reports to itself, and has to be told where the suite is.
    assert JOB["variables"].keys() ^ variables.keys() == {"ADDCOW_WHEEL", "ADDCOW_REPORTS"}
    for name in variables:
        assert f"${name}" in STEPS[1]["run"]
    for name in JOB["variables"]:
        assert re.search(rf"\$\{{?{name}\b", "\n".join(JOB["script"]))


def test_reports_are_kept_where_the_gate_is_red_as_well():
    (keep,) = [step for step in STEPS if step["name"] == KEEP]
    assert keep["uses"].startswith("actions/upload-artifact@v")
    assert keep["with"].keys() == {"name", "path"}
    assert keep["if"] == "${{ !cancelled() }}"
    assert JOB["artifacts"]["when"] == "always"


def test_the_usages_that_are_shown_name_what_there_is():
    text = (ROOT / "conformance/README.md").read_text("utf-8")
    github, gitlab = map(yaml.safe_load, re.findall(r"^```yaml\n(.*?)^```$", text, re.DOTALL | re.MULTILINE))
    (step,) = github
    assert step["uses"].startswith("OWNER/REPO/conformance/ci@")
    assert "target" in step["with"]
    assert step["with"].keys() <= GITHUB["inputs"].keys()
    job = gitlab["conformance"]
    assert {job["extends"]} == GITLAB.keys()
    assert {"ADDCOW_WHEEL", "ADDCOW_TARGET"} <= job["variables"].keys() <= JOB["variables"].keys()


# --- the steps


def test_github_right(github, tmp_path):
    ran = gate(github, tmp_path / "summary.md", target=RIGHT, revision="v10 v6", reports="right")
    assert ran.status == 0, ran.output
    assert annotations(ran.output) == []
    counts = outcomes(github.checkout / "right")
    assert counts.keys() == {"pass"}
    assert set(json.loads((github.checkout / "right/run.json").read_text())["revisions"]) == {"v6", "v10"}
    assert (tmp_path / "summary.md").read_text().startswith("## ")


def test_github_wrong(github, tmp_path):
    ran = gate(github, tmp_path / "summary.md", target="python:wrong", reports="wrong")
    assert ran.status == 1, ran.output
    counts = outcomes(github.checkout / "wrong")
    assert counts.keys() == {"fail"}
    assert counts["fail"] > len(annotations(ran.output)) == 10
    assert RULE in (tmp_path / "summary.md").read_text()


def test_github_wrong_and_known(github, tmp_path):
    ran = gate(github, tmp_path / "summary.md", target="python:wrong", expect="known.toml", reports="known")
    assert ran.status == 0, ran.output
    assert annotations(ran.output) == []
    assert outcomes(github.checkout / "known").keys() == {"fail"}


def test_inputs_are_no_shell_text(github, tmp_path):
    hostile = '";touch taken;$(touch taken)`touch taken`*'
    ran = gate(github, tmp_path / "summary.md", target=hostile, expect="known.toml", reports=hostile)
    assert ran.status == 64, ran.output
    for name in ("revision", "profile", "arguments"):
        assert gate(github, tmp_path / "summary.md", **{"target": RIGHT, name: hostile}).status == 64
    assert not (github.checkout / "taken").exists()
    assert (github.checkout / hostile).is_dir()


def test_gitlab(site, wheel):
    variables = {
        "ADDCOW_WHEEL": wheel.as_uri(),
        "ADDCOW_TARGET": RIGHT,
        "ADDCOW_REVISION": "v10",
        "ADDCOW_ARGUMENTS": "\n".join(FEW),
    }
    folder = JOB["artifacts"]["reports"]["junit"].partition("/")[0]
    assert JOB["artifacts"]["paths"] == [f"{folder}/"]
    # What is installed for the right one, which the shell goes on from, is there for a wrong one too.
    _, tried = JOB["script"]
    wrong = (f"mv {folder} gitlab-right", "ADDCOW_TARGET=python:wrong", tried)
    ran = run_gitlab(site.environment, site.checkout, *wrong, **variables)
    assert ran.status == 1, ran.output
    assert outcomes(site.checkout / "gitlab-right").keys() == {"pass"}
    assert outcomes(site.checkout / folder).keys() == {"fail"}


def test_gitlab_without_a_wheel(site):
    ran = run_gitlab(site.environment, site.checkout, ADDCOW_TARGET=RIGHT)
    assert ran.status not in {0, 1}
    assert "ADDCOW_WHEEL" in ran.output
