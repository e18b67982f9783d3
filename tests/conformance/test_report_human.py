"""The human format: bytes pointed at, brevity, colours that change no text."""

from __future__ import annotations

from dataclasses import replace

import click
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from addcow_conformance.checker import BitmapSummary, Report
from addcow_conformance.report import render
from addcow_conformance.report._hexdump import dump
from addcow_spec.model import Span
from tests.conformance.report_samples import FOREIGN, HEADER, INVALID, REPAIRED, UNREADABLE, VALID
from tests.conformance.strategies import reports


def text(*found: Report, many: bool = False, color: bool = False) -> str:
    return "".join(render(found, output="human", many=many, color=color))


def pointed_at(row: str, marks: str) -> dict[int, int]:
    """Offsets and values of the bytes that a row's marks stand under."""
    start = int(row[:8], 16)
    columns = [10 + 3 * column + (column >= 8) for column in range(16)]
    marked = [n for n, column in enumerate(columns) if marks[column : column + 2] == "^^"]
    assert marks.count("^^") == len(marked)
    return {start + n: int(row[columns[n] : columns[n] + 2], 16) for n in marked}


@example(data=bytes(range(80)), offset=1, length=85)
@given(data=st.binary(min_size=1, max_size=80), offset=st.integers(0, 90), length=st.integers(0, 90))
def test_marks_stand_under_the_bytes_at_fault(data: bytes, offset: int, length: int) -> None:
    found = dump(data, Span(offset, length))
    faulty = dict(enumerate(data))
    at_fault = {at: faulty[at] for at in range(offset, offset + length) if at in faulty}
    if found is None:
        assert not at_fault
        return
    pointed = {at: byte for row, marks in found.rows for at, byte in pointed_at(row, marks).items()}
    assert pointed.items() <= at_fault.items()
    assert len(found.rows) == 3 or pointed == at_fault
    assert len(pointed) + found.more == length


def test_header_finding_shows_its_bytes_and_names_the_field() -> None:
    lines = text(INVALID).splitlines()
    marks = next(
        number for number, line in enumerate(lines) if "^^" in line and "image_filename_offset" in line
    )
    indent = len(lines[marks - 1]) - len(lines[marks - 1].lstrip())
    row, marked = lines[marks - 1][indent:], lines[marks][indent:]
    assert pointed_at(row, marked) == dict(enumerate(HEADER[20:28], start=20))


def test_bytes_that_were_just_shown_are_not_shown_again() -> None:
    twice = (INVALID.findings[1], INVALID.findings[1]._replace(rule="ACW-FEA-001"))
    said = text(replace(INVALID, findings=twice))
    assert all(finding.rule in said for finding in twice)
    assert said.count("^^") == text(replace(INVALID, findings=twice[:1])).count("^^") == 8


def test_findings_outside_the_header_have_no_dump() -> None:
    outside = replace(INVALID, findings=INVALID.findings[3:])
    assert "^^" in text(INVALID)
    assert "^^" not in text(outside)
    assert all(finding.rule in text(outside) for finding in outside.findings)


def test_bytes_of_another_file_are_not_looked_up_in_the_header() -> None:
    elsewhere = replace(INVALID, findings=(INVALID.findings[0]._replace(file=2),))
    assert "^^" not in text(elsewhere)
    assert "vm/base.qcow2" in text(elsewhere)


def test_what_a_person_wants_to_know_is_there() -> None:
    said = text(VALID)
    for fact in ("v10", "10,737,418,240", "1,234 of 163,840", "0.7%", "130,172", "32,434", "vm/base.qcow2"):
        assert fact in said
    assert len(said.splitlines()) <= 8


@pytest.mark.parametrize(
    ("units", "set_units", "share"),
    [(0, 0, "0%"), (10**6, 1, "<0.1%"), (10**6, 10**6 - 1, "99.9%"), (8, 8, "100%"), (8, 4, "50.0%")],
)
def test_share_is_never_rounded_to_all_or_none(units: int, set_units: int, share: str) -> None:
    bitmap = BitmapSummary(Span(4096, 1), 65536, units, set_units, 0)
    assert f"({share})" in text(replace(VALID, bitmap=bitmap))


def test_findings_beyond_the_limit_are_counted() -> None:
    assert text(INVALID).splitlines()[-1].split() == ["and", "3", "more"]


def test_many_sound_images_take_a_line_each_and_one_for_the_sum() -> None:
    said = text(VALID, VALID, VALID, many=True).splitlines()
    assert len(said) == 4
    assert text(VALID, INVALID, FOREIGN, many=True).startswith(said[0])


def test_repairs_and_their_backup_are_told() -> None:
    made, planned = text(REPAIRED), text(replace(REPAIRED, backup=None))
    assert "vm/disk.add-cow.backup" in made
    assert "vm/disk.add-cow.backup" not in planned
    assert all(rule in said for rule in ("ACW-BMP-002", "ACW-BMP-003") for said in (made, planned))


def test_incomplete_check_says_why() -> None:
    said = text(UNREADABLE)
    assert said.startswith("unknown")
    assert "Permission denied" in said


@settings(max_examples=40, deadline=None)
@given(found=st.lists(reports(), max_size=3), many=st.booleans())
def test_colours_change_no_text(found: list[Report], many: bool) -> None:
    assert click.unstyle(text(*found, many=many, color=True)) == text(*found, many=many)


def test_colours_are_there_when_asked_for() -> None:
    assert "\x1b[" in text(INVALID, color=True)
