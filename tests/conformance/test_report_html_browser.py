"""The HTML report as Chromium shows it: on a desk and a phone, light and dark, by keyboard, on paper."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from addcow_conformance.report._bitmap_picture import COLUMNS, STRIP_HEIGHT
from addcow_conformance.report.html import render
from addcow_spec.text import printable
from tests.conformance.browser import chromium
from tests.conformance.html_samples import BROKEN, GALLERY, LONG_CHAIN, TEBIBYTE, TRUNCATED, named
from tests.conformance.report_samples import INVALID, VALID
from tests.conformance.strategies import HOSTILE_NAMES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from addcow_conformance.checker import Report
    from tests.conformance.browser import Browser

pytestmark = pytest.mark.system

DESK, PHONE = 1280, 360

LOW_CONTRAST = """(() => {
    const channel = c => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    const parts = color => color.match(/[\\d.]+/g).map(Number);
    const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
    const ground = element => {
        for (let e = element; e; e = e.parentElement) {
            const color = parts(getComputedStyle(e).backgroundColor);
            if (color[3] !== 0) return color;
        }
        return [255, 255, 255];
    };
    const bad = [], seen = new Set();
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
        const element = walker.currentNode.parentElement;
        if (!walker.currentNode.data.trim() || seen.has(element) || !element.checkVisibility()) continue;
        seen.add(element);
        const [a, b] = [light(parts(getComputedStyle(element).color)), light(ground(element))];
        const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        if (ratio < 4.5) bad.push([element.outerHTML.slice(0, 80), ratio]);
    }
    return {bad, seen: seen.size};
})()"""

UNFOLD = "document.querySelectorAll('details').forEach(d => d.open = true)"

COLUMN_HEIGHTS = f"""[...document.querySelectorAll('.strips svg')].map(svg =>
    [...Array({COLUMNS}).keys()].map(column => ['image', 'backing', 'zeros'].map(kind => {{
        const path = svg.querySelector('path.' + kind);
        let height = 0;
        for (let y = 0.5; path && y < {STRIP_HEIGHT}; y++)
            height += path.isPointInFill(new DOMPoint(column + 0.5, y));
        return height;
    }})))"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


class Opener:
    """Writes pages and opens them."""

    def __init__(self, browser: Browser, folder: Path) -> None:
        self.browser = browser
        self.path = folder / "page.html"

    def text(self, text: str, *, fragment: str = "", width: int = DESK, scheme: str = "light") -> Browser:
        self.path.write_text(text, encoding="utf-8")
        self.browser.open(self.path.as_uri() + fragment, width=width, scheme=scheme)
        return self.browser

    def reports(self, *found: Report, **options: Any) -> Browser:
        return self.text("".join(render(found, many=len(found) > 1, color=True)), **options)


@pytest.fixture
def show(browser: Browser, tmp_path: Path) -> Opener:
    return Opener(browser, tmp_path)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [DESK, PHONE])
def test_page_fits_is_legible_and_asks_for_nothing(show: Opener, width: int, scheme: str) -> None:
    browser = show.reports(*GALLERY, width=width, scheme=scheme)
    assert browser.evaluate("innerWidth") == width
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    browser.evaluate(UNFOLD)
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    contrast = browser.evaluate(LOW_CONTRAST)
    assert contrast["bad"] == []
    assert contrast["seen"] > 1000
    assert browser.requests == [show.path.as_uri()]
    assert browser.complaints == []


def test_the_checks_of_this_module_notice_a_bad_page(show: Opener) -> None:
    browser = show.text("<img src=missing.png><script>console.error(1)</script><p style='color:#999'>pale")
    assert len(browser.requests) == 2
    assert len(browser.complaints) >= 2
    assert len(browser.evaluate(LOW_CONTRAST)["bad"]) == 1


def test_dark_and_light_are_different(show: Opener) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    light = show.reports(VALID, scheme="light").evaluate(ground)
    assert show.reports(VALID, scheme="dark").evaluate(ground) != light


def test_page_names_its_language_schemes_and_subject(show: Opener) -> None:
    browser = show.reports(BROKEN)
    assert browser.evaluate("document.documentElement.lang") == "en"
    assert browser.evaluate("document.querySelector('meta[name=color-scheme]').content") == "light dark"
    assert (
        browser.evaluate("document.title")
        == f"invalid: \u2068{printable(BROKEN.filename)}\u2069 - addcow-check"
    )


@pytest.mark.parametrize("report", [BROKEN, TRUNCATED, INVALID])
def test_findings_on_header_bytes_are_pinned_and_linked_both_ways(show: Opener, report: Report) -> None:
    browser = show.reports(report)
    in_header = [
        number
        for number, finding in enumerate(report.findings, 1)
        if finding.file == 0 and finding.span and finding.span.offset < 4096
    ]
    pins = "[...document.querySelectorAll('.hex a.pin')].map(a => [a.id, a.hash])"
    assert sorted(browser.evaluate(pins)) == [[f"i0p{number}", f"#i0f{number}"] for number in in_header]
    back = "[...document.querySelectorAll('.finding a.show')].map(a => a.hash)"
    assert browser.evaluate(back) == [f"#i0p{number}" for number in in_header]


