"""The catalogue: every entry well formed, and nothing in it that no reader could use."""

from __future__ import annotations

import re
import tomllib
from datetime import date
from importlib import resources
from itertools import groupby

import pytest

from addcow_spec.rules import Level, Profile, Repair, Rule, Severity, Source, Stage, catalogue, rule

RULES = pytest.mark.parametrize("subject", catalogue().values(), ids=lambda subject: subject.id)

ADD_COW = ("v4", "v6", "v10")
QCOW2 = ("qcow2v2", "qcow2v3")
DOCUMENTS = {"add-cow v4", "add-cow v6", "add-cow v10", "qcow2 version 3", "this project"}
FAMILIES = ("HDR", "NAM", "FEA", "BMP", "SIZ", "CHN", "ENV", "QC2", "DYN")

# What the bytes of one file can show is static; what takes a running program to break is dynamic.
STATIC_STAGES = {Stage.MALFORMED, Stage.INVALID, Stage.ENVIRONMENT}
DYNAMIC_STAGES = {Stage.BEHAVIOUR, Stage.DURABILITY}


def raw() -> list[dict[str, object]]:
    entries = tomllib.loads(resources.files("addcow_spec").joinpath("rules.toml").read_text(encoding="utf-8"))
    assert entries.keys() == {"rule"}
    listed: list[dict[str, object]] = entries["rule"]
    return listed


def test_every_entry_of_the_file_is_in_the_catalogue() -> None:
    # A repeated id would silently replace the first one in a dictionary.
    assert [entry["id"] for entry in raw()] == list(catalogue())


def test_families_stand_together_in_order_and_are_numbered_without_gaps() -> None:
    parts = [rule_id.split("-") for rule_id in catalogue()]
    runs = [
        (family, [number for _, _, number in run]) for family, run in groupby(parts, key=lambda part: part[1])
    ]
    assert tuple(family for family, _ in runs) == FAMILIES
    for _, numbers in runs:
        assert numbers == [f"{number:03}" for number in range(1, len(numbers) + 1)]


def test_all_rules_of_each_kind_are_there() -> None:
    static = {subject.id for subject in catalogue().values() if subject.check == "static"}
    dynamic = set(catalogue()) - static
    assert len([rule_id for rule_id in dynamic if rule_id.startswith("ACW-DYN-")]) == 14
    assert not [rule_id for rule_id in static if rule_id.startswith("ACW-DYN-")]


@RULES
def test_types(subject: Rule) -> None:
    assert re.fullmatch(r"ACW-[A-Z][A-Z0-9]{2}-\d{3}", subject.id)
    assert isinstance(subject.stage, Stage)
    assert isinstance(subject.repair, Repair)
    assert list(subject.level) == [Profile.AS_WRITTEN, Profile.REVIEWED]
    assert all(isinstance(level, Level) for level in subject.level.values())
    assert all(isinstance(source, Source) for source in subject.sources)


@RULES
def test_revisions_are_of_one_format_and_in_order(subject: Rule) -> None:
    known = QCOW2 if "-QC2-" in subject.id else ADD_COW
    assert subject.revisions
    assert subject.revisions == tuple(revision for revision in known if revision in subject.revisions)


@RULES
def test_check_fits_the_stage(subject: Rule) -> None:
    assert subject.stage in (STATIC_STAGES if subject.check == "static" else DYNAMIC_STAGES)


@RULES
def test_a_rule_holds_in_some_profile(subject: Rule) -> None:
    assert set(subject.level.values()) != {Level.ABSENT}


@RULES
def test_what_cannot_be_parsed_is_an_error_in_both_profiles(subject: Rule) -> None:
    if subject.stage is Stage.MALFORMED:
        assert set(subject.level.values()) == {Level.MUST}


@RULES
def test_only_what_a_file_says_can_be_repaired(subject: Rule) -> None:
    if subject.repair is not Repair.NONE:
        assert subject.stage is Stage.INVALID
        assert subject.check == "static"
        assert f"--repair {subject.repair}" in subject.hint


@RULES
def test_texts(subject: Rule) -> None:
    assert re.fullmatch(r"\S.*\S\.", subject.statement)
    assert re.fullmatch(r"\S.*\S\.", subject.hint)
    assert re.fullmatch(r"\S.*[^.\s]", subject.title)
    assert len(subject.title) <= 60


@RULES
def test_sources(subject: Rule) -> None:
    assert subject.sources
    assert len(set(subject.sources)) == len(subject.sources)
    for source in subject.sources:
        assert source.document in DOCUMENTS
        assert source.section
        assert date.fromisoformat(source.date)
        assert str(source).startswith(f"{source.document}, {source.section}")


def test_titles_tell_rules_apart() -> None:
    titles = [subject.title for subject in catalogue().values()]
    assert len(set(titles)) == len(titles)


def test_rule_finds_by_id() -> None:
    assert rule("ACW-HDR-001") is catalogue()["ACW-HDR-001"]
    with pytest.raises(KeyError):
        rule("ACW-HDR-999")


def test_anchor_is_the_chapter_and_the_id() -> None:
    assert rule("ACW-HDR-001").anchor == "spec/02-header.md#acw-hdr-001"


@pytest.mark.parametrize(
    ("level", "severity"),
    [
        (Level.MUST, Severity.ERROR),
        (Level.SHOULD, Severity.WARNING),
        (Level.NOTE, Severity.NOTE),
        (Level.ABSENT, None),
    ],
)
def test_severity_of_a_level(level: Level, severity: Severity | None) -> None:
    assert level.severity is severity


def test_source_names_the_reviewer_between_section_and_date() -> None:
    assert str(Source("add-cow v6", "Data", "", "2011-12-29")) == "add-cow v6, Data, 2011-12-29"
    assert str(Source("add-cow v6", "Data", "A B", "2011-12-29")) == "add-cow v6, Data, A B, 2011-12-29"
