"""qemu-img's language: its commands with the options that this qemu-img has, and what it says of an image."""

from __future__ import annotations

import json
import os
import re
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from addcow_conformance.adapters._command import refusal, run, shell_line
from addcow_spec.errors import CannotStart, ProtocolViolation, UsageError
from addcow_spec.text import printable

if TYPE_CHECKING:
    from addcow_conformance.adapters._command import Place, Ran, Words
    from addcow_conformance.adapters._qemu_options import Options
    from addcow_conformance.adapters._transcript import Transcript
    from addcow_spec.model import Revision

__all__ = ["Facts", "QemuImg"]

# The options that a command is given if its help has them: those of 2011 have none of these but create's.
_OPTIONS: dict[str, tuple[str, ...]] = {
    "create": ("-f",),
    "info": ("-f", "--output"),
    "map": ("-f", "--output", "-U"),
    "stream": ("-f",),
}

# What the text of ``info`` has; names may be followed by a path that they lead to.
_TEXT = {
    "size": re.compile(rb"^virtual size: .*\(([0-9]+) bytes\)", re.MULTILINE),
    "backing_file": re.compile(rb"^backing file: (.*?)(?: \(actual path: .*\))?$", re.MULTILINE),
    "image_file": re.compile(rb"^\s*image[ _-]file: (.*?)(?: \(actual path: .*\))?$", re.MULTILINE),
    "revision": re.compile(rb"^\s*revision: (v[0-9]+)$", re.MULTILINE),
}
_VERSION = re.compile(rb"^(\S+?),? version ([^\s,]+)", re.MULTILINE)


class Facts(NamedTuple):
    """What ``info`` says; None for what it does not."""

    size: int
    image_file: str | None
    backing_file: str | None
    revision: str | None


class QemuImg:
    """A qemu-img. Each command is a process.

    Args:
        options: its command, and what the format is called.
        timeout: seconds that a command may take.
        under: the words of a command that runs it.
        transcript: is told of each command.

    Raises:
        CannotStart: it is no qemu-img.
        AdapterError: it gives no answer; so may all that follows.
    """

    def __init__(self, options: Options, timeout: float, under: Words, transcript: Transcript) -> None:
        self._options = options
        self._timeout = timeout
        self._under = under
        self._transcript = transcript
        self._letters = cache(self._letters_of)
        self._help = self._ask("--help")
        if not self.has("info"):
            raise CannotStart(f"{printable(os.fsencode(options.img[0]))}: there is no info in its help")

    @property
    def version(self) -> tuple[str, str]:
        """Name and version, as it says them; the words of the command, and nothing, if it does not."""
        ran = self._ask("--version")
        found = _VERSION.search(ran.out) or _VERSION.search(self._help.out)
        if found is None:
            return os.path.basename(self._options.img[0]), ""
        return printable(found[1]), printable(found[2])

    def has(self, command: str, option: str = "") -> bool:
        """Whether its help tells of a command, and of an option of it."""
        there = re.search(rb"^\s+%s(\s|$)" % command.encode(), self._help.out + self._help.err, re.MULTILINE)
        return there is not None and (not option or option in self._letters(command))

    def _letters_of(self, command: str) -> frozenset[str]:
        """The options that the help of a command has; up to 2024 it is a line in the help of them all."""
        ran = self._ask(command, "--help")
        text = ran.out + ran.err
        line = re.search(rb"^\s+%s .*$" % command.encode(), text, re.MULTILINE)
        return frozenset(
            word.decode() for word in re.findall(rb"(?<![\w-])--?[A-Za-z]+", line[0] if line else text)
        )

    def _ask(self, command: str, *arguments: str) -> Ran:
        """What it says of itself."""
        words = (*self._words(command, self._options.revisions[0]), *arguments)
        return run((*self._under, *words), timeout=self._timeout, doing=command)

    def _words(self, command: str, revision: Revision) -> Words:
        words = [word.replace("{revision}", revision) for word in self._options.img]
        if "{command}" not in words:
            return (*words, command)
        if command.startswith("-"):  # what follows a command would be no option of the program
            return (*words[: words.index("{command}")], command)
        return tuple(command if word == "{command}" else word for word in words)

    def _do(self, command: str, place: Place, *arguments: str | bytes, before: Words = ()) -> bytes:
        """What a command prints.

        Raises:
            UsageError: it is refused.
        """
        values = {"-f": ("-f", self._options.format), "--output": ("--output", "json"), "-U": ("-U",)}
        options = [option for option in _OPTIONS[command] if self.has(command, option)]
        given = [word for option in options for word in values[option]]
        words = (*self._words(command, place.revision), *given, *before, place.path, *arguments)
        self._transcript.add(shell_line(words, place.directory))
        ran = run((*self._under, *words), timeout=self._timeout, doing=command, directory=place.directory)
        if ran.status:
            reason, rule = refusal(ran)
            raise UsageError(reason, rule=rule)
        return ran.out

    # --- its commands

    def create(
        self,
        place: Place,
        size: int,
        image_file: bytes,
        backing_file: bytes,
        backing_format: str,
    ) -> None:
        """Make an image of a size in bytes, with names as they are given; what there is not is empty.

        Raises:
            UsageError: it is refused, or nothing was made.
        """
        given: dict[str, bytes | str] = {
            "backing_file": backing_file,
            "backing_fmt": backing_format,
            "image_file": image_file,
        }
        values = (b"%s=%s" % (key.encode(), _escaped(value)) for key, value in given.items() if value)
        out = self._do("create", place, str(size), before=("-o", b",".join(values)))
        if not os.path.exists(os.path.join(place.directory or b"", place.path)):
            raise UsageError(f"nothing was made: {printable(out[-400:].strip())}")

    def info(self, place: Place) -> Facts:
        """What it says of an image.

        Raises:
            UsageError: it is refused.
            ProtocolViolation: that is not what qemu-img says.
        """
        out = self._do("info", place)
        facts = _from_json(out) if self.has("info", "--output") else _from_text(out)
        if facts is None:
            raise ProtocolViolation(f"info says no size: {printable(out[:200])}")
        return facts

    def map(self, place: Place) -> list[dict[str, Any]]:
        """The ranges of the disk, by where their bytes come from.

        Raises:
            UsageError: it is refused.
            ProtocolViolation: that is not what qemu-img says.
        """
        out = self._do("map", place)
        try:
            found = json.loads(out)
            return [
                {name: extent[name] for name in ("start", "length", "depth", "zero")}
                | {"present": extent.get("present", extent["data"])}
                for extent in found
            ]
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            raise ProtocolViolation(f"map prints no extents: {printable(out[:200])}") from error

    def stream(self, place: Place) -> None:
        """Copy what is in the backing file.

        Raises:
            UsageError: it is refused.
        """
        self._do("stream", place)


def _escaped(value: bytes | str) -> bytes:
    """A value of ``-o``, where a comma is written twice."""
    return os.fsencode(value).replace(b",", b",,")


def _from_json(out: bytes) -> Facts | None:
    try:
        found = json.loads(out)
        data = {**found.get("format-specific", {}).get("data", {}), **found}
        size = data["virtual-size"]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None
    names = [data.get(key) for key in ("image-file", "backing-filename", "revision")]
    return Facts(size, *names) if isinstance(size, int) and size >= 0 else None


def _from_text(out: bytes) -> Facts | None:
    found = {name: match[1] for name, pattern in _TEXT.items() if (match := pattern.search(out))}
    if "size" not in found:
        return None
    texts = (os.fsdecode(found[name]) if name in found else None for name in Facts._fields[1:])
    return Facts(int(found["size"]), *texts)
