"""The one thing that a run can find."""

from __future__ import annotations

from typing import TypeAlias

from addcow_conformance.programs._patience import Endless, Patience
from addcow_spec.errors import AdapterError
from addcow_spec.rules import Stage, catalogue

__all__ = ["Violation", "any_error_is", "refused"]

# An offset, the bytes that should be there, and those that are.
Bytes: TypeAlias = tuple[int, bytes, bytes]


class Violation(Exception):
    """An implementation breaks a rule.

    Attributes:
        rule: id of the rule.
        detail: what was expected, and what was seen.
        difference: where bytes differ, the first offset, and what should be and is from there on; else None.
        otherwise: the rule that this breaks where a profile has not the first one; empty if none.
    """

    def __init__(
        self, rule: str, detail: str, difference: Bytes | None = None, *, otherwise: str = ""
    ) -> None:
        super().__init__(f"{rule}: {detail}")
        self.rule = rule
        self.detail = detail
        self.difference = difference
        self.otherwise = otherwise

    def __reduce__(self) -> tuple[type[Violation], tuple[str, str, Bytes | None], dict[str, str]]:
        return type(self), (self.rule, self.detail, self.difference), {"otherwise": self.otherwise}


def refused(rule: str, what: str, error: BaseException) -> Violation:
    """The violation that a refusal is: of the rule that it names, which the image keeps.

    Args:
        rule: the rule that is broken where it names none, or one about other files: perhaps it has looked for
            the wrong ones.
        what: what was refused.
        error: the refusal, or whatever came instead of one.
    """
    stated = catalogue().get(getattr(error, "rule", ""))
    named = rule if stated is None or stated.stage is Stage.ENVIRONMENT else stated.id
    return Violation(named, f"{what}: {type(error).__name__}: {error}", otherwise=rule)


# What an implementation must not raise; and what says already what is wrong.
_WRONG, _KEPT = (Exception, Endless), (Violation, AdapterError)


class any_error_is:  # noqa: N801 - stands in a with statement, as those of contextlib do
    """Of whatever the body raises, and of its not ending, a violation of the rule.

    A class, as there are many steps, and a generator takes three times as long.
    """

    __slots__ = ("_patience", "_rule")

    def __init__(self, rule: str) -> None:
        self._rule = rule
        self._patience = Patience()

    def __enter__(self) -> None:
        self._patience.__enter__()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        self._patience.__exit__()
        if isinstance(error, _WRONG) and not isinstance(error, _KEPT):
            raise Violation(self._rule, f"{type(error).__name__}: {error}") from error
