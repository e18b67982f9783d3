"""Any report can be written in every format, and what machines read gives the findings back.

What people read has no control characters, and its tags are closed in order. Options: as those of `image`,
then whether the disk is counted in parts, whether several reports are asked for, whether there is colour, and
in two bits which formats.
"""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from addcow_conformance.report import FORMATS, render
from addcow_fuzz._agreement import check_input, reading_of
from addcow_fuzz._files import InputFiles
from addcow_fuzz._made import take_apart
from addcow_fuzz._main import fuzz
from addcow_fuzz.invariants import Finding, strict
from addcow_fuzz.mutators import crossover_files as custom_crossover
from addcow_fuzz.mutators import mutate_files as custom_mutator

if TYPE_CHECKING:
    from collections.abc import Callable

    from addcow_conformance.checker import Report

__all__ = ["check_one", "custom_crossover", "custom_mutator"]

_BUCKETS, _MANY, _COLOR = 8, 16, 32
_PARTS = 16
# By the two highest bits: writing in all formats takes ten times as long as checking.
_FORMATS = (FORMATS, ("json", "sarif", "junit"), ("human", "markdown", "github", "jsonl"), ("html",))
_COLORS = re.compile(r"\x1b\[[0-9;]*m")
# Elements of HTML that have no end.
_VOID = frozenset({"area", "base", "br", "col", "hr", "img", "input", "link", "meta", "source", "wbr"})


def check_one(data: bytes) -> None:
    """Check the files of an input, and write the report in every format.

    Raises:
        Finding: it cannot be written, or not be read again.
    """
    options, records = take_apart(data)
    buckets = _PARTS if options & _BUCKETS else 0
    report = check_input(InputFiles(records).opener, reading_of(options), buckets=buckets)
    for output in _FORMATS[options >> 6]:
        with strict(output):
            text = "".join(
                render([report], output=output, many=bool(options & _MANY), color=bool(options & _COLOR))
            )
        _judge_characters(output, text)
        read = _READERS.get(output)
        if read:
            _judge_reading(output, text, report, read)


def _judge_characters(output: str, text: str) -> None:
    odd = next((char for char in _COLORS.sub("", text) if not char.isprintable() and char not in "\n\t"), "")
    if odd:
        raise Finding("report", f"it has the character {odd!r}", operation=output, site="characters")


def _judge_reading(output: str, text: str, report: Report, read: Callable[[str], list[str]]) -> None:
    try:
        rules = read(text)
    except (ValueError, LookupError, ET.ParseError) as error:
        raise Finding("report", f"it cannot be read: {error}", operation=output, site="parse") from error
    if rules != [finding.rule for finding in report.findings]:
        raise Finding("report", f"it tells of {rules}", operation=output, site="findings")


# --- readers: the rules of the findings, in order


def _read_json(text: str) -> list[str]:
    found = json.loads(text)
    (check,) = found if isinstance(found, list) else [found]
    return [finding["rule"] for finding in check["findings"]]


def _read_sarif(text: str) -> list[str]:
    (run,) = json.loads(text)["runs"]
    return [result["ruleId"] for result in run["results"]]


def _read_junit(text: str) -> list[str]:
    root = ET.fromstring(text)  # noqa: S314 - the project's own writing, of bounded length
    found = root.iterfind(".//testcase/properties/property[@name='rule']")
    return [each.attrib["value"] for each in found]


class _Tags(HTMLParser):
    """Holds every tag to be closed, the last one first, and keeps the rules of the findings."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.rules: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """A tag begins."""
        del attrs
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """A tag of SVG that ends itself."""

    def handle_data(self, data: str) -> None:
        """The id of a rule is code in the heading of a finding."""
        if self.open[-2:] == ["h4", "code"]:
            self.rules.append(data)

    def handle_endtag(self, tag: str) -> None:
        """A tag ends."""
        if not self.open or self.open.pop() != tag:
            raise ValueError(f"</{tag}> closes nothing")


def _read_html(text: str) -> list[str]:
    tags = _Tags()
    tags.feed(text)
    tags.close()
    if tags.open:
        raise ValueError(f"<{tags.open[-1]}> is not closed")
    return tags.rules


_READERS: dict[str, Callable[[str], list[str]]] = {
    "json": _read_json,
    "jsonl": _read_json,
    "sarif": _read_sarif,
    "junit": _read_junit,
    "html": _read_html,
}


if __name__ == "__main__":
    fuzz("report")
