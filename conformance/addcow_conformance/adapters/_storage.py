"""What an adapter needs of a storage: the path of its file, which a program opens itself."""

from __future__ import annotations

import os
from typing import Protocol

__all__ = ["Storage", "vacated"]


class Storage(Protocol):
    """A storage, of which no more is used than its path."""

    @property
    def path(self) -> bytes:
        """Its path."""

    def close(self) -> None:
        """Close it."""


def vacated(storage: Storage) -> bytes:
    """Close a storage, and remove its file where that is empty, so that a program can make it.

    Returns:
        The absolute path of the file.
    """
    path = os.path.abspath(storage.path)
    storage.close()
    if not os.path.getsize(path):
        os.unlink(path)
    return path
