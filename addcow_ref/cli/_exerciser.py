"""qemu-io's command language: lines are taken apart, commands looked up and run."""

from __future__ import annotations

import getopt
from typing import TYPE_CHECKING, NamedTuple

from addcow_ref.cli import _exercises as ex
from addcow_ref.cli._call import Call, Complaint, Misuse
from addcow_ref.cli._terminal import complain, shown, tell
from addcow_spec.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable

    from addcow_ref import Image

__all__ = ["Exerciser"]


class _Command(NamedTuple):
    """A command of the language.

    Attributes:
        run: does it.
        letters: its options, as getopt has them; empty where a minus sign begins no option.
        synopsis: options and arguments.
        summary: what it does, in a few words.
        least: the number of words after its name, options included, at least.
        most: and at most, None for any number.
        writes: whether it wants a writable image.
    """

    run: Callable[[Call], None]
    letters: str
    synopsis: str
    summary: str
    least: int
    most: int | None = None
    writes: bool = False


_VECTOR = "[-P pattern] off len [len..]"
_READ = "[-bCqv] [-P pattern [-s off] [-l len]] off len"
_WRITE = "[-bcCfnquz] [-P pattern | -s source_file] off len"

_COMMANDS = {
    "aio_flush": _Command(ex.aio_flush, "", "", "waits for nothing: every request is done by then", 0, 0),
    "aio_read": _Command(ex.aio_read, "CqvP:", f"[-Cqv] {_VECTOR}", "as readv", 2),
    "aio_write": _Command(
        ex.aio_write, "CfquzP:", f"[-Cfquz] {_VECTOR}", "as writev, or zeroes", 2, writes=True
    ),
    "alloc": _Command(ex.alloc, "", "offset [count]", "counts the bytes that are in the image file", 1, 2),
    "discard": _Command(
        ex.discard, "Cq", "[-Cq] off len", "gives bytes up, which then read as zeros", 2, writes=True
    ),
    "flush": _Command(ex.flush, "", "", "makes durable what was written", 0, 0),
    "length": _Command(ex.length, "", "", "shows the size of the disk", 0, 0),
    "map": _Command(ex.show_map, "", "", "shows which ranges are in the image file", 0, 0),
    "read": _Command(ex.read, "bCpqvP:s:l:", _READ, "reads, and compares with a pattern", 2),
    "readv": _Command(ex.readv, "CqvP:", f"[-Cqv] {_VECTOR}", "reads as many bytes as all lengths say", 2),
    "truncate": _Command(
        ex.truncate, "m:", "[-m prealloc_mode] off", "changes the size of the disk", 1, 3, writes=True
    ),
    "write": _Command(
        ex.write, "bcCfnpquzP:s:", _WRITE, "writes a pattern, a file's bytes or zeroes", 2, writes=True
    ),
    "writev": _Command(
        ex.writev, "CfqP:", f"[-Cfq] {_VECTOR}", "writes as many bytes as all lengths say", 2, writes=True
    ),
}

_ALIASES = {
    "?": "help",
    "a": "alloc",
    "d": "discard",
    "f": "flush",
    "l": "length",
    "q": "quit",
    "r": "read",
    "t": "truncate",
    "w": "write",
}

_LETTERS = {
    "b": "the state of a virtual machine, which an add-cow image does not have",
    "c": "compressed, which an add-cow image cannot be",
    "C": "figures separated by commas",
    "f": "return when it is durable (forced unit access)",
    "l": "compare that many bytes only",
    "m": "off, which is all that there is",
    "n": "with -z: any length will do",
    "p": "has no meaning any more",
    "P": "a byte: to compare with, or to write in place of 0xcd",
    "q": "do not say how long it took",
    "s": "read: compare from that byte of the range on; write: a file whose bytes are written",
    "u": "with -z: holes will do",
    "v": "show the bytes",
    "z": "zeroes",
}


class Exerciser:
    """Runs lines of commands on an image.

    Args:
        image: the disk.
        path: its name, for errors.

    Attributes:
        ended: whether there was a quit.
    """

    def __init__(self, image: Image, path: bytes) -> None:
        self.ended = False
        self._image = image
        self._path = path
        self._commands = _COMMANDS | {
            "help": _Command(self._help, "", "[command]", "tells of the commands, or of one", 0, 1),
            "quit": _Command(self._quit, "", "", "ends", 0),
        }

    def run(self, line: str) -> bool:
        """Run a line; whether it succeeded. An empty one does."""
        name, *arguments = [word for word in line.rstrip("\n").split(" ") if word] or [""]
        if not name:
            return True
        name = _ALIASES.get(name, name)
        command = self._commands.get(name)
        if command is None:
            complain(f'command "{name}" not found')
            return False
        problem = self._problem(name, command, len(arguments))
        if problem:
            complain(problem)
            return False
        return self._run(name, command, arguments)

    def _problem(self, name: str, command: _Command, count: int) -> str:
        """Why the command is not run; empty where it is."""
        least, most = command.least, command.most
        if count < least or (most is not None and count > most):
            between = f"between {least} and {most}" if most is not None else f"at least {least}"
            wanted = str(least) if least == most else between
            return f"bad argument count {count} to {name}, expected {wanted} arguments"
        if command.writes and not self._image.writable:
            return f"addcow-img: {printable(self._path)}: Block node is read-only"
        return ""

    def _run(self, name: str, command: _Command, arguments: list[str]) -> bool:
        try:
            options, words = (
                getopt.gnu_getopt(arguments, command.letters) if command.letters else ([], arguments)
            )
            values = {option[1:]: value for option, value in options}
            command.run(Call(self._image, self._path, values, words))
        except getopt.GetoptError as error:
            letter = error.opt if len(error.opt) == 1 else "-"
            what = "option requires an argument" if letter in command.letters else "invalid option"
            complain(f"{name}: {what} -- '{letter}'")
            tell(_synopsis(name, command))
        except Misuse:
            tell(_synopsis(name, command))
        except Complaint as complaint:
            if complaint.args:
                tell(shown(str(complaint)))
        else:
            return True
        return False

    def _quit(self, _call: Call) -> None:
        self.ended = True

    def _help(self, call: Call) -> None:
        if not call.words:
            for name in sorted(self._commands):
                tell(_synopsis(name, self._commands[name]))
            tell("\nUse 'help commandname' for extended help.")
            return
        name = _ALIASES.get(call.words[0], call.words[0])
        if name not in self._commands:
            raise Complaint(f"command {name} not found")
        command = self._commands[name]
        tell(_synopsis(name, command))
        for letter in sorted(set(command.letters) - {":"}, key=str.lower):
            tell(f" -{letter}, -- {_LETTERS[letter]}")


def _synopsis(name: str, command: _Command) -> str:
    return f"{name} {command.synopsis} -- {command.summary}".replace("  ", " ")
