"""The registry of findings, read from TOML: what is known, what was mended, and what stays as it is."""

from __future__ import annotations

import os
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

from addcow_conformance.results._toml_file import BadExpectations, only, parsed, read_bounded, text_of
from addcow_fuzz.campaign._model import NOT_REPRODUCED
from addcow_spec.errors import AddCowError
from addcow_spec.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["BadRegistry", "Entry", "Standing", "Status", "ignored", "load_registry", "standing"]

_NEEDED = ("token", "target", "status", "reason")
_KNOWN = (*_NEEDED, "issue", "input")


class BadRegistry(AddCowError):
    """A registry cannot be read, or says what makes no sense; the text is one line."""


class Status(StrEnum):
    """What is to be done about a finding."""

    OPEN = "open"
    FIXED = "fixed"
    LIMITATION = "limitation"


class Standing(StrEnum):
    """How a finding of a campaign stands to the registry."""

    NEW = "new"
    KNOWN = "known"
    BACK = "fixed, but back"
    NOT_REPRODUCED = "not reproduced"

    @property
    def is_news(self) -> bool:
        """Whether somebody has to look at it."""
        return self in {Standing.NEW, Standing.BACK}


class Entry(NamedTuple):
    """A finding that is known.

    Attributes:
        token: the finding's.
        target: name of the target that has it.
        status: what is to be done about it.
        reason: what it is, or was.
        issue: where it is spoken of; may be empty.
        input: path of an input that came to it; empty without one, which no fixed one is.
    """

    token: str
    target: str
    status: Status
    reason: str
    issue: str = ""
    input: str = ""


def load_registry(path: str) -> Mapping[str, Entry]:
    """The entries of a file, by their tokens.

    Args:
        path: a regular file of at most 1 MiB. Paths of inputs are relative to its directory.

    Raises:
        BadRegistry: there is no such file, or it is no registry.
    """
    try:
        return _entries(parsed(read_bounded(path)), os.path.dirname(path))
    except OSError as error:
        problem = os.strerror(error.errno or 0)
    except BadExpectations as error:
        problem = str(error)
    raise BadRegistry(f"{printable(os.fsencode(path))}: {problem}")


def _entries(document: dict[str, Any], home: str) -> Mapping[str, Entry]:
    only(document, ("finding",), "the file")
    listed = document.get("finding", [])
    if not isinstance(listed, list):
        raise BadExpectations("finding is no list of tables: write [[finding]] above each entry")
    entries: dict[str, Entry] = {}
    for number, table in enumerate(listed, 1):
        entry = _entry(table, f"entry {number}", home)
        if entries.setdefault(entry.token, entry) is not entry:
            raise BadExpectations(f"entry {number}: there is one for this token already: drop one")
    return entries


def _entry(table: object, place: str, home: str) -> Entry:
    if not isinstance(table, dict):
        raise BadExpectations(f"{place}: not a table: write [[finding]] above it")
    only(table, _KNOWN, place)
    for name in _NEEDED:
        if name not in table:
            raise BadExpectations(f"{place}: no {name}: add it")
    texts = {name: text_of(table[name], f"{place}: {name}") for name in _KNOWN if name in table}
    if texts["status"] not in set(Status):
        raise BadExpectations(f"{place}: status is none of {', '.join(Status)}: choose one")
    status = Status(texts["status"])
    named = texts.get("input", "")
    if status is Status.FIXED and not named:
        raise BadExpectations(f"{place}: fixed, and no input: name the one that came to it")
    if named.startswith("/") or ".." in named.split("/"):
        raise BadExpectations(f"{place}: input leads out of the registry's directory: change it")
    found = os.path.join(home, named) if named else ""
    if found and not os.path.isfile(found):
        raise BadExpectations(f"{place}: input is no file: add it, or change the path")
    return Entry(texts["token"], texts["target"], status, texts["reason"], texts.get("issue", ""), found)


def standing(token: str, registry: Mapping[str, Entry]) -> Standing:
    """How a finding stands to the registry."""
    if token.startswith(NOT_REPRODUCED):
        return Standing.NOT_REPRODUCED
    entry = registry.get(token)
    if entry is None:
        return Standing.NEW
    return Standing.BACK if entry.status is Status.FIXED else Standing.KNOWN


def ignored(entries: Iterable[Entry]) -> frozenset[str]:
    """The tokens that a target passes over: all that may come, and is no news."""
    return frozenset(entry.token for entry in entries if entry.status is not Status.FIXED)
