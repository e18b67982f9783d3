"""A run on a terminal, as annotations, as a step's summary and as a badge."""

from __future__ import annotations

import html
import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings

from addcow_conformance.results import Difference, Outcome, Run, render
from addcow_conformance.results._bytes import byte_rows
from addcow_conformance.results._words import script_lines
from addcow_spec.rules import catalogue
from tests.conformance.result_samples import (
    CRASHED,
    FAILED,
    GREEN,
    HOSTILE_TEXTS,
    KNOWN,
    PASSED,
    RED,
    SURPRISE,
    UNMATCHED,
    UNSUPPORTED,
    hostile_run,
    run_of,
    runs,
)

if TYPE_CHECKING:
    from addcow_conformance.results import CaseResult

STATED = catalogue()["ACW-DYN-003"]


def text(run: Run, output: str) -> str:
    return "".join(render(run, output=output))


def many(count: int, **changes: object) -> list[CaseResult]:
    return [replace(FAILED, case=f"ACW-DYN-003/v10/{n}", **changes) for n in range(count)]  # type: ignore[arg-type]


# --- for people


def test_deviations_come_first_with_rule_source_bytes_and_script() -> None:
    said = text(RED, "human")
    order = [said.index(result.case) for result in RED.deviations]
    assert order == sorted(order)
    assert said.startswith("FAIL  " + FAILED.case)
    assert max(order) < said.index(KNOWN.case) < said.index("choice")
    assert PASSED.case not in said
    block = said[: order[1]]
    for part in (STATED.title, str(STATED.sources[0]), STATED.hint, FAILED.detail, *FAILED.said):
        assert part in block
    assert "42 42 42 42 42 42 42 42  42 42 42 42 00 00 00 00" in block
    again = re.findall(r"^ +(?:again +)?\| (.*)$", block.partition("again")[2].partition("CRASH")[0], re.M)
    assert again == FAILED.script.splitlines()


def test_unmatched_expectations_and_counts_are_told() -> None:
    *_, rest = text(RED, "human").rpartition("choice")
    assert UNMATCHED.case in text(RED, "human")
    last = rest.splitlines()[-1]
    assert last.startswith("not as expected: 9 cases: ")
    assert all(f"{number} {outcome}" in last for outcome, number in RED.counts.items())
    assert text(GREEN, "human").splitlines()[-1].startswith("as expected: ")


def test_rule_that_no_catalogue_has_is_that_of_the_case() -> None:
    assert STATED.title in text(run_of(replace(FAILED, broken="<rule>")), "human")
    assert "ACW-ZZZ-999" in text(run_of(replace(FAILED, case="ACW-ZZZ-999/v10/x", broken="<rule>")), "human")


def test_long_script_is_cut_where_people_read_it() -> None:
    lines = ["echo first", *["echo"] * 1000, "printf '" + "x" * 5000 + "'", "QUJD" * 19, "echo last"]
    said = text(run_of(replace(FAILED, script="\n".join(lines))), "human")
    assert said.count("| echo") == 11
    assert "| echo last" in said
    assert "echo first" not in said
    assert "QUJD" not in said
    assert max(map(len, said.splitlines())) < 200
    assert f"{len(lines):,} lines" in said
    assert all(option in said for option in ("--scripts", "--json", "--html"))


def test_what_differs_is_told_before_why_it_matters() -> None:
    said = text(run_of(FAILED), "human")
    parts = (STATED.title, FAILED.detail, "42 42 42 42", STATED.statement, str(STATED.sources[0]), "again")
    places = [said.index(part) for part in parts]
    assert places == sorted(places)


def test_bytes_stand_side_by_side_even_where_one_side_ends() -> None:
    first, second = byte_rows(Difference(512, bytes(range(10)), b"\0\1\2\3\4\5\6\xff"))
    assert (first.offset, second.offset) == (512, 520)
    assert [cell.differs for cell in first.cells] == [False] * 7 + [True]
    assert second.cells == (("08", "--"), ("09", "--"))
    assert len(byte_rows(Difference(0, bytes(10_000), b""))) == 16
    assert byte_rows(Difference(0, b"", b"")) == ()


def test_tabs_of_a_script_stay_and_all_else_is_shown() -> None:
    assert script_lines(replace(FAILED, script="a\tb\x1b\nc\r\n")) == ["a\tb\\u{1b}", "c\\u{d}"]
    assert script_lines(PASSED) == []


# --- annotations

_COMMAND = re.compile(r"::error title=(?P<title>[^,:]*)::(?P<message>.*)")
_ESCAPES = {"%3A": ":", "%2C": ",", "%0A": "\n", "%0D": "\r", "%25": "%"}


def read(value: str) -> str:
    return re.sub("%..", lambda found: _ESCAPES[found[0]], value)


