"""What an NBD target did, told to a transcript: a program in the background, and nbdsh with the requests."""

from __future__ import annotations

import os
import shlex
import shutil
from base64 import b64decode
from typing import TYPE_CHECKING

from addcow_conformance.adapters._transcript import HereDocument, Transcript

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from addcow_conformance.protocol import Message

__all__ = ["SOCKET", "Script"]

# Stands for the socket in the words of a command; no word holds it otherwise.
SOCKET = "\0socket\0"

_WAIT = 'until [ -S "$SOCKET" ] || ! kill -0 "$SERVER"; do sleep 0.1; done'
# Where the client did not come so far.
_KILL = 'kill -s KILL -- "-$SERVER" 2>/dev/null'
# What is out of bounds, or of a disk that cannot be written, is for the server to judge.
_HEAD = (
    "import os",
    "h.set_strict_mode(0)",
    "def do(command, *arguments, **flags):",
    "    try:",
    "        print(command.__name__, command(*arguments, **flags))",
    "    except nbd.Error as error:",
    "        print(command.__name__, error)",
    "",
)


class Script:
    """The part of a transcript that is about one target.

    Args:
        transcript: where the lines go.
    """

    def __init__(self, transcript: Transcript) -> None:
        self._transcript = transcript
        self._requests = HereDocument("")

    def serve(self, words: Sequence[str], directory: bytes) -> None:
        """The program is started; `SOCKET` in the words is the socket."""
        if not self._transcript.kept:
            return
        # In a process group of its own, which is what a kill goes to.
        program = f"cd {_quoted(os.fsdecode(directory))} && exec setsid {' '.join(map(_quoted, words))}"
        self._transcript.add(f"SOCKET=$(mktemp -d)/socket; ({program}) & export SERVER=$!")
        self._transcript.add(_WAIT)
        self._requests = HereDocument(_nbdsh(), _HEAD)
        self._transcript.add(self._requests)

    def ask(self, do: str, members: Message) -> None:
        """A request is sent."""
        if self._requests in self._transcript and do in _CALLS:
            self._requests.add(f"do({_CALLS[do](members)})")

    def close(self) -> None:
        """The program is told to end."""
        self._end("h.shutdown()", 'kill "$SERVER"; wait "$SERVER"')

    def kill(self) -> None:
        """The program is killed, while the client is connected."""
        self._end("os.killpg(int(os.environ['SERVER']), 9)", f'{_KILL}; wait "$SERVER"')

    def _end(self, last: str, after: str) -> None:
        if self._requests in self._transcript:
            self._requests.add(last)
            self._transcript.add(after)
        self._requests = HereDocument("")


def _nbdsh() -> str:
    """The command of the client: nbdsh, with the Python that is beside it."""
    directory = shlex.quote(os.path.dirname(shutil.which("nbdsh") or ""))
    client = 'nbdsh --base-allocation -u "nbd+unix:///?socket=$SOCKET"'
    return f"PATH={directory}:$PATH {client} -c 'import sys; exec(sys.stdin.read())'"


def _quoted(word: str) -> str:
    """A word as a shell has it."""
    return '"$SOCKET"'.join(shlex.quote(part) if part else "" for part in word.split(SOCKET)) or "''"


def _flags(members: Message) -> str:
    said = ["nbd.CMD_FLAG_FUA"] * members["fua"] + ["nbd.CMD_FLAG_NO_HOLE"] * (not members.get("unmap", True))
    return f", flags={' | '.join(said)}" if said else ""


_CALLS: dict[str, Callable[[Message], str]] = {
    "read": lambda said: f"h.pread, {said['length']}, {said['offset']}",
    "write": lambda said: f"h.pwrite, {b64decode(said['data'])!r}, {said['offset']}{_flags(said)}",
    "zeroes": lambda said: f"h.zero, {said['length']}, {said['offset']}{_flags(said)}",
    "flush": lambda _: "h.flush",
    "extents": lambda said: f"h.block_status, {said['length']}, {said['offset']}, print",
}
