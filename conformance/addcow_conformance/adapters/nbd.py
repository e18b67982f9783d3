"""A program that exports an image over NBD at a Unix socket, as a target that a session can use.

It is started for each opening. The client is libnbd, in a process of nbdsh that lives as long as the target
(`_nbd_bridge.py`). New images are made byte by byte, as NBD makes none.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
import weakref
from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING, Any

from addcow_conformance.adapters._link import Link
from addcow_conformance.adapters._make import make_image
from addcow_conformance.adapters._nbd_command import Command
from addcow_conformance.adapters._nbd_image import NbdImage
from addcow_conformance.adapters._nbd_observe import observe, requests_of
from addcow_conformance.adapters._nbd_script import SOCKET, Script
from addcow_conformance.adapters._nbd_server import Server
from addcow_conformance.adapters._storage import Storage, vacated
from addcow_conformance.adapters._transcript import Transcript
from addcow_conformance.adapters.stdio import About
from addcow_conformance.protocol import VERSION, Message
from addcow_spec.errors import AdapterError, CannotStart, Crashed, ImageError, ProtocolViolation, StorageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from addcow_spec.model import Revision

__all__ = ["NbdImage", "NbdTarget", "load"]

_BRIDGE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "_nbd_bridge.py")
# A path that a socket's address has no room for cannot be listened at.
_LONGEST_SOCKET = 107
# What the client says where nobody listens yet, and where the connection is lost.
_NOBODY, _LOST = ("ECONNREFUSED", "ENOENT"), "ENOTCONN"


def load(command: str, *, timeout: float, validate: bool, under: Sequence[str] = ()) -> NbdTarget:  # noqa: ARG001
    """The target of ``nbd:COMMAND``; what it can do was observed with tiny images.

    Args:
        command: the command, in words as a shell has them, with placeholders; see `Command`.
        timeout: seconds that it may take to listen, to answer and to end.
        validate: nothing, as the protocol is not the program's.
        under: the words of a command that runs it. SIGTERM goes to both.

    Raises:
        UsageError: it is no command, or lacks a placeholder.
        AdapterError: the program or nbdsh cannot be started, or serves no image.
    """
    return NbdTarget(Command(command, under), timeout=timeout)


class NbdTarget:
    """An implementation that serves images over NBD, one at a time. Use it in a ``with``, or `close` it.

    Args:
        command: what is started for each opening.
        timeout: seconds that it may take to listen, to answer and to end.

    Attributes:
        about: the name of the program, and what was observed.
        abilities: words of `protocol.CAPABILITIES`; see `targets.abilities_of`.
        transcript: what was done to it.

    Raises:
        AdapterError: the program or nbdsh cannot be started, or serves no image.
    """

    def __init__(self, command: Command, *, timeout: float = 30.0) -> None:
        self._command = command
        self._timeout = timeout
        self._home = os.getcwdb()
        self._sockets = tempfile.mkdtemp(prefix="addcow-nbd-")
        self._remove_sockets = weakref.finalize(self, shutil.rmtree, self._sockets, ignore_errors=True)
        self._numbers = count(1)
        self._link: Link | None = None
        self._server: Server | None = None
        self.transcript = Transcript()
        self._script = Script(self.transcript)
        self.abilities = frozenset[str]()
        try:
            self._client()
            revisions, self.abilities = observe(self)
        except BaseException:
            self._end_client()
            self._remove_sockets()
            raise
        self.about = About(command.name, "", "", "", "", revisions, tuple(sorted(self.abilities)))

    def __enter__(self) -> NbdTarget:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(AdapterError):
            self.close()

    # --- the client

    def _client(self) -> Link:
        if self._link is None:
            nbdsh = shutil.which("nbdsh")
            if nbdsh is None:
                raise CannotStart("nbdsh is not installed, and nbd: needs it (Debian: python3-libnbd)")
            # It runs the first python3 that it finds; the module is for the one beside it. That looks for
            # modules in the working directory first, where `nbd.py` may be anything.
            path = os.pathsep.join([os.path.dirname(nbdsh), os.environ.get("PATH", os.defpath)])
            code = f"import runpy; runpy.run_path({_BRIDGE!a}, run_name='__main__')"
            words = ("env", "-C", "/", f"PATH={path}", nbdsh, "-n", "-c", code)
            link = Link(words, self._timeout, None)
            try:
                link.ask("start", protocol=VERSION)
            except AdapterError as error:
                said = CannotStart(f"nbdsh (Debian: python3-libnbd): {error}")
                raise _retold(said, error.said) from error
            self._link = link
        return self._link

    def _end_client(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            link.drop()

    def _ask(self, server: Server, do: str, members: Message) -> Message:
        """The client's answer; where there is none, nothing is served any more."""
        try:
            return self._client().ask(do, **members)
        except AdapterError as error:
            self._link, said = None, server.drop() or error.said
            # It is the client that has ended, whatever it was that it could not bear.
            told = ProtocolViolation(f"libnbd: {error}") if isinstance(error, Crashed) else error
            raise _retold(told, said) from error

    def ask(self, do: str, **members: Any) -> Message:  # noqa: ANN401 - whatever the request holds
        """The result of a request to what is served; see `Link.ask`. After an AdapterError nothing is.

        Raises:
            UsageError: it is refused.
            StorageError: the reply is an error, or nothing is served.
            AdapterError: there is none.
        """
        server = self._server
        if server is None:
            raise StorageError("no image is open")
        self._script.ask(do, members)
        try:
            try:
                result = self._ask(server, do, members)
            except StorageError as error:
                server.check_running(lost=str(error).startswith(_LOST))
                raise
            if do != "close":  # then some end by themselves
                server.check_running(lost=False)
        except AdapterError:
            self._server = None
            raise
        return result

    # --- the server

    def serve(self, path: bytes, directory: bytes, *, writable: bool, revision: Revision) -> int:
        """Have an image served, and no other one; the size of its disk in bytes.

        Args:
            path: its path, which may be relative to the directory.
            directory: the working directory of the program.
            writable: whether it is opened for writing.
            revision: what ``{revision}`` stands for.

        Raises:
            InvalidImage: the program ends with a status above 0; ``rule`` is the first that its words name.
            AdapterError: it does not serve it, and does not refuse it either.
        """
        self.drop()
        socket = os.path.join(self._sockets, str(next(self._numbers)))
        if len(os.fsencode(socket)) > _LONGEST_SOCKET:
            raise CannotStart("the directory for temporary files has too long a name for a socket")
        self._script.serve(
            self._command.words(path, SOCKET, revision, writable=writable),
            None if os.path.isabs(path) else directory,
        )
        until = time.monotonic() + self._timeout
        server = Server(self._command.words(path, socket, revision, writable=writable), directory, socket)
        try:
            size = self._connect(server, until, writable=writable)
        except BaseException:
            server.drop()
            raise
        self._server = server
        return size

    def _connect(self, server: Server, until: float, *, writable: bool) -> int:
        members = {"path": server.socket, "directory": None, "writable": writable, "revision": ""}
        while True:
            server.await_socket(until)
            try:
                size: int = self._ask(server, "open", members)["size"]
            except StorageError as error:
                if not str(error).startswith(_NOBODY):
                    server.refuse()
            else:
                server.check_running(lost=False)
                return size
            server.pause(until)

    def probe(self) -> None:
        """Have a tiny image served once more.

        Raises:
            AdapterError: it is not.
        """
        try:
            requests_of(self, self.about.revisions[-1])
        except ImageError as error:
            raise ProtocolViolation(f"it has served such an image before: {error}") from error

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
            UsageError: the image file's length is no size for the revision (ACW-SIZ-007).
        """
        path = vacated(target)
        with self.transcript.making(path):
            make_image(path, image_file, backing_file or b"", revision, raw=backing_format == "raw")

    def open_image(
        self,
        target: Storage,
        *,
        writable: bool,
        revision: Revision,
        cache_size: int = 0,  # noqa: ARG002 - the program's own matter
    ) -> NbdImage:
        """See `targets.Target.open_image`. A relative path is one of the working directory as it is now.

        Raises:
            InvalidImage: the program ends with a status above 0; ``rule`` is the first that its words name.
            AdapterError: it does not serve it, and does not refuse it either.
        """
        path = target.path
        target.close()
        relative = not os.path.isabs(path) and "directory" in self.abilities
        place = (path, os.getcwdb()) if relative else (os.path.abspath(path), self._home)
        return NbdImage(self, self.serve(*place, writable=writable, revision=revision))

    # --- ends

    def closed(self) -> None:
        """The image has been flushed, and the client has disconnected: the program ends.

        Raises:
            AdapterError: it does not end in time, or with another status than 0.
        """
        self._script.close()
        server, self._server = self._server, None
        if server is not None:
            server.end(self._timeout)

    def kill(self) -> None:
        """End what serves the image by SIGKILL.

        Raises:
            AdapterError: it had ended before.
        """
        self._script.kill()
        server, self._server = self._server, None
        if server is not None:
            server.kill()

    @property
    def processes(self) -> tuple[int, ...]:
        """See `targets.ExternalTarget`."""
        return (self._server.pid,) if self._server is not None else ()

    def drop(self) -> None:
        """End what serves an image by SIGKILL, whatever it did."""
        self._script.kill()
        server, self._server = self._server, None
        if server is not None:
            server.drop()

    def close(self) -> None:
        """End the client, and what serves an image. Nothing can be served afterwards."""
        self.drop()
        self._end_client()
        self._remove_sockets()


def _retold(error: AdapterError, said: tuple[str, ...]) -> AdapterError:
    """The same with other last words: those of the program, where it has said any."""
    error.said = said
    return error
