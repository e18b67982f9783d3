"""The page of a campaign: what it says, and how Chromium shows it on a desk and a phone, light and dark."""

from __future__ import annotations

import os
import re

import pytest

from addcow_fuzz.campaign import Counters, Entry, Found, Result, Status, Store
from addcow_fuzz.campaign._curves import HEIGHT, WIDTH, curves
from addcow_fuzz.campaign._page import render
from addcow_fuzz.campaign._stats import Point, Tally
from tests.conformance.browser import chromium
from tests.conformance.result_samples import HOSTILE_TEXTS
from tests.conformance.test_report_html_browser import DESK, LOW_CONTRAST, PHONE, UNFOLD, Opener

KNOWN = {"fake:-:first:a": Entry("fake:-:first:a", "fake", Status.OPEN, "known since it was planted")}


NEVER = "disk: over a backing that is never seen, and of which more is said than has room in a line"


def campaign(path, detail="expected this, and saw that"):
    """A folder with two findings, and two targets of which one has not run."""
    store = Store(os.fspath(path / "campaign"))
    with store.locked():
        for letter in "ab":
            store.add_finding(Found(f"fake:-:first:{letter}", "fake", b"axy", b"a", detail, [97], ("log",)))
        tally = Tally()
        for number in range(1, 40):
            tally.add(
                Result((), (), Counters(1000 * number, 10 + number, 20, 30.0)),
                added=number % 2, found=number == 3, corpus=5 * number, now=1000.0 + number,
            )  # fmt: skip
        tally.reached = {"disk: seen": 2500, NEVER: 0, detail: 1}
        targets = {"fake": tally.as_json(), "idle-target": Tally().as_json()}
        store.keep_state({"format": 1, "slices": 39, "targets": targets})
    return store


def page(store, registry=KNOWN):
    return "".join(render(store, registry))


def test_page_tells_findings_and_targets(tmp_path):
    text = page(campaign(tmp_path))
    assert text.count('<details class="found" open>') == 1
    assert text.count('<details class="found">') == 1
    assert text.index("fake:-:first:b") < text.index("fake:-:first:a")
    assert text.count("<svg ") == 3
    assert "780,000 executions" in text
    assert "<script" not in text
    assert not re.search(r"(src|href)=|https?:", text)


def test_page_shows_states_that_are_never_reached_first(tmp_path):
    states = page(campaign(tmp_path)).partition('<details class="states" open>')[2]
    assert re.findall(r'<div(?: class="(never)")?><dt><bdi>(.*?)</bdi></dt><dd>(.*?)</dd>', states) == [
        ("never", NEVER, "never"),
        ("", "expected this, and saw that", "1"),
        ("", "disk: seen", "2,500"),
    ]


def test_folder_of_a_version_that_counted_no_states_gives_a_page(tmp_path):
    store = campaign(tmp_path)
    state = store.state()
    for told in state["targets"].values():
        del told["reached"]
    store.keep_state(state)
    assert 'class="states"' not in page(store)


def test_page_without_findings(tmp_path):
    store = Store(os.fspath(tmp_path / "campaign"))
    with store.locked():
        assert "<details" not in page(store)


def test_curves_rise_with_their_values():
    points = [Point(10.0, 100, 5, 1, 0, 10.0), Point(20.0, 200, 10, 2, 0, 10.0)]
    edges, rate, corpus = curves(points)
    assert edges.path == f"M0 {HEIGHT}H{WIDTH / 2}V{HEIGHT / 2}H{WIDTH:.1f}V0.0"
    assert (edges.largest, edges.last, rate.last, corpus.last) == (10, 10, 10, 2)
    assert curves([]) == []
    many = [Point(float(second), 0, 0, 0, 0, 0.0) for second in range(100_000)]
    assert all(len(curve.path) < 20_000 for curve in curves(many))


@pytest.fixture(scope="module")
def browser():
    with chromium() as running:
        yield running


@pytest.fixture
def show(browser, tmp_path):
    return Opener(browser, tmp_path)


@pytest.mark.system
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [DESK, PHONE])
def test_page_fits_is_legible_and_asks_for_nothing(show, tmp_path, width, scheme):
    browser = show.text(page(campaign(tmp_path)), width=width, scheme=scheme)
    browser.evaluate(UNFOLD)
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    contrast = browser.evaluate(LOW_CONTRAST)
    assert contrast["bad"] == []
    assert contrast["seen"] > 30
    assert browser.evaluate("[...document.querySelectorAll('.curve')].every(c => c.clientWidth > 100)")
    assert browser.evaluate("[...document.querySelectorAll('.states dd')].every(d => d.clientHeight < 40)")
    stroke = "getComputedStyle(document.querySelector('.curve path')).strokeWidth"
    assert browser.evaluate(stroke) == "2px"
    assert browser.requests == [show.path.as_uri()]
    assert browser.complaints == []


@pytest.mark.system
@pytest.mark.parametrize("text", HOSTILE_TEXTS)
def test_texts_are_text_and_nothing_else(show, tmp_path, text):
    browser = show.text(page(campaign(tmp_path, text)), width=PHONE)
    assert browser.evaluate("document.querySelectorAll('script, img, iframe, object, form, a').length") == 0
    assert browser.evaluate("document.documentElement.scrollWidth") <= PHONE
    assert browser.complaints == []
