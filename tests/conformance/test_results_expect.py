"""Expectations: files read strictly, held against results, and brought up to date."""

from __future__ import annotations

import os
import tomllib
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from addcow_conformance.results import About, CaseResult, Expectation, Outcome
from addcow_conformance.results.expect import (
    CONDITIONS,
    BadExpectations,
    apply,
    facts,
    load_expectations,
    render,
)
from addcow_spec.rules import Profile
from tests.conformance.result_samples import RED, run_of
from tests.repo.tree import ROOT

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

FACTS = facts("python:engine", About("engine", "1.2", "Rust"), Profile.REVIEWED)

FULL = """
[[expect]]
case = "ACW-DYN-003/*"
outcome = "fail"
reason = \"\"\"
copies nothing,
  ever\"\"\"
issue = "https://example.org/1"
[expect.when]
version = "1.*"
revision = "v10"

[[expect]]
case = "ACW-DYN-004/v6/x"
outcome = "crash"
reason = "known"
"""


def case(name: str, outcome: Outcome = Outcome.FAIL, detail: str = "") -> CaseResult:
    return CaseResult(name, "a case", outcome, detail=detail)


def expected(glob: str, outcome: Outcome = Outcome.FAIL, reason: str = "known", **when: str) -> Expectation:
    return Expectation(glob, outcome, reason, "", tuple(when.items()))


def load(folder: Path, text: str | bytes) -> tuple[Expectation, ...]:
    path = folder / "expect.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load_expectations(str(path))


def refused(folder: Path, text: str | bytes) -> str:
    with pytest.raises(BadExpectations) as caught:
        load(folder, text)
    message = str(caught.value)
    assert message.isprintable()
    assert message.startswith(str(folder / "expect.toml"))
    return message


def green(results: Sequence[CaseResult], entries: Sequence[Expectation]) -> bool:
    held, unmatched = apply(results, entries, FACTS)
    return replace(run_of(*held), unmatched=unmatched).as_expected


def updated(folder: Path, results: Sequence[CaseResult], entries: Sequence[Expectation]) -> list[Expectation]:
    """The entries after an update, read from the file that it makes."""
    return list(load(folder, render(results, entries, FACTS)))


# --- reading


def test_file_is_read_in_order(tmp_path: Path) -> None:
    assert load(tmp_path, FULL) == (
        Expectation(
            "ACW-DYN-003/*",
            Outcome.FAIL,
            "copies nothing, ever",
            "https://example.org/1",
            (("revision", "v10"), ("version", "1.*")),
        ),
        expected("ACW-DYN-004/v6/x", Outcome.CRASH),
    )


def test_empty_file_expects_nothing(tmp_path: Path) -> None:
    assert load(tmp_path, "# nothing is known\n") == ()


_ENTRY = '[[expect]]\ncase = "a"\noutcome = "fail"\nreason = "r"\n'


@pytest.mark.parametrize(
    ("text", "entry"),
    [
        (_ENTRY + _ENTRY.replace('reason = "r"\n', ""), 2),
        (_ENTRY.replace('"r"', '"  "'), 1),
        (_ENTRY.replace('"r"', "7"), 1),
        (_ENTRY.replace('"r"', '"\\u001b[2J"'), 1),
        (_ENTRY.replace('"r"', '"' + "r" * 401 + '"'), 1),
        (_ENTRY.replace("case", "cases"), 1),
        (_ENTRY.replace('"a"', '""'), 1),
        (_ENTRY.replace("fail", "skip"), 1),
        (_ENTRY.replace("fail", "unsupported"), 1),
        (_ENTRY.replace('"fail"', "[]"), 1),
        (_ENTRY + 'issue = ""\n', 1),
        (_ENTRY + "when = 1\n", 1),
        (_ENTRY + 'when = {moon = "full"}\n', 1),
        (_ENTRY + "when = {version = 1}\n", 1),
        (_ENTRY + _ENTRY, 2),
        (
            _ENTRY + "when = {version='1', revision='v4'}\n" + _ENTRY + "when={revision='v4', version='1'}\n",
            2,
        ),
        ('expect = ["a"]', 1),
    ],
)
def test_bad_entry_is_named_by_its_number(tmp_path: Path, text: str, entry: int) -> None:
    assert f": entry {entry}: " in refused(tmp_path, text)


