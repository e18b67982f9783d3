"""An implementation in the place of the engine: by the environment, and in what is kept of a finding."""

from __future__ import annotations

import json
import os

import pytest
from click.testing import CliRunner

from addcow_conformance.commands._failure import FAILED, Failure
from addcow_fuzz._environment import IMPLEMENTATION, implementation_module, prepare
from addcow_fuzz.campaign import Found, Store
from addcow_fuzz.cli import group
from addcow_fuzz.targets import fuzz_differential


@pytest.mark.parametrize(
    ("name", "modules"),
    [
        ("", ()),
        ("python:mything", ("mything",)),
        ("python:my.thing:ATTRIBUTE", ("my.thing",)),
        ("python:", ()),
        ("python:..", ()),
        ("stdio:./mything", ()),
    ],
)
def test_branches_of_one_in_python_count(monkeypatch, name, modules):
    monkeypatch.setenv(IMPLEMENTATION, name)
    assert implementation_module() == modules


@pytest.mark.parametrize("name", ["nothing", "python:no_such_module", "stdio:/no/such/program"])
def test_one_that_is_not_there_is_no_finding(monkeypatch, tmp_path, name):
    monkeypatch.setenv(IMPLEMENTATION, name)
    with pytest.raises(SystemExit) as ended:
        prepare(fuzz_differential)
    assert isinstance(ended.value.code, str)
    (tmp_path / "input").write_bytes(b"any")
    answer = CliRunner().invoke(
        group, ["replay", "--target", "differential", str(tmp_path / "input")], standalone_mode=False
    )
    assert isinstance(answer.exception, Failure)
    assert answer.exception.status == FAILED


def test_a_target_need_not_prepare():
    prepare(object())


def test_a_finding_tells_of_which_it_is(monkeypatch, tmp_path):
    monkeypatch.setenv(IMPLEMENTATION, "stdio:./my thing")
    found = Found("differential:-:write:crashed", "differential", b"a", b"a", "", None, ())
    store = Store(os.fspath(tmp_path / "found"))
    with store.locked():
        store.add_finding(found)
    (folder,) = (tmp_path / "found/findings").iterdir()
    told = json.loads((folder / "finding.json").read_bytes())
    assert told["environment"][IMPLEMENTATION] == "stdio:./my thing"
    assert told["replay"] == (
        f"{IMPLEMENTATION}='stdio:./my thing' addcow-fuzz replay --target differential input"
    )
    assert told["replay"] in (folder / "replay.sh").read_text()
