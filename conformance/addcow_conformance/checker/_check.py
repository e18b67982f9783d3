"""`check_image`: the one way in for a path."""

from __future__ import annotations

from typing import TYPE_CHECKING

from addcow_conformance.checker._bitmap import BITMAP_RULES
from addcow_conformance.checker._disk import DISK_RULES
from addcow_conformance.checker._files import Opener, OpenFailed, Refusal, open_file
from addcow_conformance.checker._model import CheckOptions, Report
from addcow_conformance.checker._names import NAME_RULES
from addcow_conformance.checker._qcow2 import MALFORMED_RULES
from addcow_conformance.checker._registry import judged_rules
from addcow_conformance.checker._walk import CHAIN_RULES, Walk
from addcow_spec.errors import StorageError
from addcow_spec.model import MAGIC
from addcow_spec.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["CHECKED_RULES", "check_image", "has_magic"]

CHECKED_RULES = judged_rules() | BITMAP_RULES | NAME_RULES | MALFORMED_RULES | CHAIN_RULES | DISK_RULES


def check_image(
    path: bytes,
    options: CheckOptions | None = None,
    *,
    progress: Callable[[int, int], None] | None = None,
    opener: Opener = open_file,
) -> Report:
    """Check the add-cow image at ``path`` with all the files that it names. Changes nothing.

    A check that cannot be completed is no exception: it gives a report with a ``problem`` and the verdict
    ``unknown``.

    Args:
        path: the add-cow file; names in it are relative to the directory of this very path.
        options: how to check.
        progress: told how many bytes of the bitmap are done, and how many there are.
        opener: opens the files; another one than `open_file` checks files that are on no file system.
    """
    options = options or CheckOptions()
    try:
        file = opener(path, confine=None, allow_block_devices=options.allow_block_devices)
        with file:
            return Walk(options, progress, opener).run(file)
    except (OpenFailed, StorageError) as error:
        return Report(filename=path, profile=options.profile, problem=f"{printable(path)}: {error}")


def has_magic(path: bytes) -> bool:
    """Whether ``path`` is a regular file that starts with the magic of add-cow (ACW-HDR-001).

    Raises:
        StorageError: the file is there and cannot be read.
    """
    try:
        with open_file(path) as file:
            return file.read(0, len(MAGIC)) == MAGIC
    except OpenFailed as failed:
        if failed.refusal is Refusal.UNREADABLE:
            raise StorageError(f"{printable(path)}: {failed.detail}") from failed
        return False
