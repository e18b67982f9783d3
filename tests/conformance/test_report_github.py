"""The github format: annotations that the service takes as they are meant."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import NamedTuple

import pytest

from addcow_conformance.checker import Report
from addcow_conformance.report import render
from addcow_spec.rules import Profile, Severity
from addcow_spec.text import printable
from tests.conformance.report_samples import INVALID, UNREADABLE, VALID
from tests.conformance.strategies import HOSTILE_NAMES

_COMMAND = re.compile(r"::(?P<command>[a-z]+) file=(?P<file>[^,:]*),title=(?P<title>[^,:]*)::(?P<message>.*)")
_ESCAPES = {"%3A": ":", "%2C": ",", "%0A": "\n", "%0D": "\r", "%25": "%"}


class Annotation(NamedTuple):
    command: str
    file: str
    title: str
    message: str


def read(value: str) -> str:
    return re.sub("%..", lambda found: _ESCAPES[found[0]], value)


def annotated(*found: Report) -> tuple[list[Annotation], str]:
    *lines, last = "".join(render(found, output="github", many=True, color=False)).splitlines()
    matches = [_COMMAND.fullmatch(line) for line in lines]
    return [Annotation(*map(read, match.groups())) for match in matches if match], last


def test_levels_become_commands() -> None:
    found, last = annotated(VALID, INVALID)
    assert [(a.command, a.title.split()[0]) for a in found] == [
        ("error", "ACW-NAM-001"),
        ("error", "ACW-FEA-003"),
        ("warning", "ACW-HDR-004"),
        ("warning", "ACW-BMP-003"),
        ("error", "ACW-ENV-002"),
    ]
    assert found[4].file == "/srv/images/root.raw"
    assert not last.startswith("::")


def test_at_most_ten_of_each_level_are_written_and_the_rest_counted() -> None:
    note = INVALID.findings[0]._replace(rule="ACW-BMP-004")
    report = replace(
        INVALID,
        findings=(*(INVALID.findings[0],) * 13, *(note,) * 4),
        counts={Severity.ERROR: 13, Severity.NOTE: 4},
    )
    found, last = annotated(report, UNREADABLE)
    commands = [annotation.command for annotation in found]
    assert (commands.count("error"), commands.count("notice")) == (10, 4)
    assert re.search(r"\b13 errors\b", last)
    assert re.search(r"\b4 not annotated\b", last)


def test_incomplete_check_is_an_error() -> None:
    (annotation,), _ = annotated(UNREADABLE)
    assert (annotation.command, annotation.file) == ("error", "gone.add-cow")


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_name_is_one_property_of_one_command(name: bytes) -> None:
    finding = INVALID.findings[0]._replace(actual=f"{printable(name)}")
    report = Report(name, Profile.REVIEWED, findings=(finding,), counts={Severity.ERROR: 1})
    (annotation,), last = annotated(report)
    assert annotation.file == printable(name)
    assert printable(name) in annotation.message
    assert "forged" not in last
