"""What a judge of an image says about one violation, without judging how bad it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from addcow_spec.model import Span

__all__ = ["Finding"]


class Finding(NamedTuple):
    """A rule that a file breaks.

    Attributes:
        rule: id of the rule.
        file: index of the file at fault in the report's chain; 0 is the file that was named.
        span: the bytes at fault in that file; None where no bytes are to blame.
        field: name of the field or part at fault, for example ``version`` or ``bitmap``.
        expected: what the rule asks for, as text for people.
        actual: what was found, as text for people; names from files are escaped in it.
    """

    rule: str
    file: int
    span: Span | None
    field: str
    expected: str
    actual: str

    def __str__(self) -> str:
        said = (("expected", self.expected), ("found", self.actual))
        told = ", ".join(f"{label} {text}" for label, text in said if text)
        return ": ".join(filter(None, (self.field or self.rule, told)))
