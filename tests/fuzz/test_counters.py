"""Branches are counted as libFuzzer has to have them, and the counts guide it."""

from __future__ import annotations

import subprocess
import sys
from types import FunctionType

import pytest

from addcow_fuzz._counters import Counters

instrument_bytecode = pytest.importorskip("atheris.instrument_bytecode", reason="needs atheris")

PATIENCE = 120
RUNS = 2_000_000

# Bytes, one after the other, that no comparison tells of. To find all of them by luck takes 2**32 inputs.
JUDGE = """
from addcow_fuzz.invariants import Finding

def judge(data):
    if len(data) == 4 and data[0] in {77}:
        if data[1] in {65}:
            if data[2] in {90}:
                if data[3] in {69}:
                    raise Finding("oracle", "it is found", operation="judge")
"""
TARGETS = {
    "at once": "from guarded.rules import judge as check_one\n",
    "late": "def check_one(data):\n    from guarded.rules import judge\n    judge(data)\n",
}


def counted(monkeypatch, function):
    """The same function, instrumented, and the counters."""
    counters = Counters()
    inserted = instrument_bytecode.Instrumentor._generate_trace_branch_invocation
    monkeypatch.setattr(instrument_bytecode.Instrumentor, "_generate_trace_branch_invocation", inserted)
    assert counters.install()
    return FunctionType(
        instrument_bytecode.patch_code(function.__code__, trace_dataflow=False), globals()
    ), counters


def collatz(number):
    steps = 0
    while number != 1:
        number = number // 2 if number % 2 == 0 else 3 * number + 1
        steps += 1
    return steps


def total(numbers):
    sum_ = 0
    for number in numbers:
        try:
            sum_ += 10 // number
        except ZeroDivisionError:
            continue
    return sum_


@pytest.mark.parametrize(
    ("function", "argument"), [(collatz, 1), (collatz, 27), (total, ()), (total, (1, 0, 5, 0))]
)
def test_what_is_counted_does_the_same(monkeypatch, function, argument):
    same, counters = counted(monkeypatch, function)
    assert not any(counters._counts)
    assert same(argument) == function(argument)
    assert any(counters._counts)


def test_beginnings_and_loops_are_counted(monkeypatch):
    same, counters = counted(monkeypatch, total)
    for _ in range(3):
        same((1, 2, 3, 4))
    found = [count for count in counters._counts if count]
    assert sorted(found)[-2:] == [3, 15]  # begun thrice; each time the loop ends, after four numbers
    assert set(found) == {1, 3, 15}


def test_a_count_that_is_full_stays_in_its_class(monkeypatch):
    same, counters = counted(monkeypatch, total)
    same(range(1, 255))
    assert max(counters._counts) == 255
    same([1])
    assert 128 <= max(counters._counts) < 255


def guarded(home, target, *first):
    """The status of fuzzing a target that has to be led, and what it tells."""
    (home / "guarded").mkdir()
    (home / "guarded" / "__init__.py").write_text(TARGETS[target])
    (home / "guarded" / "rules.py").write_text(JUDGE)
    run = "\n".join((*first, "from addcow_fuzz._main import fuzz_module", "fuzz_module('guarded')"))
    process = subprocess.run(
        [sys.executable, "-c", run, f"-runs={RUNS}", "-seed=1", "-max_len=4"],
        cwd=home,
        capture_output=True,
        timeout=PATIENCE,
        check=False,
    )
    return process.returncode, process.stderr


@pytest.mark.parametrize("target", TARGETS)
def test_counts_guide_libfuzzer(tmp_path, target):
    status, told = guarded(tmp_path, target)
    assert (status, b"DEDUP_TOKEN: oracle:-:judge:-" in told) == (77, True), told[-2000:]


def test_without_counts_it_is_lost(tmp_path):
    """So that the tests before are of the counts, and of nothing else."""
    deaf = "from addcow_fuzz._counters import Counters; Counters.connect = lambda _: None"
    status, told = guarded(tmp_path, "at once", deaf)
    assert (status, b"DEDUP_TOKEN" in told) != (77, True)


def test_an_atheris_that_is_not_known_counts_itself(tmp_path):
    unknown = "from addcow_fuzz._counters import Counters; Counters.install = lambda _: False"
    status, told = guarded(tmp_path, "late", unknown)
    assert (status, b"DEDUP_TOKEN: oracle:-:judge:-" in told) == (77, True), told[-2000:]


@pytest.mark.parametrize("name", ["_generate_instruction", "Instrumentor"])
def test_an_atheris_without_what_is_asked_for_is_left_alone(monkeypatch, name):
    monkeypatch.setattr(instrument_bytecode, name, None)
    assert not Counters().install()


NUMBERS = """
import marshal, sys
from atheris import patch_code
from addcow_fuzz._counters import Counters
Counters().install()
text = "def f(a):\\n" + "".join(f"    if a == {n}: a += 1\\n" for n in range(300))
code = patch_code(compile(text, "text", "exec"), trace_dataflow=True).co_consts[0]
sys.stdout.buffer.write(code.co_code + repr([c for c in code.co_consts if type(c) is int]).encode())
"""


def test_a_branch_has_the_same_number_in_each_process():
    def numbers():
        run = [sys.executable, "-c", NUMBERS]
        return subprocess.run(run, capture_output=True, timeout=PATIENCE, check=True).stdout

    assert len(first := numbers()) > 3000
    assert numbers() == first


def test_a_package_that_was_loaded_before_is_instrumented(tmp_path):
    """As by ``python -m``, which has loaded what the target needs when it starts."""
    before = "import guarded.rules"
    status, told = guarded(tmp_path, "at once", before)
    assert (status, b"DEDUP_TOKEN: oracle:-:judge:-" in told) == (77, True), told[-2000:]
