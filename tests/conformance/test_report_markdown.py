"""The markdown format: tables that keep their columns, names that stay text."""

from __future__ import annotations

import html
import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from addcow_conformance.report import render
from addcow_spec.text import printable
from tests.conformance.report_samples import INVALID, REPAIRED, UNREADABLE, VALID
from tests.conformance.strategies import HOSTILE_NAMES, reports

if TYPE_CHECKING:
    from addcow_conformance.checker import Report

_IMAGE_CELLS, _FINDING_CELLS = 8, 7


def text(*found: Report) -> str:
    return "".join(render(found, output="markdown", many=True, color=False))


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


@settings(max_examples=25, deadline=None)
@given(found=st.lists(reports(), max_size=3))
def test_tables_keep_their_columns_and_no_markup_comes_in(found: list[Report]) -> None:
    lines = text(*found).splitlines()
    rows = [len(cells(line)) for line in lines if line.startswith("|")]
    assert set(rows) <= {_IMAGE_CELLS, _FINDING_CELLS}
    assert rows.count(_IMAGE_CELLS) == 2 + len(found)
    listed = [len(report.findings) for report in found if report.findings]
    assert rows.count(_FINDING_CELLS) == sum(listed) + 2 * len(listed)
    for line in lines:
        foreign = re.sub(r"</?code>|&#\d+;|^#{2,3} |^\| | \||\|$", "", line)
        assert not re.search(r"[<>`*_\[\]\\&!@#$~|]|www\.", foreign), line


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_name_reads_as_it_may_be_shown(name: bytes) -> None:
    row = text(replace(VALID, filename=name)).splitlines()[4]
    shown = cells(row)[0].removeprefix("<code>").removesuffix("</code>")
    assert html.unescape(shown) == printable(name)


def test_details_follow_for_images_that_have_any() -> None:
    said = text(VALID, INVALID, UNREADABLE, REPAIRED)
    assert said.count("\n### ") == 3
    assert all(finding.rule in said for finding in INVALID.findings)
    assert "ACW-BMP-002" in said
    assert "vm/disk.add-cow.backup" in said
    assert "Permission denied" in said
