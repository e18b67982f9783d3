"""The page of a run as Chromium shows it: on a desk and a phone, light and dark, filtered, by keyboard."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from addcow_conformance.results import Outcome, Run, render
from tests.conformance.browser import chromium
from tests.conformance.result_samples import FAILED, GREEN, HOSTILE_TEXTS, RED, hostile_run, run_of
from tests.conformance.test_report_html_browser import DESK, LOW_CONTRAST, PHONE, UNFOLD, Opener

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conformance.browser import Browser

pytestmark = pytest.mark.system

VISIBLE = "[...document.querySelectorAll('.case')].filter(c => c.checkVisibility()).length"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture
def show(browser: Browser, tmp_path: Path) -> Opener:
    return Opener(browser, tmp_path)


def page(run: Run) -> str:
    return "".join(render(run, output="html"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [DESK, PHONE])
@pytest.mark.parametrize("run", [RED, GREEN, *map(hostile_run, HOSTILE_TEXTS[::6])])
def test_page_fits_is_legible_and_asks_for_nothing(show: Opener, run: Run, width: int, scheme: str) -> None:
    browser = show.text(page(run), width=width, scheme=scheme)
    browser.evaluate(UNFOLD)
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    contrast = browser.evaluate(LOW_CONTRAST)
    assert contrast["bad"] == []
    assert contrast["seen"] > 50
    assert browser.requests == [show.path.as_uri()]
    assert browser.complaints == []


def test_dark_and_light_are_different(show: Opener) -> None:
    ground = "getComputedStyle(document.querySelector('.banner')).backgroundColor"
    light = show.text(page(RED)).evaluate(ground)
    assert show.text(page(RED), scheme="dark").evaluate(ground) != light
    assert show.text(page(GREEN)).evaluate(ground) != light


@pytest.mark.parametrize("outcome", Outcome)
def test_outcome_is_left_out_on_demand(show: Opener, outcome: Outcome) -> None:
    browser = show.text(page(RED))
    assert browser.evaluate(VISIBLE) == len(RED.results)
    browser.evaluate(f"document.querySelector('label:has(#show-{outcome})').click()")
    assert browser.evaluate(VISIBLE) == len(RED.results) - RED.counts[outcome]
    browser.evaluate(f"document.querySelector('label:has(#show-{outcome})').click()")
    assert browser.evaluate(VISIBLE) == len(RED.results)


def test_script_is_copied_as_it_is(show: Opener) -> None:
    browser = show.text(page(run_of(FAILED)), width=PHONE)
    script = browser.evaluate("document.querySelector('pre[aria-label=Script]').textContent")
    assert script == FAILED.script


@pytest.mark.parametrize("text", HOSTILE_TEXTS)
def test_texts_are_text_and_nothing_else(show: Opener, text: str) -> None:
    browser = show.text(page(hostile_run(text)))
    assert browser.evaluate("document.querySelectorAll('script, img, iframe, object, form, a').length") == 0
    assert browser.evaluate("document.querySelectorAll('h1').length") == 1
    assert browser.complaints == []


def test_everything_is_reached_by_keyboard(show: Opener) -> None:
    browser = show.text(page(RED), width=PHONE)
    expected = browser.evaluate("""(() => {
        const all = [...document.querySelectorAll('input, summary, [tabindex]')];
        const found = all.filter(element => element.checkVisibility());
        found.forEach((element, number) => element.dataset.number = number);
        return found.length;
    })()""")
    reached = set()
    for _ in range(2 * expected):
        browser.press("Tab", 9)
        reached.add(browser.evaluate("document.activeElement.dataset.number"))
    assert {str(number) for number in range(expected)} <= reached


def test_paper_shows_all_of_it(show: Opener) -> None:
    hidden = "[...document.querySelectorAll('.case dl')].filter(part => !part.checkVisibility()).length"
    browser = show.text(page(RED))
    assert browser.evaluate(hidden) == len(RED.results) - len(RED.deviations)
    browser.emulate_print()
    assert browser.evaluate(hidden) == 0