@pytest.mark.parametrize(
    "text",
    [
        "[expect]\n",
        "expect = 1\n",
        "[[expected]]\n",
        "case = \n",
        b"\xff",
        b"\0",
        "a = " + "[" * 2000,
        "\n".join(("a = ", *["[" * 2000] * 20)),
        "a = " + "9" * 2000 + "\n",
        "a" + ".a" * 100_000 + " = 1\n",
        b"#\n" * (600_000),
    ],
)
def test_what_is_no_file_of_expectations_is_refused(tmp_path: Path, text: str | bytes) -> None:
    refused(tmp_path, text)


def test_same_case_under_another_condition_is_another_entry(tmp_path: Path) -> None:
    assert len(load(tmp_path, _ENTRY + "when = {version = '1'}\n" + _ENTRY)) == 2


@pytest.mark.parametrize("kind", ["missing", "directory", "fifo"])
def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "it\n"
    make = {"missing": lambda: None, "directory": path.mkdir, "fifo": lambda: os.mkfifo(path)}
    make[kind]()
    with pytest.raises(BadExpectations) as caught:
        load_expectations(bytes(path))
    assert str(caught.value).isprintable()


# --- held against results


def test_known_failure_is_as_expected() -> None:
    (held,), unmatched = apply([case("A/v10/x")], [expected("A/*")], FACTS)
    assert held.known == expected("A/*")
    assert not held.deviates
    assert unmatched == ()


@pytest.mark.parametrize("seen", [Outcome.PASS, Outcome.CRASH, Outcome.TIMEOUT, Outcome.ERROR])
def test_any_other_outcome_than_the_known_one_deviates(seen: Outcome) -> None:
    (held,), _ = apply([case("A/v10/x", seen)], [expected("A/*")], FACTS)
    assert held.deviates


@pytest.mark.parametrize("seen", [Outcome.SKIP, Outcome.UNSUPPORTED])
def test_case_that_was_not_tried_neither_deviates_nor_leaves_its_entry_unmatched(seen: Outcome) -> None:
    assert green([case("A/v10/x", seen), case("B/v10/x", Outcome.PASS)], [expected("A/*")])


def test_entry_without_a_case_fails_the_run() -> None:
    assert not green([case("A/v10/x", Outcome.PASS)], [expected("B/*")])
    assert green([case("A/v10/x", Outcome.PASS)], [])


def test_first_entry_that_matches_is_the_case_s_own() -> None:
    entries = [expected("A/v10/x", Outcome.PASS), expected("A/*")]
    results = [case("A/v10/x", Outcome.PASS), case("A/v10/y")]
    assert [held.known for held in apply(results, entries, FACTS)[0]] == entries
    assert green(results, entries)
    assert not green(results, entries[::-1])


def test_earlier_expectations_of_results_are_forgotten() -> None:
    held, _ = apply(RED.results, [], FACTS)
    assert all(result.known is None for result in held)


@pytest.mark.parametrize(
    ("name", "glob", "holds"),
    [
        ("target", "python:*", True),
        ("target", "nbd:*", False),
        ("implementation", "engine", True),
        ("implementation", "Engine", False),
        ("version", "1.[12]", True),
        ("version", "2.*", False),
        ("language", "R*", True),
        ("language", "C", False),
        ("profile", "reviewed", True),
        ("profile", "as-written", False),
        ("platform", "*-*", True),
        ("platform", "plan9", False),
        ("revision", "v1?", True),
        ("revision", "v6", False),
    ],
)
def test_entry_whose_condition_does_not_hold_is_not_there(name: str, glob: str, holds: bool) -> None:
    entry = expected("A/*", **{name: glob})
    (held,), unmatched = apply([case("A/v10/x")], [entry], FACTS)
    assert held.known == (entry if holds else None)
    assert unmatched == ()
    _, unmatched = apply([case("B/v10/x")], [entry], FACTS)
    assert unmatched == ((entry,) if holds else ())


def test_condition_on_the_revision_is_one_on_each_case() -> None:
    entry = expected("A/*", revision="v6")
    held, unmatched = apply([case("A/v10/x"), case("A/v6/x")], [entry], FACTS)
    assert [result.known for result in held] == [None, entry]
    assert unmatched == ()


def test_every_condition_has_a_fact() -> None:
    assert {*FACTS, "revision"} == set(CONDITIONS)


# --- brought up to date


def test_update_keeps_what_is_right_and_drops_what_passes(tmp_path: Path) -> None:
    kept = Expectation("A/*", Outcome.FAIL, 'a "reason" \\ with\u00e9', "https://e/1", (("version", "1*"),))
    entries = [kept, expected("B/v10/x"), expected("Gone/*")]
    results = [case("A/v10/x"), case("A/v6/x"), case("B/v10/x", Outcome.PASS)]
    assert updated(tmp_path, results, entries) == [kept]


