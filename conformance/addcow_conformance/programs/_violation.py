"""The one thing that a run can find."""

from __future__ import annotations

__all__ = ["Violation"]


class Violation(Exception):
    """An implementation breaks a rule.

    Attributes:
        rule: id of the rule.
        detail: what was expected, and what was seen.
    """

    def __init__(self, rule: str, detail: str) -> None:
        super().__init__(f"{rule}: {detail}")
        self.rule = rule
        self.detail = detail

    def __reduce__(self) -> tuple[type[Violation], tuple[str, str]]:
        return type(self), (self.rule, self.detail)
