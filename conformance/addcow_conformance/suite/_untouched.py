"""That files are left alone: their kinds, lengths, times and bytes, before and after."""

from __future__ import annotations

import hashlib
import os
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from addcow_conformance.programs import Violation
from addcow_spec.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["untouched"]

# Of a file that is longer, and so is sparse, its data alone is hashed.
_PIECE = 1 << 20


class _File(NamedTuple):
    mode: int
    length: int
    changed: int
    digest: bytes


def _snapshot(root: bytes) -> dict[bytes, _File]:
    found = {}
    for directory, folders, names in os.walk(root):
        for name in (*folders, *names):
            path = os.path.join(directory, name)
            status = os.lstat(path)
            regular = stat.S_ISREG(status.st_mode)
            changed = 0 if stat.S_ISDIR(status.st_mode) else status.st_mtime_ns
            digest = _digest(path) if regular else b""
            found[path] = _File(status.st_mode, status.st_size if regular else 0, changed, digest)
    return found


def _digest(path: bytes) -> bytes:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        at, end = 0, os.fstat(file.fileno()).st_size
        while at < end:
            try:
                start = os.lseek(file.fileno(), at, os.SEEK_DATA)
            except OSError:
                break  # a hole up to the end
            at = min(os.lseek(file.fileno(), start, os.SEEK_HOLE), start + _PIECE)
            digest.update(start.to_bytes(8, "big") + os.pread(file.fileno(), at - start, start))
    return digest.digest()


@contextmanager
def untouched(root: bytes, rule: str, what: str) -> Iterator[None]:
    """Hold the files below a directory to be after the body as they were before.

    Args:
        root: the directory.
        rule: the rule that forbids another thing.
        what: what is done in the body, to be told.

    Raises:
        Violation: a file has come, gone, or changed.
    """
    before = _snapshot(root)
    yield
    after = _snapshot(root)
    for path in sorted(before.keys() | after.keys()):
        if before.get(path) != after.get(path):
            how = "is new" if path not in before else "is gone" if path not in after else "has changed"
            raise Violation(rule, f"{what}: {printable(os.path.relpath(path, root))} {how}")
