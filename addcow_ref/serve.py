"""Serving the disk of an image over NBD, with nbdkit and a plugin on the engine."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import socket as sockets
import subprocess
import sys
import sysconfig
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING

from addcow_ref._open import open_image
from addcow_spec.errors import StorageError, UsageError
from addcow_spec.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    from addcow_ref._open import Path
    from addcow_spec.model import Revision

__all__ = ["DEFAULT_PORT", "DEFAULT_THREADS", "serve"]

DEFAULT_PORT = 10809

# Python runs in one thread at a time: more of them mostly wait for one another, which costs small writes a
# third; fewer leave a slow disk idle.
DEFAULT_THREADS = 4

_PLUGIN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "_nbdkit_plugin.py")
_INSTALL = "install nbdkit with its Python plugin (Debian: nbdkit, nbdkit-plugin-python)"

# nbdkit takes a listening socket as descriptor 3 of the process that LISTEN_PID names, which it then is. The
# socket is made here because errors are then told apart, and what was made is known to be ours to remove.
_HAND_OVER = 'LISTEN_FDS=1 LISTEN_PID=$$ exec "$@" 3<&0 </dev/null'


def serve(
    image: Path,
    *,
    socket: Path | None = None,
    port: int | None = None,
    address: str = "127.0.0.1",
    read_only: bool = False,
    revision: Revision | None = None,
    confine: Path | None = None,
    threads: int = DEFAULT_THREADS,
    announce: Callable[[str], None] | None = None,
) -> int:
    """Serve the disk of an image until SIGINT or SIGTERM comes; to be called from the main thread.

    The image is judged before anything listens. It is open, and locked, while a client is connected, so that
    it can be resized between clients.

    Args:
        image: the add-cow file.
        socket: path of the Unix socket to make; it is removed at the end.
        port: TCP port to listen on, 0 for any that is free; without ``socket`` 10809 unless stated.
        address: address of that port. NBD knows no passwords: beyond loopback, everybody reads and writes.
        read_only: whether writes are refused.
        revision: revision of the format; None to find out.
        confine: as in `open_image`.
        threads: requests of one connection that are served at a time, 1 or more; a slow disk may want more.
        announce: told the NBD URI once it can be connected to.

    Returns:
        The exit status: 0 after a signal if everything was written, else that of nbdkit, or 1.

    Raises:
        UsageError: the arguments make no sense, or nbdkit is missing; the message says what to install.
        ImageError, ImageInUse, OpenFailed, StorageError: the image cannot be opened, as `open_image` has it.
        StorageError: the socket cannot be made.
    """
    if socket is not None and port is not None:
        raise UsageError("a Unix socket and a TCP port exclude each other")
    nbdkit = _find_nbdkit()
    open_image(image, writable=not read_only, revision=revision, confine=confine).close()
    with _listening(socket, DEFAULT_PORT if port is None else port, address) as (listener, uri):
        command = [nbdkit, "--exit-with-parent", "--newstyle", "--threads", str(threads)]
        command += ["--readonly"] if read_only else []
        settings: dict[str, object] = {
            "image": os.fsencode(image).hex(),
            "revision": revision,
            "confine": None if confine is None else os.fsencode(confine).hex(),
            "path": _import_path(),
        }
        ready = partial(announce, uri) if announce else None
        return _run([*command, "python", _PLUGIN], settings, listener, ready)


def _find_nbdkit() -> str:
    """The path of nbdkit, whose Python can run this one's modules.

    Raises:
        UsageError: there is none.
    """
    path = shutil.which("nbdkit")
    if path is None:
        raise UsageError(f"nbdkit is needed to serve: {_INSTALL}")
    told = subprocess.run(  # noqa: S603 - the program that was just found
        [path, "python", "--dump-plugin"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    facts = dict(line.split("=", 1) for line in told.stdout.splitlines() if "=" in line)
    version = facts.get("python_version")
    if told.returncode or version is None:
        raise UsageError(f"nbdkit lacks its Python plugin: {_INSTALL}")
    # Compiled modules, bitarray's among them, work under one minor version only.
    if version.split(".")[:2] != [str(part) for part in sys.version_info[:2]]:
        here = f"{sys.version_info.major}.{sys.version_info.minor}"
        raise UsageError(
            f"nbdkit's Python is {version} and this one is {here}: install add-cow-toolkit under the former"
        )
    return path


def _import_path() -> list[str]:
    """Where modules are imported from, but for the standard library: nbdkit's Python has its own."""
    own = {os.path.realpath(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib")}
    own |= {os.path.join(path, "lib-dynload") for path in own}
    paths = [os.path.abspath(path) for path in sys.path]
    return [path for path in paths if os.path.isdir(path) and os.path.realpath(path) not in own]


@contextmanager
def _listening(path: Path | None, port: int, address: str) -> Iterator[tuple[sockets.socket, str]]:
    """A socket that listens, and its URI."""
    if path is not None:
        with _listening_at(os.path.abspath(os.fsencode(path))) as found:
            yield found
        return
    try:
        family, *_, target = sockets.getaddrinfo(
            address, port, type=sockets.SOCK_STREAM, flags=sockets.AI_PASSIVE
        )[0]
        listener = sockets.create_server((str(target[0]), port), family=family)
    except (OSError, UnicodeError, OverflowError) as error:
        raise StorageError(f"{address}, port {port}: {_reason(error)}") from error
    with listener:
        host, number, *_ = listener.getsockname()
        yield listener, f"nbd://[{host}]:{number}" if ":" in host else f"nbd://{host}:{number}"


@contextmanager
def _listening_at(path: bytes) -> Iterator[tuple[sockets.socket, str]]:
    with sockets.socket(sockets.AF_UNIX, sockets.SOCK_STREAM) as listener:
        try:
            listener.bind(path)
            made = os.lstat(path)
            listener.listen()
        except OSError as error:
            taken = os.path.lexists(path)
            reason = "there is such a file already; remove it, or choose another" if taken else _reason(error)
            raise StorageError(f"socket {printable(path)}: {reason}") from error
        try:
            yield listener, f"nbd+unix:///?socket={_quoted(path)}"
        finally:
            with suppress(OSError):
                if os.path.samestat(os.lstat(path), made):
                    os.unlink(path)


def _quoted(path: bytes) -> str:
    from urllib.parse import quote  # noqa: PLC0415 - slow to import

    return quote(path)


def _reason(error: Exception) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)


def _pipe() -> tuple[int, int]:
    """A pipe whose reading end is not descriptor 3, which nbdkit gets the listening socket as."""
    low, end = os.pipe()
    told = fcntl.fcntl(low, fcntl.F_DUPFD_CLOEXEC, 10)
    os.close(low)
    return told, end


def _run(
    command: list[str],
    settings: dict[str, object],
    listener: sockets.socket,
    ready: Callable[[], None] | None,
) -> int:
    """Run nbdkit until it ends; SIGINT and SIGTERM go on to it, from before ``ready`` is called.

    nbdkit would wait for its clients then, so the plugin is told, by a pipe that closes, to let them go. It
    closes too where this process is killed.
    """
    told, end = _pipe()
    environment = os.environ | {"ADDCOW_SERVE": json.dumps(settings | {"end": told})}
    asked: list[int] = []
    child: subprocess.Popen[bytes] | None = None

    def hand_on(number: int, _: FrameType | None) -> None:
        if not asked:
            os.close(end)
        asked.append(number)
        if child is not None:
            child.send_signal(number)

    previous = {number: signal.signal(number, hand_on) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        child = subprocess.Popen(  # noqa: S603 - fixed words, and paths as arguments of their own
            ["/bin/sh", "-c", _HAND_OVER, "sh", *command],
            stdin=listener.fileno(),
            env=environment,
            pass_fds=(told,),
            restore_signals=False,  # SIGXFSZ stays ignored: a file that is too large is an error, not the end
        )
        if asked:
            child.terminate()
        elif ready:
            ready()
        listener.close()  # what nbdkit does not accept any more shall be refused
        status = child.wait()
    finally:
        if child is not None and child.poll() is None:
            child.terminate()  # an error of ``ready`` is on its way
            child.wait()
        for number, handler in previous.items():
            signal.signal(number, handler)
        os.close(told)
        if not asked:
            os.close(end)
    # A signal that comes before nbdkit handles it ends it: nobody was connected, and nothing is lost.
    return 0 if status < 0 and -status in asked else 128 - status if status < 0 else status
