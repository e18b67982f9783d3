"""The one thing that a run can find."""

from __future__ import annotations

from typing import TypeAlias

__all__ = ["Violation"]

# An offset, the bytes that should be there, and those that are.
Bytes: TypeAlias = tuple[int, bytes, bytes]


class Violation(Exception):
    """An implementation breaks a rule.

    Attributes:
        rule: id of the rule.
        detail: what was expected, and what was seen.
        difference: where bytes differ, the first offset, and what should be and is from there on; else None.
    """

    def __init__(self, rule: str, detail: str, difference: Bytes | None = None) -> None:
        super().__init__(f"{rule}: {detail}")
        self.rule = rule
        self.detail = detail
        self.difference = difference

    def __reduce__(self) -> tuple[type[Violation], tuple[str, str, Bytes | None]]:
        return type(self), (self.rule, self.detail, self.difference)