def annotated(run: Run) -> tuple[list[tuple[str, str]], str]:
    *lines, last = text(run, "github").splitlines()
    matches = [_COMMAND.fullmatch(line) for line in lines]
    assert all(matches)
    return [(read(match["title"]), read(match["message"])) for match in matches if match], last


def test_deviations_and_unmatched_expectations_are_annotated() -> None:
    found, last = annotated(RED)
    named = [*(result.case for result in RED.deviations), UNMATCHED.case]
    assert [title.partition(": ")[2] for title, _ in found] == named
    assert found[0][1].splitlines()[0] == f"ACW-DYN-003: {STATED.title}"
    assert FAILED.detail in found[0][1]
    assert not last.startswith("::")
    assert annotated(GREEN)[0] == []


@pytest.mark.parametrize(
    ("count", "written", "more"), [(9, 10, ""), (10, 10, "1 more"), (510, 10, "501 more")]
)
def test_at_most_ten_annotations_are_written_and_the_rest_counted(
    count: int, written: int, more: str
) -> None:
    found, last = annotated(run_of(*many(count), unmatched=(UNMATCHED,)))
    assert len(found) == written
    assert (f"; {more} not annotated" in last) is bool(more)
    assert ("not annotated" in last) is bool(more)


# --- the summary of a step

LIMIT = 1 << 20


def table_rows(said: str) -> list[list[str]]:
    lines = [line for line in said.splitlines() if line.startswith("|")]
    return [[html.unescape(cell.strip()) for cell in line.strip("|").split("|")] for line in lines]


def test_summary_has_counts_deviations_known_and_scripts() -> None:
    said = text(RED, "markdown")
    rows = table_rows(said)
    assert all([outcome, f"{number}"] in rows for outcome, number in RED.counts.items())
    assert [row[0] for row in rows if row[1:2] in (["fail"], ["crash"])] == [FAILED.case, CRASHED.case]
    assert any(row[0] == UNMATCHED.case for row in rows)
    assert any(row[0] == KNOWN.case for row in rows)
    assert html.escape("cat > disk.raw <<'end'") in said
    assert said.count("<details>") == said.count("</details>") == len(RED.deviations)


@settings(max_examples=25, deadline=None)
@given(run=runs())
def test_no_markup_comes_from_a_target(run: Run) -> None:
    said = re.sub(r"<pre>[^<]*</pre>", "", text(run, "markdown"))
    for line in said.splitlines():
        ours = r"^<details><summary>|</summary>$|^</details>$|&#\d+;|^## |^\| | \||\|$"
        assert not re.search(r"[<>`*_\[\]\\&!@#$~|]|www\.", re.sub(ours, "", line)), line


@pytest.mark.parametrize("hostile", HOSTILE_TEXTS)
def test_tables_keep_their_columns(hostile: str) -> None:
    tables = re.split(r"\n\n", text(hostile_run(hostile), "markdown").partition("<details>")[0])
    widths = [{len(row) for row in table_rows(table)} for table in tables if "|" in table]
    assert len(widths) == 6
    assert all(len(each) == 1 for each in widths)


@pytest.mark.parametrize(
    "run",
    [
        run_of(*many(900, script="echo \U0001f600\n" * 5000)),
        run_of(*many(9000, title="\U0001f600" * 300)),
        run_of(*many(1, script="x" * LIMIT), target="y" * LIMIT),
    ],
)
def test_summary_stays_below_the_limit_and_says_what_is_missing(run: Run) -> None:
    said = text(run, "markdown")
    assert len(said.encode()) < LIMIT
    assert said.count("<details>") == said.count("</details>")
    assert said.count("<pre>") == said.count("</pre>")
    assert re.search(r"\d+ parts? left out", said.splitlines()[-1])


def test_summary_that_fits_leaves_nothing_out() -> None:
    assert "left out" not in text(run_of(*many(100)), "markdown")


# --- the badge


@pytest.mark.parametrize(
    ("run", "message", "color"),
    [
        (run_of(PASSED), "1 of 1 rules", "brightgreen"),
        (run_of(PASSED, KNOWN), "1 of 2 rules", "yellow"),
        (run_of(PASSED, KNOWN, FAILED), "1 of 3 rules", "red"),
        (
            run_of(FAILED, replace(FAILED, case="ACW-DYN-003/v6/x", outcome=Outcome.PASS)),
            "0 of 1 rules",
            "red",
        ),
        (run_of(PASSED, UNSUPPORTED), "1 of 1 rules", "brightgreen"),
        (run_of(SURPRISE), "1 of 1 rules", "brightgreen"),
        (run_of(UNSUPPORTED), "nothing tried", "lightgrey"),
        (run_of(), "nothing tried", "lightgrey"),
    ],
)
def test_badge_counts_the_rules_that_are_kept(run: Run, message: str, color: str) -> None:
    assert json.loads(text(run, "badge")) == {
        "schemaVersion": 1,
        "label": "add-cow v6 v10",
        "message": message,
        "color": color,
    }
