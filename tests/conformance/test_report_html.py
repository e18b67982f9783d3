"""The HTML report, taken apart without a browser."""

from __future__ import annotations

import sys
from base64 import b64encode
from dataclasses import replace
from hashlib import sha256
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from addcow_conformance import report as formats
from addcow_conformance.checker import BitmapSummary, Bucket, HeaderField
from addcow_conformance.report._bitmap_picture import STRIP_HEIGHT, bitmap_picture, percentage
from addcow_conformance.report._chain_diagram import chain_diagram
from addcow_conformance.report._hexview import hex_view
from addcow_conformance.report.html import render
from addcow_spec.errors import UsageError
from addcow_spec.model import Span
from tests.conformance.html_samples import BROKEN, GALLERY, LONG_CHAIN, TEBIBYTE, TRUNCATED, named
from tests.conformance.report_samples import INVALID, UNREADABLE, VALID
from tests.conformance.strategies import names, reports

if TYPE_CHECKING:
    from collections.abc import Iterable

    from addcow_conformance.checker import Report
    from addcow_conformance.report._hexview import HexLine

VOID = {"meta"}
TAGS = set(
    """
    html head meta title style body header main nav article section h1 h2 h3 h4 p a ol ul li dl dt dd div
    span b bdi code table thead tbody tr th td details summary svg rect path
    """.split()  # noqa: SIM905 - a list of 38 quoted names reads worse
)


