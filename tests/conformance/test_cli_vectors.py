"""Every vector gets its verdict from the command line: arguments in, exit status and JSON out."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from addcow_conformance.checker import Verdict
from addcow_conformance.cli_check import main
from addcow_conformance.suite import load_vectors, materialize
from addcow_spec.rules import Profile

VECTORS = {vector.id: vector for vector in load_vectors(Path(__file__).parents[2] / "corpora" / "vectors")}
STATUS = {Verdict.VALID: 0, Verdict.ACCEPTABLE: 0, Verdict.INVALID: 2}
FOREIGN = 63


@pytest.mark.parametrize("profile", Profile)
@pytest.mark.parametrize("vector", VECTORS.values(), ids=VECTORS.keys())
def test_verdict_and_status(vector, profile, tmp_path, monkeypatch, capsys):
    scene = materialize(vector, tmp_path)
    label = vector.labels[profile]
    options = ["--output", "json", "--profile", profile.value]
    if scene.confine:
        options += ["--confine", scene.confine]
    if scene.take_as:
        options += ["--revision", scene.take_as.value]
    monkeypatch.chdir(scene.cwd)
    monkeypatch.setattr(
        sys, "argv", ["addcow-check", *map(os.fsdecode, options), "--", os.fsdecode(scene.image)]
    )
    with pytest.raises(SystemExit) as ended:
        main()
    out, err = capsys.readouterr()
    assert err == ""
    report = json.loads(out)
    foreign = "ACW-HDR-001" in label.findings and report["findings"][0]["path"] == report["filename"]
    assert ended.value.code == (FOREIGN if foreign else STATUS[label.result])
    assert sorted(finding["rule"] for finding in report["findings"]) == list(label.findings)
    assert report["verdict"] == (Verdict.NOT_ADD_COW if foreign else label.result)
