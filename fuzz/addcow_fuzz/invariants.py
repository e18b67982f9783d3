"""The strict line: what any bytes must come to, and the one error that says that they do not.

Any bytes give a result equal to the oracle's, or the declared error; time and memory are bounded. Anything
else is a `Finding`. Two findings are the same one where their tokens are equal.
"""

from __future__ import annotations

import re
import traceback
from typing import TYPE_CHECKING

from addcow_spec.errors import AddCowError

if TYPE_CHECKING:
    from addcow_spec.errors import MalformedImage

__all__ = ["Finding", "judge_refusal", "strict", "token_of"]

_PLAIN = re.compile(r"[^a-z0-9_.-]+")
# Modules whose frames tell where a fault is; those of the fuzzers themselves do not.
_OURS = ("addcow_spec", "addcow_ref", "addcow_conformance")


class Finding(Exception):
    """Something is not as it must be.

    Args:
        oracle: who says so: ``engine``, ``checker``, ``oracle``, ``codec``, ``strict``, ...
        detail: what was expected, and what was seen.
        rule: id of the rule that is broken, empty where none is.
        operation: what was done, for example ``open`` or ``write``.
        site: where in the code, for an error that nobody declared; a mismatch has none worth comparing.

    Attributes:
        token: what makes two findings one: oracle, rule, operation and site.
    """

    def __init__(
        self, oracle: str, detail: str, *, rule: str = "", operation: str = "", site: str = ""
    ) -> None:
        super().__init__(detail)
        self.oracle = oracle
        self.detail = detail
        self.rule = rule
        self.operation = operation
        self.site = site

    @property
    def token(self) -> str:
        """The finding's bucket; the same on every machine and in every version that has the fault."""
        parts = (self.oracle, self.rule or "-", self.operation or "-", self.site or "-")
        return ":".join(_PLAIN.sub("-", part.lower()).strip("-") or "-" for part in parts)

    def __str__(self) -> str:
        return f"{self.token}: {self.detail}"


def token_of(error: BaseException) -> str:
    """The token of what a target has raised, a finding or not."""
    if isinstance(error, Finding):
        return error.token
    return Finding("strict", str(error), site=type(error).__name__).token


def judge_refusal(error: MalformedImage, operation: str) -> None:
    """Hold what the codec says of bytes that do not parse against what it promises.

    Args:
        error: what it has raised.
        operation: what it did.

    Raises:
        Finding: it names no rule, or bytes that cannot be.
    """
    if not error.rule.startswith("ACW-"):
        raise Finding("codec", f"an error without a rule: {error}", operation=operation) from error
    if error.span is not None and (error.span.offset < 0 or error.span.length < 0):
        raise Finding("codec", f"a span that is none: {error.span}", rule=error.rule, operation=operation)


class strict:  # noqa: N801 - stands in a with statement, as those of contextlib do
    """Hold a body to end well, or in a declared error.

    A class, as executions are many and a generator takes five times as long.

    Args:
        operation: what the body does.
        declared: the errors that are declared; `AddCowError` where none are named.

    Raises:
        Finding: the body ends in another error.
    """

    __slots__ = ("_allowed", "_operation")

    def __init__(self, operation: str, *declared: type[BaseException]) -> None:
        self._operation = operation
        self._allowed = declared or (AddCowError,)

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if isinstance(error, Exception) and not isinstance(error, (Finding, *self._allowed)):
            site = f"{type(error).__name__}.{_site(error)}"
            detail = f"{type(error).__name__}: {error}"
            raise Finding("strict", detail, operation=self._operation, site=site) from error


def _site(error: BaseException) -> str:
    """The innermost function of the project's that the error passed, without lines, which move."""
    for frame, _ in reversed(list(traceback.walk_tb(error.__traceback__))):
        module = frame.f_globals.get("__name__", "")
        if module.startswith(_OURS):
            return f"{module}.{frame.f_code.co_name}"
    return "unknown"
