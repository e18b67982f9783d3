"""What the document says of the long campaign is what its page has."""

from __future__ import annotations

import re

import pytest

from addcow_fuzz.targets import TARGETS
from tests.repo.tree import ROOT

TEXT = (ROOT / "fuzz/CAMPAIGN.md").read_text("utf-8")
PAGE = (ROOT / "fuzz/campaign.html").read_text("utf-8")
ROW = r"^\| {} \| ([\d,]+) \| ([\d,]+) \| ([\d,]*) ?\| ([\d,]+) \|$"
FIGURES = re.compile(r"([\d,]+) executions in (\d+) slices and \d+ minutes; ([\d,]+) edges; ([\d,]+) inputs")


@pytest.mark.parametrize(("number", "name"), list(enumerate(TARGETS)))
def test_figures_of_a_target_are_those_of_the_page(number, name):
    slices, executions, edges, inputs = re.search(ROW.format(name), TEXT, re.MULTILINE).groups()
    assert FIGURES.findall(PAGE)[number] == (executions, slices, edges, inputs)


def test_sum_is_that_of_the_page():
    slices, executions, _, inputs = re.search(ROW.format("all"), TEXT, re.MULTILINE).groups()
    assert f"{len(TARGETS)} targets, {executions} executions" in PAGE
    assert {slices, inputs} <= set(re.findall(r">([\d,]+)<", PAGE))
