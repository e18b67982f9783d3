"""Directories for machines on real files: in memory where the system has such a place, as syncs cost."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from contextlib import suppress

__all__ = ["Folder"]

_FAST = "/dev/shm"  # noqa: S108 - each directory in it is made by mkdtemp
_PREFIX = "addcow-model-"
# Seconds; a younger directory may not be locked yet.
_OLD = 60


class Folder:
    """A directory of our own, made when it is first needed, and locked as long as this process lives."""

    def __init__(self) -> None:
        self._path: str | None = None
        self._lock = -1
        self._count = 0

    def fresh(self) -> str:
        """An empty directory in it."""
        if self._path is None:
            place = _FAST if os.access(_FAST, os.W_OK) else tempfile.gettempdir()
            _remove_orphans(place)
            self._path = tempfile.mkdtemp(prefix=_PREFIX, dir=place)
            self._lock = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            fcntl.flock(self._lock, fcntl.LOCK_SH)
        self._count += 1
        directory = os.path.join(self._path, str(self._count))
        os.mkdir(directory)
        return directory

    def remove(self) -> None:
        """Remove it and all that is in it; errors are raised, as files left open are none."""
        if self._path is not None:
            shutil.rmtree(self._path)
            os.close(self._lock)
            self._path = None


def _remove_orphans(place: str) -> None:
    """Remove what processes have left there that were killed: it is not locked any more."""
    for entry in os.scandir(place):
        with suppress(OSError):
            if not entry.name.startswith(_PREFIX) or time.time() - entry.stat().st_mtime < _OLD:
                continue
            descriptor = os.open(entry.path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(entry.path)
            finally:
                os.close(descriptor)
