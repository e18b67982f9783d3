"""What was done to a target, as lines of a shell script that does it again without the suite."""

from __future__ import annotations

import base64
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from addcow_conformance.adapters._dialogue import NUMBERS, TURNS, Dialogue, Entry, Step
from addcow_conformance.adapters._shell import shell_word

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

__all__ = ["Transcript"]

# Bytes that the longest header has.
_HEADER = 4096


class _Journal:
    """What was done to a target, or to several of them, in the order in which it was done."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.prologue: Callable[[], Iterable[str]] | None = None
        self.numbers = 0


class Transcript:
    """Lines of a POSIX shell script, in the order in which things were done.

    Adapters add lines as they do what the lines say. Nothing is kept before the first `start`: a target may
    live long, and few want a script of it.
    """

    def __init__(self) -> None:
        self._journal = _Journal()

    def start(self, prologue: Callable[[], Iterable[str]] = tuple) -> None:
        """Forget what was done, and keep what is done from now on.

        Args:
            prologue: the lines that go before the first one, such as those that make the files; it is called
                when the first line is added, before that is done.
        """
        journal = self._journal
        journal.entries, journal.prologue, journal.numbers = [], prologue, 0

    def join(self, other: Transcript) -> None:
        """Be one with another transcript: what is done to either target goes to the same script."""
        self._journal = other._journal

    @property
    def kept(self) -> bool:
        """Whether lines are kept."""
        return self._journal.prologue is not None

    def number(self) -> int:
        """A number that nothing else has in the script; the first is 1."""
        self._journal.numbers += 1
        return self._journal.numbers

    def add(self, piece: str | Dialogue) -> None:
        """Add what is about to be done: lines of the shell, or a program that is told more later."""
        if not self._begun():
            return
        if isinstance(piece, Dialogue):
            piece.start(self._journal.entries)
        else:
            self._journal.entries.append(Entry(None, Step.LINE, piece))

    def _begun(self) -> bool:
        journal = self._journal
        if journal.prologue is None:
            return False
        if not journal.entries:
            journal.entries.extend(Entry(None, Step.LINE, line) for line in journal.prologue())
        return True

    @contextmanager
    def making(self, path: bytes) -> Iterator[None]:
        """In the body a new image is made at a path, with no bit set: a header, and zeros."""
        begun = self._begun()
        yield
        if begun:
            name = shell_word(path)
            with open(path, "rb") as file:
                header = base64.b64encode(file.read(_HEADER).rstrip(b"\0")).decode()
            self.add(f"base64 -d > {name} <<'EOF'\n{header}\nEOF")
            self.add(f"truncate -s {os.path.getsize(path)} {name}")

    def __contains__(self, piece: object) -> bool:
        return any(entry.of is piece for entry in self._journal.entries)

    @property
    def lines(self) -> tuple[str, ...]:
        """What was done so far."""
        return tuple(_lines(self._journal.entries))


def _lines(entries: Sequence[Entry]) -> Iterator[str]:
    """The script: a program among whose entries are others is told in turns, any other one at once."""
    turns = _in_turns(entries)
    helpers = TURNS
    free, numbers = list(NUMBERS), dict[Dialogue, int]()
    for entry in entries:
        program = entry.of
        if program is None:
            yield entry.text
        elif program in turns:
            if entry.step is Step.START:
                if helpers:
                    yield helpers
                    helpers = ""
                numbers[program] = free.pop(0)
            yield program.turn(entry.step, entry.text, numbers[program])
            if entry.step is Step.END:
                free.insert(0, numbers.pop(program))
        elif entry.step is Step.START:
            yield program.whole([e.text for e in entries if e.of is program and e.step is Step.LINE])
    for program, number in numbers.items():
        yield program.turn(Step.END, "", number)


def _in_turns(entries: Sequence[Entry]) -> set[Dialogue]:
    """The programs that live while something else is done; one that was not ended lives to the last entry."""
    living: list[Dialogue] = []
    found: set[Dialogue] = set()
    for entry in entries:
        found.update(program for program in living if program is not entry.of)
        if entry.of is not None and entry.step is Step.START:
            living.append(entry.of)
        elif entry.of is not None and entry.step is Step.END:
            living.remove(entry.of)
    return found
