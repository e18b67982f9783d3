"""Each target as a program: libFuzzer runs it, by way of atheris, and reaches code that is instrumented."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from importlib.util import find_spec

import pytest

from addcow_fuzz.dictionary import main
from addcow_fuzz.targets import TARGETS
from tests.fuzz.inputs import CORPORA, NAMES

pytestmark = pytest.mark.skipif(find_spec("atheris") is None, reason="needs atheris")

RUNS = {"report": 30, "repair": 60, "chain": 100}
PATIENCE = 120
# The first inputs are none, and one byte; a target that is not instrumented covers nothing more by seeds.
EDGES = {"header": 40}  # the parsers have no more
COVERED = re.compile(rb"#\d+\s+INITED cov: (\d+)")
FEATURES = re.compile(rb"#\d+\s+INITED cov: \d+ ft: (\d+)")
DONE = re.compile(rb"Done (\d+) runs")


def fuzz(name, directory, *options):
    """The status and what was written to standard error; the process group is ended with it."""
    command = [sys.executable, "-m", f"addcow_fuzz.targets.fuzz_{name}", *options]
    process = subprocess.Popen(command, cwd=directory, stderr=subprocess.PIPE, process_group=0)
    try:
        _, told = process.communicate(timeout=PATIENCE)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    return process.returncode, told


@pytest.mark.parametrize("name", NAMES)
def test_runs(name, tmp_path):
    runs = RUNS.get(name, 300)
    kept = sorted((CORPORA / "seeds" / name).iterdir())[:8]
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for seed in kept:
        (corpus / seed.name).write_bytes(seed.read_bytes())
    status, told = fuzz(
        name, tmp_path, f"-max_len={TARGETS[name].max_len}", f"-runs={runs}", "-seed=1", corpus
    )
    assert status == 0, told[-2000:]
    assert int(DONE.search(told)[1]) >= runs
    assert int(COVERED.search(told)[1]) > EDGES.get(name, 50)


@pytest.mark.parametrize("name", ["image", "ops"])
def test_comparisons_are_traced_where_they_are_asked_for(name, tmp_path):
    """The mutators of these make nothing of them, but a value profile is made of them alone."""
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for seed in sorted((CORPORA / "seeds" / name).iterdir())[:8]:
        (corpus / seed.name).write_bytes(seed.read_bytes())
    found = []
    for profile in (0, 1):
        status, told = fuzz(name, tmp_path, "-runs=0", f"-use_value_profile={profile}", corpus)
        assert status == 0, told[-2000:]
        found.append(int(FEATURES.search(told)[1]))
    assert found[1] > found[0] + 20


@pytest.mark.parametrize("name", ["repair", "resolve"])
def test_first_two_inputs_reach_instrumented_code(name, tmp_path):
    """In these nothing is parsed that holds no file."""
    status, told = fuzz(name, tmp_path, "-runs=2")
    assert status == 0, told[-2000:]
    assert int(COVERED.search(told)[1]) > 0


def test_dictionary_is_taken(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["dictionary", str(tmp_path / "dictionary")])
    main()
    status, told = fuzz("header", tmp_path, "-dict=dictionary", "-runs=50")
    assert status == 0, told[-2000:]
    assert b"Dictionary: " in told


def test_finding_is_told_with_its_token(tmp_path):
    """A target that finds something ends with libFuzzer's status, and names the bucket."""
    code = (
        "from addcow_fuzz.invariants import Finding\n"
        "from addcow_fuzz._main import fuzz_module\n"
        "def check_one(data):\n"
        "    raise Finding('oracle', 'it differs', rule='ACW-DYN-001', operation='read')\n"
        "if __name__ == '__main__':\n"
        "    fuzz_module('planted')\n"
    )
    (tmp_path / "planted.py").write_text(code)
    process = subprocess.run(
        [sys.executable, "planted.py", "-runs=10"],
        cwd=tmp_path,
        capture_output=True,
        timeout=PATIENCE,
        check=False,
    )
    assert process.returncode == 77
    assert b"DEDUP_TOKEN: oracle:acw-dyn-001:read:-" in process.stderr
