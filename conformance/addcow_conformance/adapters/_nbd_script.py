"""What an NBD target did, told to a transcript: a program in the background, and nbdsh with the requests."""

from __future__ import annotations

import os
import shlex
import shutil
from base64 import b64decode
from typing import TYPE_CHECKING

from addcow_conformance.adapters._dialogue import APART, Dialogue
from addcow_conformance.adapters._shell import shell_word

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from addcow_conformance.adapters._transcript import Transcript
    from addcow_conformance.protocol import Message

__all__ = ["SOCKET", "Script"]

# Stands for the socket in the words of a command; no word holds it otherwise.
SOCKET = "\0socket\0"

# What the client makes of its input: each line is a request, and each answer a line. What is out of bounds,
# or of a disk that cannot be written, is for the server to judge. Of a long read the digest is shown.
_CLIENT = """\
import hashlib, os, sys
h.set_strict_mode(0)
def extents(length, offset):
    told = []
    h.block_status(length, offset, lambda *said: told.append(said[:3]))
    return told
def shown(found):
    if not isinstance(found, bytearray) or len(found) <= 64:
        return found.hex(" ") if isinstance(found, bytearray) else found
    return f"{len(found)} bytes, {found[:16].hex(chr(32))} ..., SHA-256 {hashlib.sha256(found).hexdigest()}"
def do(command, *arguments, **flags):
    try:
        found = command(*arguments, **flags)
    except nbd.Error as error:
        found = error
    print(command.__name__, shown(found), flush=True)
print("connected", h.get_size(), "bytes", flush=True)
for line in sys.stdin:
    exec(line)
"""


class Script:
    """The part of a transcript that is about one target.

    Args:
        transcript: where the lines go.
    """

    def __init__(self, transcript: Transcript) -> None:
        self._transcript = transcript
        self._client: Dialogue | None = None
        self._number = 0

    def serve(self, words: Sequence[str], directory: bytes | None) -> None:
        """The program is started, in that directory or wherever; `SOCKET` in the words is the socket."""
        if not self._transcript.kept:
            return
        self._number = self._transcript.number()
        socket, server = f'"$SOCKET{self._number}"', f'"$SERVER{self._number}"'
        # In a process group of its own, which is what a kill goes to.
        program = f"exec setsid {' '.join(_quoted(word, socket) for word in words)}"
        if directory is not None:
            program = f"cd {shell_word(directory)} && {program}"
        if self._number == 1:
            self._transcript.add(f"CLIENT={shlex.quote(_CLIENT)}")
        self._transcript.add(f"SOCKET{self._number}=$(mktemp -d)/socket")
        self._transcript.add(f"({program}) {APART} & export SERVER{self._number}=$!")
        self._transcript.add(f"until [ -S {socket} ] || ! kill -0 {server}; do sleep 0.1; done")
        self._client = Dialogue(_nbdsh(socket), answer=".", greets=True)
        self._client.after = [f"kill {server}; wait {server}", f'rm -r "${{SOCKET{self._number}%/socket}}"']
        self._transcript.add(self._client)

    def ask(self, do: str, members: Message) -> None:
        """A request is sent."""
        if self._client is not None and do in _CALLS:
            self._client.tell(f"do({_CALLS[do](members)})")

    def close(self) -> None:
        """The client is told to disconnect, and then the program to end."""
        self._end("h.shutdown")

    def kill(self) -> None:
        """The program is killed, while the client is connected, or where that did not come so far."""
        number = self._number
        if self._client is not None:
            self._client.after[0] = f'kill -s KILL -- "-$SERVER{number}" 2>/dev/null; wait "$SERVER{number}"'
        self._end(f"os.killpg, int(os.environ['SERVER{number}']), 9")

    def _end(self, last: str) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.tell(f"do({last})")
            client.end()


def _nbdsh(socket: str) -> str:
    """The command of the client: nbdsh, with the Python that is beside it."""
    directory = shlex.quote(os.path.dirname(shutil.which("nbdsh") or ""))
    return f'PATH={directory}:$PATH nbdsh --base-allocation -u "nbd+unix:///?socket="{socket} -c "$CLIENT"'


def _quoted(word: str, socket: str) -> str:
    """A word as a shell has it."""
    return socket.join(shell_word(part) if part else "" for part in word.split(SOCKET)) or "''"


def _flags(members: Message) -> str:
    said = ["nbd.CMD_FLAG_FUA"] * members["fua"] + ["nbd.CMD_FLAG_NO_HOLE"] * (not members.get("unmap", True))
    return f", flags={' | '.join(said)}" if said else ""


_CALLS: dict[str, Callable[[Message], str]] = {
    "read": lambda said: f"h.pread, {said['length']}, {said['offset']}",
    "write": lambda said: f"h.pwrite, {b64decode(said['data'])!r}, {said['offset']}{_flags(said)}",
    "zeroes": lambda said: f"h.zero, {said['length']}, {said['offset']}{_flags(said)}",
    "flush": lambda _: "h.flush",
    "extents": lambda said: f"extents, {said['length']}, {said['offset']}",
}
