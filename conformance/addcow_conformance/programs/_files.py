"""Where the files of a program lie: in memory, or in a directory; opened, read, and shown to the checker."""

from __future__ import annotations

import os
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Protocol

from addcow_conformance.checker import CheckOptions, Identity, OpenFailed, OpenFile, Refusal, check_image
from addcow_conformance.programs._program import Via
from addcow_ref.memory import MemoryFiles
from addcow_ref.storage import OpenFailed as NotOpened
from addcow_ref.storage import Storage

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from addcow_conformance.checker import Report
    from addcow_spec.model import Revision

__all__ = ["IMAGE", "RAW", "DirectoryFiles", "Files", "InMemoryFiles", "check_memory"]

IMAGE, RAW = b"disk.add-cow", b"disk.raw"
_LINK, _ELSEWHERE = b"link.add-cow", b"elsewhere"


class Files(Protocol):
    """The files of a program, by name.

    Attributes:
        private: whether nobody can change them but by the storages that were given out.
    """

    private: bool

    def create(self, name: bytes, data: bytes = b"") -> Storage:
        """Make a file and open it for writing."""

    def open(self, name: bytes, *, writable: bool, via: Via = Via.PATH) -> Storage:
        """Open a file."""

    def get(self, name: bytes) -> bytes:
        """All bytes of a file."""

    def length(self, name: bytes) -> int:
        """Bytes of a file; 0 where there is none."""

    def inside(self, via: Via) -> AbstractContextManager[None]:
        """Be in the directory that an image is opened from by that way."""

    def check(self, revision: Revision) -> Report:
        """What the checker says of the image."""


class InMemoryFiles:
    """Files in memory; there are no links and no directories."""

    private = True

    def __init__(self) -> None:
        self.memory = MemoryFiles()

    def create(self, name: bytes, data: bytes = b"") -> Storage:
        """See `Files.create`."""
        file = self.memory.create(name)
        file.write(0, data)
        return file

    def open(self, name: bytes, *, writable: bool, via: Via = Via.PATH) -> Storage:  # noqa: ARG002 - the protocol's
        """See `Files.open`; there is one way only."""
        return self.memory.open(name, writable=writable)

    def get(self, name: bytes) -> bytes:
        """See `Files.get`."""
        return self.memory.contents(name)

    def length(self, name: bytes) -> int:
        """See `Files.length`."""
        file = self.memory.open(name)
        try:
            return file.length()
        finally:
            file.close()

    def inside(self, via: Via) -> AbstractContextManager[None]:  # noqa: ARG002 - the protocol's
        """See `Files.inside`; there are no directories."""
        return nullcontext()

    def check(self, revision: Revision) -> Report:
        """See `Files.check`."""
        return check_memory(self.memory, revision)


class DirectoryFiles:
    """Files in a directory, with a symbolic link to the image and a directory to be in beside it."""

    private = False

    def __init__(self, directory: str | bytes) -> None:
        self._directory = os.fsencode(directory)
        os.mkdir(os.path.join(self._directory, _ELSEWHERE))
        os.symlink(IMAGE, os.path.join(self._directory, _LINK))

    def create(self, name: bytes, data: bytes = b"") -> Storage:
        """See `Files.create`."""
        with open(self.path(name), "xb") as file:
            file.write(data)
        return self.open(name, writable=True)

    def open(self, name: bytes, *, writable: bool, via: Via = Via.PATH) -> Storage:
        """See `Files.open`."""
        from addcow_ref import FileStorage  # noqa: PLC0415 - memory alone needs no engine

        if via is Via.DIRECTORY:
            with self.inside(via):
                return FileStorage.open_path(os.path.join(b"..", name), writable=writable)
        path = self.path(_LINK if via is Via.SYMLINK else name)
        return FileStorage.open_path(path, writable=writable)

    def get(self, name: bytes) -> bytes:
        """See `Files.get`."""
        with open(self.path(name), "rb") as file:
            return file.read()

    def length(self, name: bytes) -> int:
        """See `Files.length`."""
        try:
            return os.path.getsize(self.path(name))
        except FileNotFoundError:
            return 0

    def inside(self, via: Via) -> AbstractContextManager[None]:
        """See `Files.inside`."""
        return _inside(self.path(_ELSEWHERE)) if via is Via.DIRECTORY else nullcontext()

    def check(self, revision: Revision) -> Report:
        """See `Files.check`."""
        return check_image(self.path(IMAGE), CheckOptions(revision=revision))

    def path(self, name: bytes) -> bytes:
        """The path of a file."""
        return os.path.join(self._directory, name)


@contextmanager
def _inside(directory: bytes) -> Iterator[None]:
    before = os.open(b".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.chdir(directory)
        yield
    finally:
        os.fchdir(before)
        os.close(before)


# --- files in memory, for the checker


def check_memory(memory: MemoryFiles, revision: Revision) -> Report:
    """What the checker says of the image in files that are in memory."""

    def opener(path: bytes, **_: object) -> OpenFile:
        try:
            return _StorageFile(memory.open(path))
        except NotOpened as error:
            raise OpenFailed(Refusal(error.reason.value), str(error)) from error

    return check_image(IMAGE, CheckOptions(revision=revision), opener=opener)


class _StorageFile(OpenFile):
    """A storage, as the checker reads files."""

    def __init__(self, storage: Storage) -> None:
        super().__init__(-1, storage.path, Identity(*storage.identity), storage.length())
        self._storage = storage

    def __exit__(self, *_: object) -> None:
        self._storage.close()

    def read(self, offset: int, size: int) -> bytes:
        """See `OpenFile.read`."""
        data = bytearray(max(min(size, self.length - offset), 0))
        self._storage.read_into(offset, data)
        return bytes(data)

    def read_into(self, buffer: memoryview, offset: int) -> None:
        """See `OpenFile.read_into`."""
        self._storage.read_into(offset, buffer)

    def next_data(self, offset: int, end: int) -> int:
        """See `OpenFile.next_data`."""
        return self._storage.next_data(offset, end)
