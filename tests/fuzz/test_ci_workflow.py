"""The workflow for each night and for pull requests: its steps, run on a target with planted bugs."""

from __future__ import annotations

import json
import os
import re
import shlex
import sys

import yaml

from tests.fuzz.fake_target import TOKENS
from tests.repo.ci_templates import run_script
from tests.repo.tree import ROOT

TEXT = (ROOT / "fuzz/ci/fuzz.yml").read_text("utf-8")
WORKFLOW = yaml.safe_load(TEXT)
JOB = WORKFLOW["jobs"]["fuzz"]
STEPS = {step.get("name", step.get("uses")): step for step in JOB["steps"]}
# Nights until something is found; on an idle machine the first one finds it.
ENOUGH = 20
COMMAND = f"""\
#!/bin/sh
exec {shlex.quote(sys.executable)} -m tests.fuzz.fake_command "$@"
"""


class Checkout:
    """A checkout with a registry of its own, whose fuzzers have planted bugs."""

    def __init__(self, home, status):
        (home / "bin").mkdir()
        (home / "bin/addcow-fuzz").write_text(COMMAND)
        (home / "bin/addcow-fuzz").chmod(0o755)
        (home / "corpora/seeds").mkdir(parents=True)
        entry = '[[finding]]\ntoken = "{}"\ntarget = "fake"\nstatus = "{}"\nreason = "planted"\n'
        registry = "".join(entry.format(token, status) for token in TOKENS if status)
        (home / "corpora/findings.toml").write_text(registry)
        self.home = home
        self.environment = {
            "PATH": f"{home}/bin:{os.environ['PATH']}",
            "PYTHONPATH": os.fspath(ROOT),
            "TMPDIR": os.fspath(home),
            "ADDCOW_MINUTES": "0.05",
            "ADDCOW_SLICE": "3",
            "ADDCOW_TARGETS": "fake",
        }

    def step(self, name):
        step = STEPS[name]
        return run_script(step["shell"], step["run"], self.environment, self.home)


def test_a_finding_that_the_registry_knows_is_passed_over(tmp_path):
    checkout = Checkout(tmp_path, "open")
    for name in ("Fuzz", "Tell"):
        ran = checkout.step(name)
        assert ran.status == 0, ran.output
        assert "::error" not in ran.output
    assert json.loads((tmp_path / "found/state.json").read_text())["targets"]["fake"]["execs"] > 1000
    for path in STEPS["Keep the corpus"]["with"]["path"].split():
        assert (tmp_path / path).exists()


def test_a_finding_that_it_does_not_know_is_red_and_annotated(tmp_path):
    checkout = Checkout(tmp_path, "")
    for _ in range(ENOUGH):
        ran = checkout.step("Fuzz")
        if ran.status:
            break
    assert ran.status == 77, ran.output
    told = checkout.step("Tell")
    assert told.status == 77, told.output
    titles = re.findall("^::error title=new%3A (.*?)::", told.output, re.MULTILINE)
    assert titles
    assert {title.replace("%3A", ":") for title in titles} <= TOKENS
    assert len(list((tmp_path / "found/findings").iterdir())) == len(titles)
    assert (tmp_path / "found/report.html").read_text().startswith("<!DOCTYPE html>")


# --- what the service reads


def test_nothing_of_the_service_is_pasted_into_a_script():
    scripts = [step["run"] for step in STEPS.values() if "run" in step]
    assert "${{" not in "".join(scripts)
    for name in JOB["env"]:
        assert f"${name}" in "".join(scripts)


def test_a_pull_request_reads_the_corpus_of_the_nights_and_leaves_it_as_it_is():
    assert WORKFLOW[True].keys() == {"schedule", "workflow_dispatch", "pull_request"}  # YAML 1.1 reads on so
    fetch, keep = STEPS["Fetch the corpus"], STEPS["Keep the corpus"]
    # A cache is found by its paths as well.
    assert fetch["with"]["path"] == keep["with"]["path"]
    assert fetch["with"]["key"] == keep["with"]["key"]
    assert keep["with"]["key"].startswith(fetch["with"]["restore-keys"])
    assert "github.event_name != 'pull_request'" in keep["if"]
    assert all(
        "!cancelled()" in step["if"] for name, step in STEPS.items() if name.startswith(("Keep", "Tell"))
    )
