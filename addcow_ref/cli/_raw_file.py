"""The raw file of a new image: complete under its own name, or not there at all.

All happens by name in a directory that was opened once: what was judged is where the file is made, whatever
becomes of the path meanwhile.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from addcow_ref import FileStorage
from addcow_spec.errors import ImageInUse, StorageError

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["RawFile"]

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class RawFile:
    """A raw file that is there, or is made. Use it in a ``with`` statement.

    Args:
        image: path of the add-cow file.
        name: the raw file's name as it will be stored.

    Attributes:
        directory: real path of the directory that it is in.

    Raises:
        OSError: that directory cannot be opened.
    """

    def __init__(self, image: bytes, name: bytes) -> None:
        self._image = image
        self._path = os.path.join(os.path.dirname(image), name)
        self._base = os.path.basename(name)
        self._made: FileStorage | None = None
        start = os.open(os.path.dirname(image) or b".", _DIRECTORY)
        try:
            self._at = os.open(os.path.dirname(name) or b".", _DIRECTORY, dir_fd=start)
        finally:
            os.close(start)
        self.directory = os.readlink(b"/proc/self/fd/%d" % self._at)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._made:
            if kind is not None:
                self._take_back(self._made)
            self._made.close()
        os.close(self._at)

    def exists(self) -> bool:
        """Whether there is something of its name; what a link does not lead to is not there."""
        try:
            os.stat(self._base or b".", dir_fd=self._at)
        except OSError:
            return False
        return True

    def make(self, size: int) -> bool:
        """Make it, ``size`` bytes long, all of them a hole; removed again where the block fails.

        Returns:
            False where somebody else has made one meanwhile.

        Raises:
            OSError: the file system failed; no file is left.
            StorageError: so did it.
        """
        draft = b".addcow-" + os.urandom(8).hex().encode()
        descriptor = os.open(draft, _NEW, 0o666, dir_fd=self._at)
        try:
            file = FileStorage.adopt(descriptor, self._path)
            try:
                os.ftruncate(descriptor, size)
                os.fsync(descriptor)
                os.link(draft, self._base, src_dir_fd=self._at, dst_dir_fd=self._at, follow_symlinks=False)
            except BaseException:
                file.close()
                raise
        except FileExistsError:
            return False
        finally:
            os.unlink(draft, dir_fd=self._at)
        self._made = file
        os.fsync(self._at)
        return True

    def _take_back(self, made: FileStorage) -> None:
        """Remove the file that was made, unless another has made the image, which then stands on it."""
        with suppress(StorageError):  # where nothing can be locked, nobody can have it open
            try:
                made.lock(exclusive=True)
            except ImageInUse:
                return
        with suppress(OSError):
            if self._is_made(made, self._base, self._at) and (
                not os.path.lexists(self._image) or self._is_made(made, self._image)
            ):
                os.unlink(self._base, dir_fd=self._at)

    @staticmethod
    def _is_made(made: FileStorage, name: bytes, at: int | None = None) -> bool:
        status = os.stat(name, dir_fd=at, follow_symlinks=False)
        return (status.st_dev, status.st_ino) == made.identity
