"""Directories for machines on real files: in memory where the system has such a place, as syncs cost."""

from __future__ import annotations

import os
import shutil
import tempfile

__all__ = ["Folder"]

_FAST = "/dev/shm"  # noqa: S108 - each directory in it is made by mkdtemp


class Folder:
    """A directory of our own, made when it is first needed."""

    def __init__(self) -> None:
        self._path: str | None = None
        self._count = 0

    def fresh(self) -> str:
        """An empty directory in it."""
        if self._path is None:
            fast = _FAST if os.access(_FAST, os.W_OK) else None
            self._path = tempfile.mkdtemp(prefix="addcow-model-", dir=fast)
        self._count += 1
        directory = os.path.join(self._path, str(self._count))
        os.mkdir(directory)
        return directory

    def remove(self) -> None:
        """Remove it and all that is in it; errors are raised, as files left open are none."""
        if self._path is not None:
            shutil.rmtree(self._path)
            self._path = None
