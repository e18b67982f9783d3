"""An implementation behind JSON lines on its standard input and output, as a target that a session can use.

The program does all of the work on files: of a storage that it is given, the target takes the path, and
closes it at once, so that no descriptor and no lock of ours is in the program's way.
"""

from __future__ import annotations

import os
import shlex
from base64 import b64decode, b64encode
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from addcow_conformance.adapters._link import Link
from addcow_conformance.adapters._make import make_image
from addcow_conformance.protocol import LARGEST_DATA, VERSION, Message, Validator
from addcow_spec.errors import AdapterError, AddCowError, InvalidImage, ProtocolViolation, UsageError
from addcow_spec.model import Revision

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = ["About", "StdioImage", "StdioTarget", "load"]

# How much of the disk one request may stream where the stream has to ask now and then whether to stop.
_STEP = 1 << 16


class _Storage(Protocol):
    """What is needed of a storage."""

    @property
    def path(self) -> bytes:
        """Its path."""

    def close(self) -> None:
        """Close it."""


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


class _Extent(NamedTuple):
    """See `targets.Extent`."""

    start: int
    length: int
    depth: int
    present: bool
    zero: bool


def load(command: str, *, timeout: float, validate: bool) -> StdioTarget:
    """The target of ``stdio:COMMAND``; the program is started, and has said who it is.

    Args:
        command: the command, in words as a shell has them.
        timeout: seconds that an answer may take.
        validate: whether to hold every message against the JSON Schema.

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
    return StdioTarget(words, timeout=timeout, validate=validate)


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
            return self._live().ask(do, **members)
        except AdapterError:
            self._link, self._busy = None, False
            raise

    # --- the interface of a target

    def create_image(
        self,
        target: _Storage,
        image_file: bytes,
        *,
        backing_file: bytes | None,
        backing_format: str | None,
        revision: Revision,
    ) -> None:
        """See `targets.Target.create_image`; the empty file of the storage is removed first.

        Raises:
            UsageError: it is refused.
            StorageError: the answer is an error.
            AdapterError: there is none.
        """
        path = os.path.abspath(target.path)
        target.close()
        os.unlink(path)
        self._free()
        if "create" not in self.abilities:
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
        target: _Storage,
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
        link, self._link, self._busy = self._link, None, False
        if link is not None:
            link.kill()

    def drop(self) -> None:
        """End the process by SIGKILL, whatever it did."""
        link, self._link, self._busy = self._link, None, False
        if link is not None:
            link.drop()

    def close(self) -> None:
        """End the process as the protocol has it: by the end of its input.

        Raises:
            AdapterError: it does not end in time, or fails.
        """
        link, self._link, self._busy = self._link, None, False
        if link is not None:
            link.close()


class StdioImage:
    """An opened image; see `targets.Image` for what its methods raise.

    Args:
        target: whose image it is.
        size: bytes of the disk.

    Attributes:
        size: the same; `resize` changes it.
    """

    def __init__(self, target: StdioTarget, size: int) -> None:
        self._target = target
        self.size = size

    def _can(self, ability: str) -> bool:
        return ability in self._target.abilities

    def read(self, offset: int, length: int) -> bytes:
        """See `targets.Image.read`."""
        pieces = []
        for start, size in _pieces(offset, length):
            data = b64decode(self._target.ask("read", offset=start, length=size)["data"])
            if len(data) != size:
                # Not the protocol's concern: whoever reads has to see how many bytes came.
                return data
            pieces.append(data)
        return b"".join(reversed(pieces))

    def write(self, offset: int, data: bytes, *, fua: bool = False) -> None:
        """See `targets.Image.write`."""
        durable = fua and self._can("fua")
        for start, size in _pieces(offset, len(data)):
            piece = data[start - offset : start - offset + size]
            self._target.ask("write", offset=start, data=b64encode(piece).decode(), fua=durable)
        if fua and not durable:
            self.flush()

    def write_zeroes(self, offset: int, length: int, *, unmap: bool = True, fua: bool = False) -> None:
        """See `targets.Image.write_zeroes`."""
        durable = fua and self._can("fua")
        self._target.ask("zeroes", offset=offset, length=length, unmap=unmap, fua=durable)
        if fua and not durable:
            self.flush()

    def flush(self) -> None:
        """See `targets.Image.flush`."""
        self._target.ask("flush")

    def extents(self) -> Iterator[_Extent]:
        """See `targets.Image.extents`; an answer may stop early, and the rest is asked for."""
        at = 0
        while at < self.size:
            found = self._target.ask("extents", offset=at, length=self.size - at)["extents"]
            if not found:
                return
            for extent in found:
                yield _Extent(**extent)
            at = found[-1]["start"] + found[-1]["length"]

    def info(self) -> Message:
        """The answer to ``info``: size, revision, image_file and backing_file."""
        return self._target.ask("info")

    def resize(self, size: int) -> None:
        """See `targets.Image.resize`."""
        try:
            self.size = self._target.ask("resize", size=size)["size"]
        except AdapterError:
            raise
        except AddCowError:
            if self._can("info"):
                self.size = self.info()["size"]
            raise

    def stream(self, *, stop: Callable[[], bool] | None = None) -> bool:
        """See `targets.Image.stream`; where it may have to stop, it goes by requests of a part each."""
        while not (stop and stop()):
            complete: bool = self._target.ask("stream", length=_STEP if stop else None)["complete"]
            if complete or not stop:
                return complete
        return False

    def close(self) -> None:
        """See `targets.Image.close`."""
        try:
            self._target.ask("close")
        finally:
            self._target.closed()

    def kill(self) -> None:
        """End without a flush, as a process that is killed."""
        self._target.kill()


def _pieces(offset: int, length: int) -> Iterator[tuple[int, int]]:
    """A range in pieces that a message holds, the last one first: one that ends outside is refused whole."""
    starts = range(offset, offset + length, LARGEST_DATA) or range(offset, offset + 1)
    return ((start, min(LARGEST_DATA, offset + length - start)) for start in reversed(starts))


def _said(name: bytes) -> str:
    try:
        return name.decode()
    except UnicodeDecodeError as error:
        raise AdapterError("the protocol has no way to say a name that is not UTF-8") from error
