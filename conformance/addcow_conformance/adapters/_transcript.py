"""What was done to a target, as lines of a shell script that does it again without the suite."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["Transcript"]


class Transcript:
    """Lines of a POSIX shell script, in the order in which things were done.

    Adapters add lines as they do what the lines say. Whoever wants a script starts it anew beforehand.
    """

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._prologue: Callable[[], Iterable[str]] = tuple

    def start(self, prologue: Callable[[], Iterable[str]] = tuple) -> None:
        """Forget what was done.

        Args:
            prologue: the lines that go before the first one, such as those that make the files; it is called
                when the first line is added, before that is done.
        """
        self._lines, self._prologue = [], prologue

    def add(self, line: str) -> None:
        """Add what is about to be done; it may span lines, as a here-document does."""
        if not self._lines:
            self._lines.extend(self._prologue())
        self._lines.append(line)

    @property
    def lines(self) -> tuple[str, ...]:
        """What was done so far."""
        return tuple(self._lines)
