"""An implementation behind JSON lines on its standard input and output, as a target that a session can use.

The program does all of the work on files: of a storage that it is given, the target takes the path, and
closes it at once, so that no descriptor and no lock of ours is in the program's way.
"""

from __future__ import annotations

import os
import shlex
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from addcow_conformance.adapters._dialogue import Dialogue
from addcow_conformance.adapters._image import StdioImage
from addcow_conformance.adapters._link import Link
from addcow_conformance.adapters._make import make_image
from addcow_conformance.adapters._shell import shell_word
from addcow_conformance.adapters._storage import Storage, vacated
from addcow_conformance.adapters._transcript import Transcript
from addcow_conformance.protocol import VERSION, Message, Validator, encode_line
from addcow_spec.errors import (
    AdapterError,
    AddCowError,
    InvalidImage,
    ProtocolViolation,
    StorageError,
    UsageError,
)
from addcow_spec.model import Revision

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["About", "StdioImage", "StdioTarget", "load"]

# What no program can do, as long as it has no image open.
_ERRORS: dict[str, Message] = {"no-such-request": {}, "read": {"offset": 0, "length": 0}}
# What an answer ends in, for a script.
_ANSWER = "}[[:space:]]*$"


class About(NamedTuple):
    """What a program says of itself; every text is somebody's.

    Attributes:
        name: what it is called.
        version: its version.
        language: the language that it is written in.
        homepage: where to read of it, may be empty.
        issues: where to tell of faults, may be empty.
        revisions: revisions of the format that it has.
        capabilities: words of `protocol.CAPABILITIES`.
    """

    name: str
    version: str
    language: str
    homepage: str
    issues: str
    revisions: tuple[Revision, ...]
    capabilities: tuple[str, ...]


def load(command: str, *, timeout: float, validate: bool, under: Sequence[str] = ()) -> StdioTarget:
    """The target of ``stdio:COMMAND``; the program is started, and has said who it is.

    Args:
        command: the command, in words as a shell has them.
        timeout: seconds that an answer may take.
        validate: whether to hold every message against the JSON Schema.
        under: the words of a command that runs it.

    Raises:
        UsageError: it is no command, or ``validate`` lacks jsonschema.
        AdapterError: the program cannot be started, or does not speak the protocol.
    """
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise UsageError(f"the command of the target: {error}") from error
    if not words or not words[0]:
        raise UsageError("stdio: wants a command")
    return StdioTarget([*under, *words], timeout=timeout, validate=validate)


