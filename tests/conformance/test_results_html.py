"""The page of a run, taken apart without a browser."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import replace
from hashlib import sha256
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings

from addcow_conformance.results import Outcome, Run, render
from tests.conformance.result_samples import (
    FAILED,
    GREEN,
    HOSTILE_TEXTS,
    KNOWN,
    RED,
    hostile_run,
    run_of,
    runs,
)

VOID = {"meta", "input"}


class Page(HTMLParser):
    """Tags with their attributes, and the text; tags that are not balanced fail."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: dict[str, list[str]] = {}
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.setdefault(self._open[-1] if self._open else "", []).append(data)

    def values(self, attribute: str) -> list[str | None]:
        return [attrs[attribute] for _, attrs in self.tags if attribute in attrs]


def accept(run: Run) -> Page:
    page = Page("".join(render(run, output="html")))
    assert page.values("href") == page.values("src") == page.values("style") == []
    assert len(page.values("id")) == len(set(page.values("id")))
    assert not {"script", "link", "img", "iframe", "form"} & {tag for tag, _ in page.tags}
    assert not [name for _, attrs in page.tags for name in attrs if name.startswith("on")]
    (style,) = page.text["style"]
    digest = b64encode(sha256(style.encode()).digest()).decode()
    policy = str(next(attrs["content"] for _, attrs in page.tags if "http-equiv" in attrs))
    assert policy.split("; ")[:2] == ["default-src 'none'", f"style-src 'sha256-{digest}'"]
    assert "@import" not in style
    assert "url(" not in style
    return page


@settings(max_examples=25, deadline=None)
@given(run=runs())
def test_any_run_makes_a_sound_page(run: Run) -> None:
    accept(run)


@pytest.mark.parametrize("text", [text for text in HOSTILE_TEXTS if text.strip()])
def test_texts_add_no_element_and_no_attribute(text: str) -> None:
    def shape(run: Run) -> list[tuple[str, dict[str, str | None]]]:
        return [found for found in accept(run).tags if found[0] != "meta"]

    assert shape(hostile_run(text)) == shape(hostile_run("tame"))


def test_only_deviations_are_unfolded() -> None:
    cases = [attrs for tag, attrs in accept(RED).tags if tag == "details"]
    assert len(cases) == len(RED.results)
    unfolded = [str(attrs["class"]).split()[1] for attrs in cases if "open" in attrs]
    assert unfolded == [result.outcome for result in RED.deviations]
    assert not [attrs for tag, attrs in accept(GREEN).tags if tag == "details" and "open" in attrs]


def test_script_and_last_words_are_there_as_they_are() -> None:
    told = "".join(accept(run_of(FAILED)).text["pre"])
    assert told.split("\n\n") == ["\n" + "\n".join(FAILED.said), FAILED.script]


def test_every_outcome_there_is_can_be_left_out() -> None:
    ids = accept(RED).values("id")
    assert [f"show-{outcome}" for outcome in Outcome] == [i for i in ids if str(i).startswith("show-")]
    (style,) = accept(RED).text["style"]
    for outcome in Outcome:
        assert f"body:has(#show-{outcome}:not(:checked)) .case.{outcome}" in style
    assert "show-crash" not in accept(GREEN).values("id")


def test_known_failures_stand_apart() -> None:
    page = accept(run_of(FAILED, KNOWN, replace(KNOWN, case="ACW-DYN-009/v4/x", known=None)))
    assert [text.partition(":")[0] for text in page.text["h2"]] == ["Not as expected", "Known"]


def test_page_of_many_cases_stays_small() -> None:
    cases = [replace(FAILED, case=f"ACW-DYN-003/v10/{n}", outcome=Outcome.PASS) for n in range(1000)]
    assert len("".join(render(run_of(*cases), output="html"))) < 4_000_000
