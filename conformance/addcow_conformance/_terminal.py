"""Where output goes: standard output, a file that is replaced whole, and a progress bar on a terminal."""

from __future__ import annotations

import errno
import os
import stat
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TextIO

import click

from addcow_spec.errors import UsageError
from addcow_spec.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from addcow_conformance.checker import Report

__all__ = [
    "Progress",
    "drop",
    "guard",
    "open_closed_streams",
    "say",
    "try_directory",
    "try_file",
    "write_file",
]

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
        UsageError: ``target`` is a file of a checked image, or holds the bytes that a repair replaced.
    """
    for report in reports:
        paths = {report.filename, report.backup, *(file.path for file in report.files)}
        if target is not None and any(_same(path, target) for path in paths if path):
            raise UsageError(f"-o {printable(target)} is a file of the image {printable(report.filename)}")
        yield report


def _same(path: bytes, target: bytes) -> bool:
    with suppress(OSError, ValueError):
        return os.path.samefile(path, target)
    return False


def write_file(pieces: Iterable[str], target: bytes) -> None:
    """Write text to a file: a regular file is replaced whole at the end, anything else is written to.

    Raises:
        OSError: writing failed; a file that was there before is as it was.
    """
    if _is_stream(target):
        # A descriptor of ours by another name may be a file that somebody else appends to.
        with open(target, "a", encoding="utf-8", errors="backslashreplace") as output:
            output.writelines(pieces)
        return
    import tempfile  # noqa: PLC0415 - slow to import, and for -o only

    real = os.path.realpath(target)
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


def try_file(target: bytes) -> None:
    """See whether `write_file` could write to a file, and leave all as it is.

    Raises:
        OSError: it could not.
    """
    real = os.path.realpath(target)
    if os.path.isdir(real):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if _is_stream(target):
        return  # to open it may wait for a reader, or be taken for all that there will be
    with suppress(FileNotFoundError):
        os.lstat(real)  # whose name may be too long
    try_directory(os.path.dirname(real))


def try_directory(path: bytes) -> None:
    """See whether a file could be made in a directory, and leave none there.

    Raises:
        OSError: it could not.
    """
    import tempfile  # noqa: PLC0415 - as above

    with tempfile.TemporaryFile(dir=path):  # which has no name where the file system knows such files
        pass


def _is_stream(target: bytes) -> bool:
    if os.path.abspath(target).startswith((b"/dev/std", b"/dev/fd/", b"/proc/")):
        return True
    return os.path.exists(target) and not os.path.isfile(target)


def say(line: str) -> None:
    """Say something in a line on standard error; where even that fails, nobody is there to be told."""
    try:
        click.echo(line, err=True)
    except OSError:
        drop(sys.stderr)


def drop(stream: TextIO) -> None:
    """Send a stream nowhere: what it still holds must not fail, or wait, a second time on exit."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.dup2(nowhere, stream.fileno())
        finally:
            os.close(nowhere)


def open_closed_streams() -> None:
    """Give standard output and error a place to go where the caller closed them.

    Else the first file to be opened would take their number, and what is said would go into it; in processes
    that are started, too.
    """
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            stream = open(os.devnull, "r+", encoding="utf-8")  # noqa: SIM115 - open until the end
            os.set_inheritable(stream.fileno(), True)  # noqa: FBT003 - Python's own
            setattr(sys, name, stream)


def _mode_of(path: bytes) -> int:
    """Permission bits of the file to replace, or those that a new file gets."""
    with suppress(FileNotFoundError):
        return stat.S_IMODE(os.stat(path).st_mode)
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
