"""The rule catalogue as the commands show it: one rule explained, or all listed."""

from __future__ import annotations

import json
from textwrap import fill

from addcow_spec.errors import UsageError
from addcow_spec.rules import Profile, Rule, catalogue

__all__ = ["explain", "listing"]

_WIDTH = 88
_JUDGES = {
    "static": "addcow-check, on files; addcow-conformance, on what an opener makes of them",
    "dynamic": "addcow-conformance, on what an implementation does",
}


def explain(rule_id: str) -> str:
    """A rule in full, for people.

    Raises:
        UsageError: there is no rule of that id.
    """
    rule = catalogue().get(rule_id.upper())
    if rule is None:
        raise UsageError(f"no rule {rule_id!a}; addcow-check --list-rules lists them")
    levels = ", ".join(f"{rule.level[profile]} ({profile})" for profile in Profile)
    repair = "" if rule.repair == "none" else f" --repair {rule.repair} may mend it."
    facts = {
        "Level": levels,
        "Stage": rule.stage,
        "Revisions": ", ".join(rule.revisions),
        "Judged by": _JUDGES[rule.check],
        "What to do": rule.hint + repair,
        "Sources": "; ".join(map(str, rule.sources)),
        "More": rule.anchor,
    }
    lines = [f"{rule.id}: {rule.title}", "", fill(rule.statement, _WIDTH), ""]
    lines += [
        fill(f"{name + ':':<12}{text}", _WIDTH, subsequent_indent=" " * 12, break_on_hyphens=False)
        for name, text in facts.items()
    ]
    return "\n".join(lines)


def listing(output: str) -> str:
    """All rules: a table for people, or JSON where ``output`` is ``json`` or ``jsonl``.

    Raises:
        UsageError: another format is asked for.
    """
    rules = catalogue().values()
    if output == "json":
        return json.dumps([_plain(rule) for rule in rules], indent=2, ensure_ascii=False)
    if output == "jsonl":
        return "\n".join(json.dumps(_plain(rule), ensure_ascii=False) for rule in rules)
    if output != "human":
        raise UsageError(f"--list-rules has no {output} format: use human, json or jsonl")
    rows = [("rule", "reviewed", "as-written", "stage", "title")]
    rows += [
        (rule.id, rule.level[Profile.REVIEWED], rule.level[Profile.AS_WRITTEN], rule.stage, rule.title)
        for rule in rules
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _plain(rule: Rule) -> dict[str, object]:
    return {
        "id": rule.id,
        "title": rule.title,
        "stage": rule.stage,
        "revisions": rule.revisions,
        "level": {profile: rule.level[profile] for profile in Profile},
        "check": rule.check,
        "repair": rule.repair,
        "statement": rule.statement,
        "hint": rule.hint,
        "anchor": rule.anchor,
        "sources": [source._asdict() for source in rule.sources],
    }
