"""qemu-io's language: one process that has an image open, and is given a command at a time.

It reads its input in its own time, and says nothing but its prompt when a command is done; what became of the
command is in what it prints, as exit statuses come too late, and were 0 whatever happened in 2011. A second
line is not sent before the prompt: qemu-io would take it out of the pipe, and then wait for the pipe.
"""

from __future__ import annotations

import re
import time
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING, NamedTuple

from addcow_conformance.adapters._command import Child, Ran, refusal, shell_line
from addcow_conformance.adapters._dialogue import Dialogue
from addcow_spec.errors import Crashed, InvalidImage, ProtocolViolation, StorageError

if TYPE_CHECKING:
    from addcow_conformance.adapters._command import Words
    from addcow_conformance.adapters._transcript import Transcript

__all__ = ["LARGEST", "Complaint", "Letters", "QemuIo"]

# Bytes of one request: a read of so many prints five times as much.
LARGEST = 1 << 20
_OUTPUT = 8 * LARGEST

_PROMPT = re.compile(rb"(?:\A|\n)[^\s>]+> \Z")
_LONGEST_PROMPT = 200
# The same for grep.
_PROMPTED = "^[^[:space:]>]+> $"
# Without an image qemu-io of 2011 goes on to ask for commands.
_NOT_OPENED = re.compile(rb"can't open|could not open|no file open", re.IGNORECASE)
_DONE = re.compile(rb"^(?:read|wrote) ([0-9]+)/([0-9]+) bytes at offset ([0-9]+)", re.MULTILINE)
_DUMPED = re.compile(rb"^([0-9a-f]{8,}):  ((?:[0-9a-f]{2} ){1,16})", re.MULTILINE)
_MAPPED = re.compile(rb"\((0x[0-9a-f]+)\) bytes +(not )?allocated at offset .*\((0x[0-9a-f]+)\)")
_OPTION = re.compile(r"(?<=[\[ |])-([A-Za-z]+)")


class Letters(NamedTuple):
    """The options of ``write``, and whether there is a ``truncate``."""

    write: frozenset[str]
    truncate: bool


class Complaint(Exception):
    """A command was not done; the text is what was said, and ``rule`` what it names, or empty."""

    def __init__(self, ran: Ran) -> None:
        reason, self.rule = refusal(ran)
        super().__init__(reason)


