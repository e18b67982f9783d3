"""The plugin that `addcow_ref.serve` has nbdkit load: requests of NBD clients become those of one image.

nbdkit looks the callbacks up in this module by name; nothing of the project imports it. All connections share
one `Image`, which is open while there is one: a flush on any connection covers what was written on all, and
nobody is locked out while nobody is connected. What `serve` was told comes in the environment, as names may
be any bytes.
"""

# ruff: noqa: A001, ARG001, FBT001 - nbdkit decides how callbacks are called, and what they are passed
from __future__ import annotations

import ctypes
import errno
import json
import os
import socket
import stat
import sys
import time
from contextlib import suppress
from itertools import islice
from threading import Lock, Thread, get_native_id, local
from typing import TYPE_CHECKING

import nbdkit  # type: ignore[import-not-found]  # is there inside nbdkit only

_SETTINGS = json.loads(os.environ["ADDCOW_SERVE"])
sys.path[1:1] = _SETTINGS["path"]

from addcow_ref._open import open_image  # noqa: E402 - its place was not known before
from addcow_spec.errors import AddCowError, StorageError, UsageError  # noqa: E402 - likewise
from addcow_spec.model import Revision  # noqa: E402 - likewise

if TYPE_CHECKING:
    from addcow_ref._image import Image

__all__: list[str] = []

API_VERSION = 2

# What NBD has a number for; nbdkit would make EINVAL of any other.
_ERRORS = {errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.ENOMEM}
_MOST_EXTENTS = 4096
_PAGE = 4096
_ANY_SIZE = 0xFFFFFFFF
_STANDARD_ERROR = 2


