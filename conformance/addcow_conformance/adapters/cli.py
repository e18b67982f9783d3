"""A program without a better interface: a command for each request, whose exit status is trusted.

No process has an image open between two requests. What a command wrote is to be durable when it has ended, as
there is nobody left to flush it; and a kill finds nothing to kill.
"""

from __future__ import annotations

import os
import re
import shutil
from typing import TYPE_CHECKING

from addcow_conformance.adapters._by_path import TargetByPath
from addcow_conformance.adapters._cli_template import Template, read_template
from addcow_conformance.adapters._command import Place, refusal, run, shell_line
from addcow_conformance.adapters._make import make_image
from addcow_conformance.adapters._transcript import Transcript
from addcow_conformance.adapters.stdio import About
from addcow_spec.errors import CannotStart, ProtocolViolation, UsageError
from addcow_spec.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["CliImage", "CliTarget", "load"]

_ABILITIES = ("create", "write", "zeroes", "resize", "stream")
_SIZE = re.compile(rb"\s*([0-9]{1,19})\s*")
# Bytes that a command may print besides what it was asked for.
_MORE = 1 << 16


def load(rest: str, *, timeout: float, validate: bool = False, under: Sequence[str] = ()) -> CliTarget:  # noqa: ARG001 - there are no messages to validate
    """The target of ``cli:FILE``.

    Args:
        rest: the file; conformance/examples/cli-addcow-img has one.
        timeout: seconds that a command may take.
        validate: means nothing here.
        under: the words of a command that runs each program.

    Raises:
        UsageError: the file cannot be read, or says what means nothing.
        CannotStart: one of its programs is not there.
    """
    return CliTarget(read_template(rest), timeout=timeout, under=under)


class CliTarget(TargetByPath["CliImage"]):
    """An implementation behind a template of commands.

    Args:
        template: the commands.
        timeout: seconds that a command may take.
        under: the words of a command that runs each program.

    Attributes:
        about: what the template says of it.
        abilities: those of its commands; see `targets.abilities_of`.
        transcript: what was done.

    Raises:
        CannotStart: one of its programs is not there.
    """

    def __init__(self, template: Template, *, timeout: float = 30.0, under: Sequence[str] = ()) -> None:
        self._template = template
        self._timeout = timeout
        self._under = tuple(map(os.fsencode, under))
        self.transcript = Transcript()
        self.abilities = frozenset(
            {"directory", *template.backings, *(template.commands.keys() & {*_ABILITIES})}
        )
        self.about = About(*template[:6], tuple(sorted(self.abilities)))
        self.probe()

    @property
    def processes(self) -> tuple[int, ...]:
        """See `targets.ExternalTarget`; no command has an image open between two requests."""
        return ()

    def probe(self) -> None:
        """Look for the programs.

        Raises:
            CannotStart: one of them is not there.
        """
        for program in self._template.programs:
            if shutil.which(program) is None:
                raise CannotStart(f"{printable(program)}: there is no such program")

    def run(
        self, command: str, place: Place, *, data: bytes = b"", limit: int = _MORE, **told: bytes | int
    ) -> bytes:
        """What a command prints.

        Args:
            command: which.
            place: the image.
            data: its standard input.
            limit: bytes that it may print.
            told: what is in its places besides.

        Raises:
            UsageError: its exit status is not 0.
            AdapterError: it has none.
        """
        values = {key: value if isinstance(value, bytes) else b"%d" % value for key, value in told.items()}
        revision = str(place.revision).encode()
        words = self._template.words(command, image=place.path, revision=revision, **values)
        self._record(shell_line(words, place.directory), data)
        ran = run(
            (*self._under, *words),
            timeout=self._timeout,
            doing=command,
            data=data,
            limit=limit,
            directory=place.directory,
        )
        if ran.status:
            reason, rule = refusal(ran)
            raise UsageError(reason, rule=rule)
        return ran.out

    def _record(self, line: str, data: bytes) -> None:
        if self.transcript.kept:
            octal = "".join(f"\\{byte:03o}" for byte in data)
            self.transcript.add(f"printf '{octal}' | {line}" if data else line)

    def size(self, place: Place) -> int:
        """Bytes of the disk.

        Raises:
            UsageError: it is refused.
            ProtocolViolation: a number is not all that is printed.
        """
        out = self.run("size", place)
        found = _SIZE.fullmatch(out)
        if found is None:
            raise ProtocolViolation(f"size prints no number alone: {printable(out[:200])}")
        return int(found[1])

    # --- the interface of a target

    def _create(self, place: Place, image_file: bytes, backing_file: bytes, backing_format: str) -> None:
        if "create" not in self.abilities:
            with self.transcript.making(place.path):
                raw = backing_format == "raw"
                make_image(place.path, image_file, backing_file, place.revision, raw=raw)
            return
        self.run(
            "create",
            place,
            image_file=image_file,
            backing_file=backing_file,
            backing_format=backing_format.encode(),
        )
        if not os.path.exists(place.path):
            raise UsageError("nothing was made")

    def _open(self, place: Place, *, writable: bool) -> CliImage:
        return CliImage(self, place, self.size(place), writable=writable)

    def kill(self) -> None:
        """Nothing runs between two requests."""

    drop = close = kill


class CliImage:
    """An image by its name; see `targets.Image` for what its methods raise.

    Args:
        target: whose it is.
        place: where it is.
        size: bytes of the disk.
        writable: whether requests that write are passed on.

    Attributes:
        size: the same; `resize` changes it.
    """

    def __init__(self, target: CliTarget, place: Place, size: int, *, writable: bool) -> None:
        self._target = target
        self._place = place
        self._writable = writable
        self.size = size

    def _change(self, command: str, data: bytes = b"", **told: int) -> None:
        if not self._writable:  # no command knows that it was opened so
            raise UsageError("the image is open for reading")
        self._target.run(command, self._place, data=data, **told)

    def read(self, offset: int, length: int) -> bytes:
        """See `targets.Image.read`."""
        return self._target.run("read", self._place, limit=length + _MORE, offset=offset, length=length)

    def write(self, offset: int, data: bytes, *, fua: bool = False) -> None:  # noqa: ARG002 - each write is
        """See `targets.Image.write`."""
        self._change("write", data, offset=offset, length=len(data))

    def write_zeroes(self, offset: int, length: int, *, unmap: bool = True, fua: bool = False) -> None:  # noqa: ARG002 - a hole is never a must
        """See `targets.Image.write_zeroes`."""
        self._change("zeroes", offset=offset, length=length)

    def flush(self) -> None:
        """Nothing is left to flush."""

    def resize(self, size: int) -> None:
        """See `targets.Image.resize`."""
        self._change("resize", size=size)
        self.size = self._target.size(self._place)

    def stream(self, *, stop: Callable[[], bool] | None = None) -> bool:
        """See `targets.Image.stream`; a command cannot be stopped."""
        if self._writable and stop is not None and stop():
            return False
        self._change("stream")
        return True

    def close(self) -> None:
        """Nothing is open."""

    kill = close