class Page(HTMLParser):
    """What a test asks of a page; anything but balanced tags of the known kinds fails."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, tuple[str, ...]]] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.text: list[str] = []
        self.policy = ""
        self.style = ""
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in TAGS
        values = dict(attrs)
        self.tags.append((tag, tuple(values)))
        self.ids += [value for name, value in attrs if name == "id" and value]
        self.links += [value for name, value in attrs if name in ("href", "src") and value]
        if values.get("http-equiv") == "Content-Security-Policy":
            self.policy = values["content"] or ""
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in {"rect", "path"}
        self.tags.append((tag, tuple(dict(attrs))))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] == "style":
            self.style += data
        else:
            self.text.append(data)


def page(found: Iterable[Report], *, many: bool = False) -> str:
    return "".join(render(found, many=many, color=False))


def accept(text: str) -> Page:
    parsed = Page(text)
    assert [link for link in parsed.links if not link.startswith("#")] == []
    assert len(parsed.ids) == len(set(parsed.ids))
    assert {link.removeprefix("#") for link in parsed.links} <= set(parsed.ids)
    assert not [names for _, names in parsed.tags if any(n.startswith("on") or n == "style" for n in names)]
    digest = b64encode(sha256(parsed.style.encode()).digest()).decode()
    assert parsed.policy.split("; ")[:2] == ["default-src 'none'", f"style-src 'sha256-{digest}'"]
    assert "@import" not in parsed.style
    assert "url(" not in parsed.style
    return parsed


@settings(max_examples=25, deadline=None)
@given(found=st.lists(reports(), max_size=2))
def test_any_report_makes_a_sound_page(found: list[Report]) -> None:
    accept(page(found, many=len(found) != 1))


@pytest.mark.parametrize("report", GALLERY)
def test_gallery_makes_sound_pages(report: Report) -> None:
    text = page([report])
    accept(text)
    text.encode("utf-8")
    title = text.partition("<title>")[2].partition("</title>")[0]
    assert (title.count("\u2068"), title.count("\u2069")) == (0, 0)
    assert (title.count("&#x2068;"), title.count("&#x2069;")) == (1, 1)
    assert {c for c in text if not c.isprintable()} == {"\n"}


@settings(max_examples=25, deadline=None)
@given(name=names())
def test_names_add_no_element_and_no_attribute(name: bytes) -> None:
    assert accept(page([named(name)])).tags == accept(page([named(b"tame")])).tags


def test_text_that_nobody_escaped_is_escaped() -> None:
    text = page([replace(UNREADABLE, problem="a\x1b[0m\n\u202e\udcff<b>")])
    assert "a\\u{1b}[0m\\u{a}\\u{202e}\\xed\\xb3\\xbf&lt;b&gt;" in text
    accept(text)


def test_index_leads_to_every_image() -> None:
    parsed = accept(page(GALLERY, many=True))
    assert parsed.tags.count(("article", ("id", "class", "aria-labelledby"))) == len(GALLERY)
    assert {f"#i{number}" for number in range(len(GALLERY))} <= set(parsed.links)


def test_page_of_no_image_is_a_page() -> None:
    accept(page([], many=True))


def line_bytes(line: HexLine) -> bytes:
    return bytes(line.end - line.offset) if line.folded else bytes.fromhex("".join(r.hex for r in line.runs))


@settings(max_examples=25, deadline=None)
@given(report=reports(), zeros=st.integers(0, 200))
def test_hex_view_shows_every_byte_once(report: Report, zeros: int) -> None:
    report = replace(report, header=report.header + bytes(zeros) + report.header)
    lines = hex_view(report).lines
    assert b"".join(map(line_bytes, lines)) == report.header
    assert [line.offset for line in lines] == [0, *(line.end for line in lines)][: len(lines)]
    assert all(len(run.ascii) == len(bytes.fromhex(run.hex)) for line in lines for run in line.runs)


@settings(max_examples=25, deadline=None)
@given(report=reports(), spans=st.lists(st.builds(Span, st.integers(0, 330), st.integers(0, 40)), max_size=4))
def test_marks_stand_under_the_bytes_at_fault(report: Report, spans: list[Span]) -> None:
    template = INVALID.findings[0]
    found = tuple(template._replace(span=span) for span in spans)
    report = replace(report, findings=found, profile=INVALID.profile)
    view = hex_view(report)
    assert view.pinned == set(range(1, len(spans) + 1))
    for line in view.lines:
        shown = "".join(run.gap + run.hex for run in line.runs)
        for mark in line.marks:
            span = spans[mark.number - 1]
            stop = max(span.end, span.offset + 1)
            under = bytes.fromhex(shown[mark.pad : mark.pad + mark.width])
            assert under == report.header[span.offset : min(stop, line.end)]
            assert mark.until == (stop - 1 if stop > line.end else None)
    assert {mark.number for mark in view.end_marks} == {
        number for number, span in enumerate(spans, 1) if span.offset >= len(report.header)
    }


def test_a_byte_has_the_colour_of_its_shortest_field_and_of_its_worst_finding() -> None:
    fields = (
        HeaderField("reserved", Span(4, 2**40), ""),
        HeaderField("magic", Span(0, 4), 0),
        HeaderField("name", Span(6, 2), ""),
    )
    warning, error = INVALID.findings[2], INVALID.findings[1]
    findings = (error._replace(span=Span(5, 2)), warning._replace(span=Span(3, 3)))
    view = hex_view(replace(BROKEN, header=bytes(range(9)), fields=fields, findings=findings))
    assert [(run.classes, run.hex) for run in view.lines[0].runs] == [
        ("f1", "00 01 02"),
        ("f1 hit warning", "03"),
        ("f0 hit warning", "04"),
        ("f0 hit error", "05"),
        ("f2 hit error", "06"),
        ("f2", "07"),
        ("f0", "08"),
    ]


def test_zero_lines_are_folded_but_not_where_a_field_starts_or_a_finding_is() -> None:
    finding = INVALID.findings[2]._replace(span=Span(2048, 1))
    view = hex_view(replace(BROKEN, findings=(finding,)))
    folded = [(line.offset, line.end, line.folded) for line in view.lines if line.folded]
    assert folded == [(0x30, 0x800, 125), (0x810, 0x1000, 127)]


def test_finding_on_a_missing_header_byte_is_pinned_where_the_file_ends() -> None:
    view = hex_view(TRUNCATED)
    assert [mark.number for mark in view.end_marks] == [1]
    assert [mark for line in view.lines for mark in line.marks] == []


UNITS = st.integers(0, 9) | st.integers(0, 2**40)


@settings(max_examples=25, deadline=None)
@given(buckets=st.lists(st.builds(Bucket, UNITS, UNITS, UNITS), min_size=1, max_size=300))
def test_strips_cover_the_disk_and_hide_nothing(buckets: list[Bucket]) -> None:
    image, backing, zeros = map(sum, zip(*buckets, strict=True))
    units = image + backing + zeros
    picture = bitmap_picture(BitmapSummary(Span(4096, 0), 512, units, image, backing, tuple(buckets)))
    assert [strip.start for strip in picture.strips] == [0, *(strip.end for strip in picture.strips)][:-1]
    assert picture.strips[-1].end == units * 512
    assert [sum(kind) for kind in zip(*(strip.counts for strip in picture.strips), strict=True)] == [
        share.units for share in picture.shares
    ]
    assert sum(share.width for share in picture.shares) == (1000 if units else 0)
    for strip in picture.strips:
        assert [bool(path) for _, path in strip.paths] == [count > 0 for count in strip.counts]


def test_equal_columns_are_drawn_as_one() -> None:
    buckets = (Bucket(10, 0, 0), Bucket(10, 0, 0), Bucket(5, 5, 0))
    (strip,) = bitmap_picture(BitmapSummary(Span(4096, 0), 512, 30, 25, 5, buckets)).strips
    half = STRIP_HEIGHT // 2
    assert dict(strip.paths) == {
        "image": f"M0 0h2v{STRIP_HEIGHT}h-2zM2 {half}h1v{half}h-1z",
        "backing": f"M2 0h1v{half}h-1z",
        "zeros": "",
    }


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [
        (0, 0, "0 %"),
        (0, 7, "0 %"),
        (7, 7, "100 %"),
        (1, 3, "33.33 %"),
        (1, 10_000, "0.01 %"),
        (1, 10_001, "< 0.01 %"),
        (9_999, 10_000, "99.99 %"),
        (10_000, 10_001, "> 99.99 %"),
        (2**31 - 1, 2**31, "> 99.99 %"),
    ],
)
def test_percentages_never_round_to_nothing_or_all(part: int, whole: int, text: str) -> None:
    assert percentage(part, whole) == text


def test_page_of_a_large_disk_stays_small() -> None:
    assert len(page([TEBIBYTE])) < 200_000


@settings(max_examples=25, deadline=None)
@given(report=reports())
def test_diagram_shows_every_file_once(report: Report) -> None:
    diagram = chain_diagram(report.files)
    shown = [f.index for part in diagram for layer in part for f in (layer.file, *layer.beside)]
    assert sorted(shown) == [file.index for file in report.files]


def test_long_chain_is_folded() -> None:
    diagram = chain_diagram(LONG_CHAIN.files)
    assert tuple(map(len, diagram)) == (5, 192, 3)
    assert diagram.tail[-1].file is LONG_CHAIN.files[-1]
    assert all(len(layer.beside) == 1 for layer in diagram.middle)


def test_short_chain_is_not_folded() -> None:
    diagram = chain_diagram(VALID.files)
    shown = [(layer.file.index, [file.index for file in layer.beside]) for layer in diagram.head]
    assert shown == [(0, [1]), (2, [])]
    assert diagram.middle == diagram.tail == ()


def test_missing_jinja_is_a_usage_error_that_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    monkeypatch.delitem(sys.modules, "addcow_conformance.report.html")
    with pytest.raises(UsageError, match=r"add-cow-toolkit\[report\]") as caught:
        formats.render([VALID], output="html", many=False, color=False)
    assert "\n" not in str(caught.value)


def test_the_facade_gives_this_page() -> None:
    assert "".join(formats.render([BROKEN], output="html", many=False, color=True)) == page([BROKEN])
