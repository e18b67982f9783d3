"""Files of expectations: read from TOML, and written as TOML."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from addcow_conformance.report._common import one_line
from addcow_conformance.results._model import BAD, Expectation, Outcome
from addcow_conformance.results._toml_file import BadExpectations, only, parsed, read_bounded, text_of
from addcow_spec.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["CONDITIONS", "BadExpectations", "dump_expectations", "load_expectations"]

# Names of conditions; what each is compared with is said by `expect.facts`.
CONDITIONS = ("revision", "profile", "target", "implementation", "version", "language", "platform")

_LONGEST_COMMENT = 200

_EXPECTED = (Outcome.PASS, *(outcome for outcome in Outcome if outcome in BAD))
_NEEDED = ("case", "outcome", "reason")
_KNOWN = (*_NEEDED, "issue", "when")


def load_expectations(path: str | bytes) -> tuple[Expectation, ...]:
    """The entries of a file, in their order; white space in a reason becomes single spaces.

    Args:
        path: a regular file of at most 1 MiB, in lines of at most 2,048 bytes; texts have at most 400
            characters.

    Raises:
        BadExpectations: there is no such file, or it is not one of expectations.
    """
    try:
        return _entries(parsed(read_bounded(path)))
    except OSError as error:
        problem = os.strerror(error.errno or 0)
    except BadExpectations as error:
        problem = str(error)
    raise BadExpectations(f"{printable(os.fsencode(path))}: {problem}")


def _entries(document: dict[str, Any]) -> tuple[Expectation, ...]:
    only(document, ("expect",), "the file")
    listed = document.get("expect", [])
    if type(listed) is not list:
        raise BadExpectations("expect is no list of tables: write [[expect]] above each entry")
    entries: dict[tuple[str, object], Expectation] = {}
    for number, entry in enumerate(listed, 1):
        place = f"entry {number}"
        made = _entry(entry, place)
        same = entries.setdefault((made.case, made.when), made)
        if same is not made:
            raise BadExpectations(f"{place}: there is one for this case and condition already: drop one")
    return tuple(entries.values())


def _entry(entry: object, place: str) -> Expectation:
    if type(entry) is not dict:
        raise BadExpectations(f"{place}: not a table: write [[expect]] above it")
    only(entry, _KNOWN, place)
    for name in _NEEDED:
        if name not in entry:
            raise BadExpectations(f"{place}: no {name}: add it")
    outcome = entry["outcome"]
    if outcome not in _EXPECTED:
        raise BadExpectations(f"{place}: outcome is none of {', '.join(_EXPECTED)}: choose one")
    when = entry.get("when", {})
    if type(when) is not dict:
        raise BadExpectations(f"{place}: when is no table: write name = glob below [expect.when]")
    only(when, CONDITIONS, f"{place}: when")
    return Expectation(
        text_of(entry["case"], f"{place}: case"),
        Outcome(outcome),
        text_of(entry["reason"], f"{place}: reason"),
        text_of(entry["issue"], f"{place}: issue") if "issue" in entry else "",
        tuple((name, text_of(when[name], f"{place}: when.{name}")) for name in CONDITIONS if name in when),
    )


def dump_expectations(entries: Iterable[tuple[Expectation, str]]) -> str:
    """Entries as a file that `load_expectations` takes, each below its comment; an empty one is left out."""
    return "\n".join(("# Deviations that are known.\n", *(_table(*entry) for entry in entries)))


def _table(entry: Expectation, comment: str) -> str:
    members = (("case", entry.case), ("outcome", entry.outcome), ("reason", entry.reason))
    lines = ["[[expect]]", *(f"{name} = {_quoted(text)}" for name, text in members)]
    if comment:
        lines.insert(0, f"# {one_line(comment[:_LONGEST_COMMENT])}")
    if entry.issue:
        lines.append(f"issue = {_quoted(entry.issue)}")
    if entry.when:
        lines += ["[expect.when]", *(f"{name} = {_quoted(glob)}" for name, glob in entry.when)]
    return "\n".join((*lines, ""))


def _quoted(text: str) -> str:
    """A basic string of TOML; what is not printable was refused, or escaped, before."""
    escaped = one_line(text).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