class QemuIo:
    """A process of qemu-io that has an image open.

    Args:
        words: its command, with the image.
        under: the words of a command that runs it.
        timeout: seconds that an answer may take.
        directory: where it is run; None for the directory of this process.
        transcript: is told of each command.

    Raises:
        AdapterError: it cannot be started, or gives no answer; so may all that follows.
        InvalidImage: it does not open the image.
    """

    def __init__(
        self,
        words: Words,
        *,
        under: Words,
        timeout: float,
        directory: bytes | None,
        transcript: Transcript,
    ) -> None:
        self._timeout = timeout
        self._child = Child((*under, *words), limit=_OUTPUT, directory=directory)
        self._complained = False
        self._script = Dialogue(shell_line(words, directory), answer=_PROMPTED, greets=True, by_line=False)
        self._kept = transcript.kept
        transcript.add(self._script)
        ran = self._answer("to open the image")
        if ran is None or _NOT_OPENED.search(ran.err):
            error = Complaint(ran or self._ended)
            self._script.end()
            self._child.kill()
            raise InvalidImage(str(error), rule=error.rule)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._child.pid

    def _answer(self, doing: str) -> Ran | None:
        """What it has said when its prompt is there; None where it has ended instead."""
        prompted = self._child.hear(time.monotonic() + self._timeout, _prompts)
        out, err = self._child.taken()
        if prompted:
            return Ran(0, out[: out.rfind(b"\n") + 1], err)
        self._ended = Ran(self._child.status(doing), out, err)
        return None

    def ask(self, line: str) -> Ran:
        """What it says to a command."""
        self._script.tell(line)
        self._child.tell(line.encode() + b"\n")
        ran = self._answer(f"'{line}'")
        if ran is None:
            raise self._child.failed(
                Crashed(f"it ended with exit status {self._ended.status}, and has not done '{line}'")
            )
        return ran

    def silent(self, line: str) -> None:
        """Do a command that says nothing when all is well.

        Raises:
            Complaint: it said something.
        """
        ran = self.ask(line)
        if ran.out.strip() or ran.err.strip():
            raise self._complaint(ran)

    def request(self, line: str, offset: int, length: int) -> bytes:
        """Do a request of a range, which says that it did; all that was said.

        Raises:
            Complaint: it did not, or not all of it.
        """
        ran = self.ask(line)
        done = _DONE.search(ran.out)
        if done is None or tuple(map(int, done.groups())) != (length, length, offset):
            raise self._complaint(ran)
        return ran.out

    def _complaint(self, ran: Ran) -> Complaint:
        self._complained = True
        return Complaint(ran)

    def read(self, offset: int, length: int) -> bytes:
        """Bytes of the disk, at most LARGEST.

        Raises:
            Complaint: it failed.
        """
        # -p: of 2011 only that took a range that is no sectors; it means nothing since.
        out = self.request(f"read -p -v {offset} {length}", offset, length)
        data = bytearray()
        for found in _DUMPED.finditer(out):
            if int(found[1], 16) != offset + len(data):
                break
            data += bytes.fromhex(found[2].decode())
        if len(data) != length:
            raise self._child.failed(ProtocolViolation(f"{len(data)} bytes are shown of a read of {length}"))
        return bytes(data)

    def write_file(self, command: str, offset: int, data: bytes) -> None:
        """Write bytes, at most LARGEST, by way of a file.

        Raises:
            Complaint: it failed.
        """
        with NamedTemporaryFile(prefix="addcow-source-") as file:
            file.write(data)
            file.flush()
            if self._kept:
                octal = "".join(f"\\{byte:03o}" for byte in data)
                self._script.before.append(f"printf '{octal}' >{file.name}")
                self._script.after.append(f"rm {file.name}")
            self.request(f"{command} -s {file.name} {offset} {len(data)}", offset, len(data))

    def allocated(self) -> list[tuple[int, int, bool]] | None:
        """Start and length of all ranges, and whether the image itself has them; None if that is not told."""
        ran = self.ask("map")
        return [
            (int(found[3], 16), int(found[1], 16), not found[2]) for found in _MAPPED.finditer(ran.out)
        ] or None

    def letters(self) -> Letters:
        """What its commands have, from their help."""
        synopsis = self.ask("help write").out.decode("ascii", "replace").partition(" -- ")[0]
        truncate = self.ask("help truncate").out
        return Letters(
            frozenset("".join(_OPTION.findall(synopsis))), truncate.startswith((b"truncate ", b"t "))
        )

    def close(self) -> None:
        """End it: the image is flushed, and closed.

        Raises:
            StorageError: it fails, and no command did.
        """
        self._script.tell("quit")
        self._child.tell(b"quit\n")
        try:
            if self._answer("quit") is not None:
                raise self._child.failed(ProtocolViolation("it goes on after quit"))
        finally:
            self._script.end()
            self._child.kill()
        if self._ended.status and not self._complained:
            raise StorageError(f"closing: {refusal(self._ended)[0]}")

    def kill(self) -> None:
        """SIGKILL.

        Raises:
            Crashed: it had ended before.
        """
        self._script.end(killed=True)
        status = self._child.kill()
        if status is not None:
            raise self._child.failed(Crashed(f"it ended before it was killed, with exit status {status}"))

    def drop(self) -> None:
        """SIGKILL, whatever it did."""
        self._script.end(killed=True)
        self._child.kill()


def _prompts(out: bytearray) -> bool:
    return out.endswith(b"> ") and _PROMPT.search(out[-_LONGEST_PROMPT:]) is not None