def test_update_keeps_entries_of_other_conditions(tmp_path: Path) -> None:
    others = [expected("A/*", version="7"), expected("A/*", revision="v4")]
    assert updated(tmp_path, [case("A/v10/x", Outcome.PASS)], others) == others


def test_update_takes_a_glob_apart_that_is_right_in_part(tmp_path: Path) -> None:
    results = [case("A/v10/x"), case("A/v10/y", Outcome.PASS), case("A/v10/z", Outcome.SKIP)]
    assert updated(tmp_path, results, [expected("A/*", reason="why", language="R*")]) == [
        expected("A/v10/x", reason="why", language="R*"),
        expected("A/v10/z", reason="why", language="R*"),
    ]


def test_update_adds_what_is_new_with_a_comment(tmp_path: Path) -> None:
    text = render([case("A/v10/[x]", Outcome.TIMEOUT, "late\n[[expect]]\x1b" + "e" * 999)], [], FACTS)
    (entry,) = load(tmp_path, text)
    assert (entry.case, entry.outcome) == ("A/v10/[[]x]", Outcome.TIMEOUT)
    assert [line for line in text.splitlines() if line.startswith("# late\\u{a}[[expect]]\\u{1b}e")]
    assert green([case("A/v10/[x]", Outcome.TIMEOUT)], [entry])


def test_update_of_a_run_without_deviations_expects_nothing(tmp_path: Path) -> None:
    assert updated(tmp_path, [case("A/v10/x", Outcome.PASS)], [expected("A/*")]) == []


def test_update_of_very_many_deviations_can_be_read_again(tmp_path: Path) -> None:
    results = [case(f"ACW-DYN-003/v10/{'x' * 60}-{n}", detail="\U0001f600" * 999) for n in range(900)]
    assert len(updated(tmp_path, results, [])) == 900


IDS = [f"{rule}/{revision}/{slug}" for rule in "AB" for revision in ("v6", "v10") for slug in "xy"]
RESULTS = st.lists(
    st.builds(case, st.sampled_from(IDS), st.sampled_from(Outcome)), unique_by=lambda r: r.case
)
TEXTS = st.text(min_size=1, max_size=8).filter(lambda t: t.isprintable() and " ".join(t.split()) == t)
ENTRIES = st.lists(
    st.builds(
        Expectation,
        st.sampled_from(("*", "A/*", "B/*", "*/v6/*", "*/x", "?/v10/[xy]", *IDS)),
        st.sampled_from((Outcome.PASS, Outcome.FAIL, Outcome.CRASH)),
        TEXTS,
        st.just("") | TEXTS,
        st.sampled_from(((), (("version", "1*"),), (("version", "2*"),), (("revision", "v6"),))),
    ),
    unique_by=lambda entry: (entry.case, entry.when),
    max_size=5,
)


@settings(max_examples=100, deadline=None)
@given(results=RESULTS, entries=ENTRIES)
def test_an_update_is_green_and_a_second_one_changes_nothing(
    tmp_path_factory: pytest.TempPathFactory, results: list[CaseResult], entries: list[Expectation]
) -> None:
    folder = tmp_path_factory.getbasetemp()
    once = updated(folder, results, entries)
    tried = any(result.outcome not in {Outcome.SKIP, Outcome.UNSUPPORTED} for result in results)
    assert green(results, once) == tried
    assert updated(folder, results, once) == once
    told = Counter(entry.reason for entry in once)
    assert set(told) <= {entry.reason for entry in entries} | {"not looked at yet"}


@settings(max_examples=100, deadline=None)
@given(entries=ENTRIES)
def test_any_entry_is_written_as_it_was_read(
    tmp_path_factory: pytest.TempPathFactory, entries: list[Expectation]
) -> None:
    away = [entry._replace(when=(("version", "none"),), case=f"{n}") for n, entry in enumerate(entries)]
    text = render([], away, FACTS)
    assert [entry["reason"] for entry in tomllib.loads(text).get("expect", [])] == [e.reason for e in away]
    assert updated(tmp_path_factory.getbasetemp(), [], away) == away


def test_example_of_the_guide_is_a_file_of_expectations(tmp_path: Path) -> None:
    guide = (ROOT / "conformance/README.md").read_text(encoding="utf-8")
    (entry,) = load(tmp_path, guide.partition("```toml\n")[2].partition("```")[0])
    assert entry.outcome is Outcome.FAIL
    assert [name for name, _ in entry.when] == ["version", "platform"]
