"""Where output goes: standard output, a file that is replaced whole, and a progress bar on a terminal."""

from __future__ import annotations

import os
import stat
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from addcow_spec.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from addcow_conformance.checker import Report

__all__ = ["Progress", "guard", "write_file"]

# Short work shows no bar.
_PATIENCE = 0.7


class Progress:
    """A progress bar on standard error, if that is a terminal and the work takes longer than a moment.

    Args:
        label: what is going on.
        enabled: whether to show anything at all.
    """

    def __init__(self, label: str, *, enabled: bool) -> None:
        self._label = label
        self._enabled = enabled and sys.stderr.isatty()
        self._start = time.monotonic()
        self._bar: Any = None

    def __call__(self, done: int, total: int) -> None:
        """Say that ``done`` of ``total`` is done."""
        if not self._enabled or time.monotonic() - self._start < _PATIENCE:
            return
        if self._bar is None:
            self._bar = click.progressbar(length=total, label=self._label, file=sys.stderr)
        self._bar.update(done - self._bar.pos)

    def close(self) -> None:
        """Leave the line of the bar."""
        if self._bar is not None:
            self._bar.render_finish()
            self._bar = None


def guard(reports: Iterable[Report], target: bytes | None) -> Iterator[Report]:
    """Pass reports on, and refuse a target that is one of the files checked: a report must not replace it.

    Raises:
        UsageError: ``target`` is a file of a checked image.
    """
    for report in reports:
        for path in {report.filename, *(file.path for file in report.files)} if target else ():
            with suppress(OSError, ValueError):
                if os.path.samefile(path, target or b""):
                    raise UsageError(f"-o {os.fsdecode(target or b'')!a} is a file of a checked image")
        yield report


def write_file(pieces: Iterable[str], target: bytes) -> None:
    """Write text to a file: a regular file is replaced whole at the end, anything else is written to.

    Raises:
        OSError: writing failed; a file that was there before is as it was.
    """
    import tempfile  # noqa: PLC0415 - slow to import, and for -o only

    real = os.path.realpath(target)
    if os.path.exists(real) and not stat.S_ISREG(os.stat(real).st_mode):
        with open(real, "w", encoding="utf-8", errors="backslashreplace") as output:
            output.writelines(pieces)
        return
    directory, name = os.path.split(real)
    descriptor, temporary = tempfile.mkstemp(prefix=b"." + name[:100] + b".", dir=directory)
    try:
        with open(descriptor, "w", encoding="utf-8", errors="backslashreplace") as output:
            output.writelines(pieces)
            os.fchmod(output.fileno(), _mode_of(real))
        os.replace(temporary, real)
    except BaseException:
        os.unlink(temporary)
        raise


def _mode_of(path: bytes) -> int:
    """Permission bits of the file to replace, or those that a new file gets."""
    with suppress(FileNotFoundError):
        return stat.S_IMODE(os.stat(path).st_mode)
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