class _Server:
    """The image, open while clients are connected."""

    def __init__(self) -> None:
        self.failed = False
        self._clients = 0
        self._image: Image | None = None
        self._lock = Lock()

    def enter(self, *, writable: bool) -> Image:
        confine, revision = _SETTINGS["confine"], _SETTINGS["revision"]
        with self._lock:
            _states.free()
            if self._image is None:
                self._image = open_image(
                    bytes.fromhex(_SETTINGS["image"]),
                    writable=writable,
                    revision=revision and Revision(revision),
                    confine=confine and bytes.fromhex(confine),
                )
            self._clients += 1
            return self._image

    def leave(self) -> None:
        with self._lock:
            self._clients -= 1
            if not self._clients:
                self._close()

    def end(self) -> None:
        """Close the image for clients that are still connected; requests under way are waited for."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        image, self._image = self._image, None
        try:
            if image is not None:
                image.close()
        except AddCowError:
            self.failed = True
            raise


class _ThreadStates:
    """Lets each thread of nbdkit keep its thread state from one request to the next.

    nbdkit enters Python by PyGILState_Ensure and leaves it by PyGILState_Release, which for a thread that
    Python did not start makes a thread state and its stack, and unmaps both again: half of the time of a
    small request. One more Ensure keeps them. As nothing of ours runs in a thread at its end, the states of
    those that have ended are freed when the next client comes.
    """

    def __init__(self) -> None:
        self._here = local()
        self._kept: list[tuple[int, int]] = []
        self._api = ctypes.pythonapi
        self._api.PyGILState_GetThisThreadState.restype = ctypes.c_void_p
        self._api.PyThreadState_Clear.argtypes = [ctypes.c_void_p]
        self._api.PyThreadState_Delete.argtypes = [ctypes.c_void_p]

    def keep(self) -> None:
        """Keep the state of the calling thread."""
        try:
            self._here.kept  # noqa: B018 - whether it is there is the question
        except AttributeError:
            self._here.kept = True
            self._api.PyGILState_Ensure()
            self._kept.append((get_native_id(), self._api.PyGILState_GetThisThreadState()))

    def free(self) -> None:
        """Free what threads left that have ended; one at a time may call it."""
        for entry in list(self._kept):
            thread, state = entry
            if not os.path.exists(f"/proc/self/task/{thread}"):
                self._kept.remove(entry)
                self._api.PyThreadState_Clear(state)
                self._api.PyThreadState_Delete(state)


_server = _Server()
_states = _ThreadStates()


def _reported(error: AddCowError) -> AddCowError:
    """The error to raise, when nbdkit knows what to tell the client; the log gets its message and no more."""
    code = errno.EINVAL if isinstance(error, UsageError) else errno.EIO
    cause: BaseException | None = error
    while isinstance(cause, StorageError):
        cause = cause.__cause__
    if isinstance(cause, OSError) and cause.errno in _ERRORS:
        code = cause.errno
    nbdkit.set_error(code)
    return error.with_traceback(None)


# --- the server


def thread_model() -> int:
    return int(nbdkit.THREAD_MODEL_PARALLEL)


def after_fork() -> None:
    Thread(target=_release_clients_at_the_end, daemon=True).start()


def _release_clients_at_the_end() -> None:
    """Let the clients go when `serve` closes its end of the pipe, or has gone: nbdkit would wait for them.

    A client's next request is the end of its connection; those under way are answered.
    """
    os.read(_SETTINGS["end"], 1)
    while True:
        for name in os.listdir("/proc/self/fd"):
            if int(name) > _STANDARD_ERROR:
                _shut(int(name))
        time.sleep(0.1)  # somebody may have been let in meanwhile


def _shut(descriptor: int) -> None:
    with suppress(OSError):
        if stat.S_ISSOCK(os.fstat(descriptor).st_mode):
            with socket.socket(fileno=os.dup(descriptor)) as client:
                if not client.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                    client.shutdown(socket.SHUT_RD)


def cleanup() -> None:
    """Let the exit status tell of data that could not be flushed: nobody else is left to be told."""
    try:
        _server.end()
    except AddCowError as error:
        sys.stderr.write(f"{error}\n")
    if _server.failed:
        os._exit(1)


# --- connections


def open(readonly: bool) -> Image:
    try:
        return _server.enter(writable=not readonly)
    except AddCowError as error:
        raise _reported(error) from None


def close(image: Image) -> None:
    _server.leave()


def get_size(image: Image) -> int:
    return image.size


def block_size(image: Image) -> tuple[int, int, int]:
    return 1, max(image.unit_size, _PAGE), _ANY_SIZE


def is_rotational(image: Image) -> bool:
    return False


def can_multi_conn(image: Image) -> bool:
    return True


def can_fua(image: Image) -> int:
    return int(nbdkit.FUA_NATIVE)


def can_cache(image: Image) -> int:
    return int(nbdkit.CACHE_NONE)


# --- requests: what is done here is done for every few kilobytes


def pread(image: Image, buffer: memoryview, offset: int, flags: int) -> None:
    _states.keep()
    try:
        image.read_into(offset, buffer)
    except AddCowError as error:
        raise _reported(error) from None


def pwrite(image: Image, buffer: memoryview, offset: int, flags: int) -> None:
    _states.keep()
    try:
        image.write(offset, buffer)
        if flags:  # FUA is the only one
            image.flush()
    except AddCowError as error:
        raise _reported(error) from None


def flush(image: Image, flags: int) -> None:
    try:
        image.flush()
    except AddCowError as error:
        raise _reported(error) from None


def zero(image: Image, count: int, offset: int, flags: int) -> None:
    unmap, fua = bool(flags & nbdkit.FLAG_MAY_TRIM), bool(flags & nbdkit.FLAG_FUA)
    try:
        image.write_zeroes(offset, count, unmap=unmap, fua=fua)
    except AddCowError as error:
        raise _reported(error) from None


def extents(image: Image, count: int, offset: int, flags: int) -> list[tuple[int, int, int]]:
    """The extents of a range, or the first of many: clients ask again for the rest."""
    most = 1 if flags & nbdkit.FLAG_REQ_ONE else _MOST_EXTENTS
    try:
        found = list(islice(image.extents(offset, count), most))
    except AddCowError as error:
        raise _reported(error) from None
    return [
        (
            extent.start,
            extent.length,
            (nbdkit.EXTENT_ZERO if extent.zero else 0) | (0 if extent.data else nbdkit.EXTENT_HOLE),
        )
        for extent in found
    ]