class StdioTarget:
    """An implementation in a process of its own, which is started again whenever it has ended.

    One image at a time is open. Use it in a ``with``, or `close` it.

    Args:
        command: the words of the command.
        timeout: seconds that an answer may take.
        validate: whether to hold every message against the JSON Schema.

    Attributes:
        about: what the program says of itself.
        abilities: its capabilities; see `targets.abilities_of`.
        transcript: what was done to it.

    Raises:
        AdapterError: the program cannot be started, or does not speak the protocol.
        UsageError: ``validate`` lacks jsonschema.
    """

    def __init__(self, command: Sequence[str], *, timeout: float = 30.0, validate: bool = False) -> None:
        self._command = tuple(command)
        self._timeout = timeout
        self._validator = Validator() if validate else None
        self._link: Link | None = None
        self._busy = False
        self._first: Message | None = None
        self.transcript = Transcript()
        self._script: Dialogue | None = None
        self.about = self._introduce(self._live())
        self.abilities = frozenset(self.about.capabilities)

    def __enter__(self) -> StdioTarget:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(AdapterError):
            self.close()

    def _introduce(self, link: Link) -> About:
        said = dict(self._first or {})
        del said["protocol"]
        said["revisions"] = tuple(map(Revision, said["revisions"]))
        said["capabilities"] = tuple(said["capabilities"])
        assert link is self._link  # noqa: S101 - it has said so just now
        return About(**said)

    def _live(self) -> Link:
        """The process, started if there is none."""
        if self._link is None:
            link = Link(self._command, self._timeout, self._validator)
            try:
                said = link.ask("start", protocol=VERSION)
            except AdapterError:
                raise
            except AddCowError as error:
                link.drop()
                raise ProtocolViolation(f"start is not answered by a result: {error}") from error
            if self._first not in (None, said):
                link.drop()
                raise ProtocolViolation("it says of itself what it has not said before")
            self._first, self._link = said, link
        return self._link

    def ask(self, do: str, **members: Any) -> Message:  # noqa: ANN401 - whatever the request holds
        """The result of a request; see `Link.ask`. After an AdapterError the process is gone.

        Raises:
            UsageError: it is refused.
            StorageError: the answer is an error.
            AdapterError: there is none.
        """
        try:
            link = self._live()
            if self.transcript.kept:
                self._record(do, members)
            return link.ask(do, **members)
        except AdapterError:
            self._forget()
            raise

    def _record(self, do: str, members: Message) -> None:
        """Each process is one of the script; it may have been started before anything was kept."""
        if self._script is None or self._script not in self.transcript:
            first = _line("start", {"protocol": VERSION})
            self._script = Dialogue(_from_here(self._command), [first], answer=_ANSWER)
            self.transcript.add(self._script)
        self._script.tell(_line(do, members))

    def _forget(self, *, killed: bool = False) -> Link | None:
        """The process as it was, if there was one; the next one is another one of the script."""
        if self._script is not None:
            self._script.end(killed=killed)
        link, self._link, self._busy, self._script = self._link, None, False, None
        return link

    def probe(self) -> None:
        """Ask for what must be an error: a request that there is not, and a read where no image is open.

        Raises:
            AdapterError: it is no error, or there is no answer.
        """
        for do, members in _ERRORS.items():
            try:
                self.ask(do, **members)
            except StorageError:
                continue
            except UsageError:
                self.drop()
                raise ProtocolViolation(f"{do} is refused, and should be an error") from None
            self.drop()
            raise ProtocolViolation(f"{do} has a result, and should be an error")

    # --- the interface of a target

    def create_image(
        self,
        target: Storage,
        image_file: bytes,
        *,
        backing_file: bytes | None,
        backing_format: str | None,
        revision: Revision,
    ) -> None:
        """See `targets.Target.create_image`; the storage's file is removed first, if it is empty.

        Raises:
            UsageError: it is refused.
            StorageError: the answer is an error.
            AdapterError: there is none.
        """
        path = vacated(target)
        self._free()
        if "create" not in self.abilities:
            with self.transcript.making(path):
                make_image(path, image_file, backing_file or b"", revision, raw=backing_format == "raw")
            return
        self.ask(
            "create",
            path=_said(path),
            image_file=_said(image_file),
            backing_file=None if backing_file is None else _said(backing_file),
            backing_format=backing_format,
            revision=str(revision),
        )

    def open_image(
        self,
        target: Storage,
        *,
        writable: bool,
        revision: Revision,
        cache_size: int = 0,  # noqa: ARG002 - the program's own matter
    ) -> StdioImage:
        """See `targets.Target.open_image`. A relative path is one of the working directory as it is now.

        Raises:
            InvalidImage: it is refused; ``rule`` is empty where the answer names none.
            StorageError: the answer is an error.
            AdapterError: there is none.
        """
        path = target.path
        target.close()
        relative = not os.path.isabs(path) and "directory" in self.abilities
        self._free()
        try:
            opened = self.ask(
                "open",
                path=_said(path if relative else os.path.abspath(path)),
                directory=_said(os.getcwdb()) if relative else None,
                writable=writable,
                revision=str(revision),
            )
        except UsageError as error:
            raise InvalidImage(str(error), rule=error.rule) from error
        self._busy = True
        return StdioImage(self, opened["size"])

    def _free(self) -> None:
        """Leave no image open; one whose owner is gone goes with the process."""
        if self._busy:
            self.drop()

    def closed(self) -> None:
        """The image has been closed."""
        self._busy = False

    # --- ends

    def kill(self) -> None:
        """End the implementation as a crash would: by SIGKILL, or by whatever it does for ``kill``.

        Raises:
            AdapterError: it had ended before.
        """
        if "kill" in self.abilities and self._link is not None:
            self.ask("kill")
            self._busy = False
            return
        link = self._forget(killed=True)
        if link is not None:
            link.kill()

    def drop(self) -> None:
        """End the process by SIGKILL, whatever it did."""
        link = self._forget(killed=True)
        if link is not None:
            link.drop()

    @property
    def processes(self) -> tuple[int, ...]:
        """See `targets.ExternalTarget`."""
        return (self._link.pid,) if self._link is not None else ()

    def close(self) -> None:
        """End the process as the protocol has it: by the end of its input.

        Raises:
            AdapterError: it does not end in time, or fails.
        """
        link = self._forget()
        if link is not None:
            link.close()


def _line(do: str, members: Message) -> str:
    return encode_line({"seq": "1", "do": do, **members}).decode().rstrip()


def _from_here(command: Sequence[str]) -> str:
    """The command for a script in a directory of its own: what it names is where the script was started."""
    program, *rest = command
    named = [os.path.dirname(program) != "", *map(os.path.exists, rest)]
    return " ".join(
        ('"${HERE:-.}"/' if there and not os.path.isabs(word) else "") + shell_word(word)
        for word, there in zip(command, named, strict=True)
    )


def _said(name: bytes) -> str:
    try:
        return name.decode()
    except UnicodeDecodeError as error:
        raise AdapterError("the protocol has no way to say a name that is not UTF-8") from error
