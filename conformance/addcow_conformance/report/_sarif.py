"""SARIF 2.1.0, as far as it is the same for every tool here: the document, the rules, texts of messages."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from addcow_spec import __version__
from addcow_spec.rules import Level, Profile, Rule

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["document", "driver", "message"]

_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"

# What has a meaning in a message: placeholders in braces, links in brackets (SARIF 2.1.0, 3.11.5, 3.11.6).
_MEANING = str.maketrans({"{": "{{", "}": "}}", "[": "\\[", "]": "\\]"})


def document(run: dict[str, Any]) -> str:
    """The text of a log of one run."""
    return json.dumps({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2) + "\n"


def driver(name: str, full_name: str, rules: Iterable[Rule]) -> dict[str, Any]:
    """What a log says of the tool, and of each rule that it may name."""
    return {
        "name": name,
        "fullName": full_name,
        "version": __version__,
        "semanticVersion": __version__,
        "rules": [_rule(rule) for rule in rules],
    }


def message(text: str) -> dict[str, str]:
    """A sentence that means nothing but itself."""
    return {"text": _sentence(text).translate(_MEANING)}


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")


def _rule(rule: Rule) -> dict[str, Any]:
    sources = [str(source) for source in rule.sources]
    listed = "\n".join(f"- {source}" for source in sources)
    return {
        "id": rule.id,
        "name": "".join(word.capitalize() for word in rule.title.split() if word.isalnum()),
        "shortDescription": {"text": _sentence(rule.title)},
        "fullDescription": {"text": rule.statement},
        "help": {
            "text": f"{rule.statement}\n\n{rule.hint}\n\nSources:\n{listed}",
            "markdown": f"{rule.statement}\n\n**What to do:** {rule.hint}\n\n**Sources**\n\n{listed}",
        },
        "defaultConfiguration": _configuration(rule),
        "properties": {
            "stage": rule.stage,
            "revisions": rule.revisions,
            "levels": rule.level,
            "sources": sources,
            "chapter": rule.anchor,
        },
    }


def _configuration(rule: Rule) -> dict[str, Any]:
    """Level in the default profile; a rule of the other profile alone is there, and off."""
    if rule.level[Profile.REVIEWED] is Level.ABSENT:
        return {"enabled": False, "level": rule.severity(Profile.AS_WRITTEN)}
    return {"level": rule.severity(Profile.REVIEWED)}
