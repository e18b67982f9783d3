"""The rule catalogue, typed. `rules.toml` beside this module is the one place where rules are stated."""

from __future__ import annotations

import os
from enum import StrEnum
from functools import cache
from typing import Any, Literal, NamedTuple

__all__ = ["Level", "Profile", "Repair", "Rule", "Severity", "Source", "Stage", "catalogue", "rule"]


class Profile(StrEnum):
    """Which statements count: the text of the revision alone, or with what the reviews settled."""

    REVIEWED = "reviewed"
    AS_WRITTEN = "as-written"


class Stage(StrEnum):
    """How a violation shows: in the bytes, in what they say, in other files, or in what a program does."""

    MALFORMED = "malformed"
    INVALID = "invalid"
    ENVIRONMENT = "environment"
    BEHAVIOUR = "behaviour"
    DURABILITY = "durability"


class Severity(StrEnum):
    """Weight of a finding, worst first."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


class Level(StrEnum):
    """Weight of a rule in a profile; ABSENT where the profile has no such rule."""

    MUST = "must"
    SHOULD = "should"
    NOTE = "note"
    ABSENT = "-"

    @property
    def severity(self) -> Severity | None:
        """Severity of a violation; None where there is nothing to violate."""
        return _SEVERITY.get(self)


_SEVERITY = {Level.MUST: Severity.ERROR, Level.SHOULD: Severity.WARNING, Level.NOTE: Severity.NOTE}


class Repair(StrEnum):
    """What may mend a violation, from nothing to what changes flags and sizes."""

    NONE = "none"
    SAFE = "safe"
    ALL = "all"


class Source(NamedTuple):
    """Where a rule comes from. ``reviewer`` is empty where it is the document's own text."""

    document: str
    section: str
    reviewer: str
    date: str

    def __str__(self) -> str:
        who = f", {self.reviewer}" if self.reviewer else ""
        return f"{self.document}, {self.section}{who}, {self.date}"


class Rule(NamedTuple):
    """A rule of the format.

    Attributes:
        id: stable identifier, ``ACW-`` family ``-`` number.
        title: short name.
        stage: how a violation shows.
        revisions: revisions that it holds for: v4, v6, v10, qcow2v2, qcow2v3.
        level: its weight by profile.
        check: ``static`` where the checker judges files by it, ``dynamic`` where only behaviour breaks it.
        repair: the least mode of ``--repair`` that may mend a violation.
        chapter: the chapter of ``spec/`` that explains it.
        statement: the rule.
        hint: what to do about a violation.
        sources: where it comes from.
    """

    id: str
    title: str
    stage: Stage
    revisions: tuple[str, ...]
    level: dict[Profile, Level]
    check: Literal["static", "dynamic"]
    repair: Repair
    chapter: str
    statement: str
    hint: str
    sources: tuple[Source, ...]

    def severity(self, profile: Profile) -> Severity:
        """Severity of a violation in a profile; KeyError where the profile has no such rule."""
        return _SEVERITY[self.level[profile]]

    @property
    def anchor(self) -> str:
        """Where the prose explains the rule, relative to the project's root."""
        return f"spec/{self.chapter}.md#{self.id.lower()}"


def _typed(entry: dict[str, Any]) -> Rule:
    return Rule(
        **entry
        | {
            "stage": Stage(entry["stage"]),
            "revisions": tuple(entry["revisions"]),
            "level": {Profile(profile): Level(level) for profile, level in entry["level"].items()},
            "repair": Repair(entry["repair"]),
            "sources": tuple(Source(**source) for source in entry["sources"]),
        }
    )


@cache
def catalogue() -> dict[str, Rule]:
    """All rules by id, in the order of the catalogue."""
    # A sound image needs no rule's text, so it does not pay for the parser either.
    import tomllib  # noqa: PLC0415

    with open(os.path.join(os.path.dirname(__file__), "rules.toml"), "rb") as file:
        entries = tomllib.load(file)["rule"]
    return {entry["id"]: _typed(entry) for entry in entries}


def rule(rule_id: str) -> Rule:
    """The rule of that id; KeyError where there is none."""
    return catalogue()[rule_id]
