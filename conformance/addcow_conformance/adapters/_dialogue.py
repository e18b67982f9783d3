"""A program of a shell script, and the lines that it is told one by one.

Where nothing else is done from its start to its end it reads them from a here-document. Else, as when another
program opens the same image meanwhile, it hears each in its turn, and the script waits for the answer.
"""

from __future__ import annotations

import shlex
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["APART", "NUMBERS", "TURNS", "Dialogue", "Entry", "Step"]

# What feeds a command that is to be killed, tells its process id first, and kills it after so many answers.
_FEED = '{ cat; while [ -e "$GO_ON" ]; do sleep 0.1; done; }'
_TELL = "sh -c 'echo $$; exec \"$@\"' sh"
_KILL = '{ read -r PID; head -n %d; kill -s KILL "$PID"; rm "$GO_ON"; }'

# Descriptors by which a script tells programs in turns; there is one for each instance of the target.
NUMBERS = range(3, 6)
# Redirections of a program in the background: else another one's pipe would stay open in it.
APART = " ".join(f"{number}>&-" for number in NUMBERS)
# What a script needs once, if it has turns.
TURNS = r"""TALK=$(mktemp -d)
trap 'rm -r "$TALK"' EXIT
trap '' PIPE # a program that has ended hears nothing, and the script goes on
# Show what program $1 says, from byte FROM on: until a line fits $2, it has ended, or half a minute is over.
hear() {
  eval "PID=\$PID$1"
  LEFT=300
  until tail -c "+$FROM" "$TALK/$1" | grep -Eq "$2"; do
    LEFT=$((LEFT - 1))
    [ "$LEFT" -gt 0 ] && kill -0 "$PID" 2>/dev/null || break
    sleep 0.1
  done
  tail -c "+$FROM" "$TALK/$1" | sed "s/^/$1: /"
}
# Tell program $1 the line $3, and hear its answer.
tell() {
  FROM=$(($(wc -c <"$TALK/$1") + 1))
  printf '%s\n' "$3" >&"$1"
  hear "$1" "$2"
}"""


class Step(Enum):
    """What an entry of a transcript is: a line of the shell's or a program's, or a program's start or end."""

    LINE = "line"
    START = "start"
    END = "end"


class Entry(NamedTuple):
    """Something that was done.

    Attributes:
        of: the program; None where the shell itself does it.
        step: what it is.
        text: the line.
    """

    of: Dialogue | None
    step: Step
    text: str = ""


class Dialogue:
    """A program, and what it is told.

    Args:
        command: the command, as a shell has it.
        lines: the first lines; none of them is ``EOF``.
        answer: an extended regular expression that the last line of an answer fits, and none before it.
        greets: whether it says such a line when it has started.
        by_line: whether each answer is one line. Where it is killed, that comes after the last one then, else
            after a second.

    Attributes:
        before: lines of the shell that go before its start.
        after: those that go behind its end.
    """

    def __init__(
        self,
        command: str,
        lines: Iterable[str] = (),
        *,
        answer: str,
        greets: bool = False,
        by_line: bool = True,
    ) -> None:
        self._command = command
        self._lines = tuple(lines)
        self._answer = shlex.quote(answer)
        self._greets = greets
        self._by_line = by_line
        self._entries: list[Entry] | None = None
        self._killed = False
        self.before: list[str] = []
        self.after: list[str] = []

    def start(self, entries: list[Entry]) -> None:
        """It is started; that, and what it is told, goes to the end of these."""
        self._entries = entries
        entries.append(Entry(self, Step.START))
        for line in self._lines:
            self.tell(line)

    def tell(self, line: str) -> None:
        """It is told a line; where it was not started, nobody takes that down."""
        if self._entries is not None:
            self._entries.append(Entry(self, Step.LINE, line))

    def end(self, *, killed: bool = False) -> None:
        """It is ended by the end of its input, or by SIGKILL."""
        if self._entries is not None:
            self._killed = killed
            self._entries.append(Entry(self, Step.END))
        self._entries = None

    def whole(self, lines: Sequence[str]) -> str:
        """The lines of a script that start it, tell it all of these lines, and end it."""
        body = "\n".join([*lines, "EOF"])
        if not self._killed:
            told = f"{self._command} <<'EOF'\n{body}"
        elif not self._by_line:  # `$!` is the last process of the pipe
            told = f"(cat; sleep 2) <<'EOF' | {self._command} &\n{body}\nsleep 1; kill -KILL $!; wait"
        else:
            kill = _KILL % len(lines)
            told = f"GO_ON=$(mktemp)\n{_FEED} <<'EOF' | {_TELL} {self._command} | {kill}\n{body}"
        return "\n".join([*self.before, told, *self.after])

    def turn(self, step: Step, text: str, number: int) -> str:
        """The lines of a script for one entry, where the program is told by a descriptor."""
        if step is Step.LINE:
            return f"tell {number} {self._answer} {shlex.quote(text)}"
        pipe, pid = f'"$TALK/pipe{number}"', f'"$PID{number}"'
        if step is Step.END:
            kill = f"kill -s KILL {pid}; " if self._killed else ""
            return "\n".join([f"{kill}exec {number}>&-; wait {pid}; rm {pipe}", *self.after])
        greeting = f"; FROM=1 hear {number} {self._answer}" if self._greets else ""
        # What it says has a file before anybody can tell it something: the pipe is opened after that.
        start = f'mkfifo {pipe}; {self._command} >"$TALK/{number}" <{pipe} {APART} &'
        return "\n".join([*self.before, start, f"PID{number}=$!; exec {number}>{pipe}{greeting}"])