def test_mark_is_drawn_under_its_bytes(show: Opener) -> None:
    """The first finding is on bytes 20 to 27, one run of bytes of the second line for each of two fields."""
    browser = show.reports(BROKEN)
    left, right = browser.evaluate("""(() => {
        const row = document.querySelector('.hex tr.mark');
        const runs = [...row.previousElementSibling.cells[1].children].filter(run => run.matches('.f4, .f5'));
        const [first, last, mark] = [runs[0], runs.at(-1), row.querySelector('.under')]
            .map(element => element.getBoundingClientRect());
        return [first.left - mark.left, last.right - mark.right];
    })()""")
    assert abs(left) < 3
    assert abs(right) < 3


@pytest.mark.parametrize("number", [1, 30])
def test_link_to_a_folded_finding_unfolds_it(show: Opener, number: int) -> None:
    browser = show.reports(LONG_CHAIN, fragment=f"#i0f{number}")
    assert browser.evaluate(f"document.getElementById('i0f{number}').closest('details').open") is True


def test_folded_layers_are_hidden_until_asked_for(show: Opener) -> None:
    visible = "[...document.querySelectorAll('.card')].filter(card => card.checkVisibility()).length"
    browser = show.reports(LONG_CHAIN, width=PHONE)
    assert browser.evaluate(visible) == 15
    browser.evaluate(UNFOLD)
    assert browser.evaluate(visible) == len(LONG_CHAIN.files)


@pytest.mark.parametrize("width", [DESK, PHONE])
def test_bitmap_picture_has_a_true_column_for_every_bucket(show: Opener, width: int) -> None:
    assert TEBIBYTE.bitmap is not None
    browser = show.reports(TEBIBYTE, width=width)
    columns = [column for strip in browser.evaluate(COLUMN_HEIGHTS) for column in strip]
    assert len(columns) == len(TEBIBYTE.bitmap.buckets)
    for heights, bucket in zip(columns, TEBIBYTE.bitmap.buckets, strict=True):
        assert sum(heights) == STRIP_HEIGHT
        assert [height > 0 for height in heights] == [count > 0 for count in bucket]
        shares = [count / sum(bucket) for count in bucket]
        assert all(abs(h / STRIP_HEIGHT - s) <= 0.13 for h, s in zip(heights, shares, strict=True))
    sizes = (
        "[...document.querySelectorAll('.strips svg, .bar')].map(svg => svg.getBoundingClientRect().width)"
    )
    assert min(browser.evaluate(sizes)) > width / 2


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_names_are_text_and_nothing_else(show: Opener, name: bytes) -> None:
    browser = show.reports(named(name))
    assert browser.evaluate("document.querySelectorAll('script, img, iframe, object, form').length") == 0
    shown = browser.evaluate("[...document.querySelectorAll('.card b bdi')].map(b => b.textContent)")
    assert shown == [printable(b"dir/" + name), *[printable(name)] * 3]
    assert browser.complaints == []


def test_everything_is_reached_by_keyboard(show: Opener) -> None:
    browser = show.reports(BROKEN, TEBIBYTE, width=PHONE)
    boxes = "[...document.querySelectorAll('.hexbox, .tablebox')].map(box => box.getAttribute('tabindex'))"
    assert browser.evaluate(boxes) == ["0"] * 3
    expected = browser.evaluate("""(() => {
        const all = [...document.querySelectorAll('a[href], summary, [tabindex]')];
        const found = all.filter(element => element.checkVisibility());
        found.forEach((element, number) => element.dataset.number = number);
        return found.length;
    })()""")
    reached = set()
    for _ in range(2 * expected):
        browser.press("Tab", 9)
        reached.add(browser.evaluate("document.activeElement.dataset.number"))
        outline = browser.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none" or browser.evaluate("document.activeElement === document.body")
    assert {str(number) for number in range(expected)} <= reached


def test_paper_shows_all_of_it(show: Opener) -> None:
    parts = "[...document.querySelectorAll('.finding dl, .card')]"
    hidden = f"{parts}.filter(part => !part.checkVisibility()).length"
    browser = show.reports(LONG_CHAIN)
    assert browser.evaluate(hidden) > 100
    browser.emulate_print()
    assert browser.evaluate(hidden) == 0
    assert browser.evaluate("getComputedStyle(document.querySelector('.hexbox')).overflowX") == "visible"


def test_without_chromium_the_reason_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda _: None)
    with pytest.raises(pytest.skip.Exception, match="Debian package chromium"), chromium():
        pytest.fail("a browser was found")
