"""Mending an image in place: locked, with a backup of every byte that changes, and safe against a crash.

The old bytes reach the disk, in a backup file beside the image, before the first new byte is written. Every
change gives the same bytes when it is made again, so that after a crash the same command finishes the work.
"""

from __future__ import annotations

import fcntl
import json
import os
import struct
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import count
from typing import IO, TYPE_CHECKING, Self

from addcow_conformance.checker._files import OpenFailed, OpenFile, open_file
from addcow_conformance.checker._model import CheckOptions, Repair, Report
from addcow_conformance.checker._repair_plan import Patch, plan_repair
from addcow_conformance.checker._walk import Walk
from addcow_spec.errors import StorageError
from addcow_spec.rules import Profile
from addcow_spec.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from addcow_spec.rules import Repair as Mode

__all__ = ["repair_image"]

_PIECE = 4096
_NO_LIMIT = 1 << 30
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
# A mended size moves the end of the bitmap, which is judged in a second round; a third finds nothing.
_ROUNDS = 3


def repair_image(
    path: bytes,
    options: CheckOptions | None = None,
    *,
    mode: Mode,
    dry_run: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Mend what ``mode`` allows in the add-cow file at ``path``; nothing else is written but a backup.

    Args:
        path: the add-cow file.
        options: how to check.
        mode: ``safe`` clears trailing bits and zeroes the tail; ``all`` mends flags and sizes too where one
            reading alone is possible.
        dry_run: whether only to say what would be done.
        progress: as in `check_image`.

    Returns:
        The report of the image as it is afterwards, with what was done in ``repairs``. A repair that could
        not be completed gives a report with a ``problem``.
    """
    options = options or CheckOptions()
    try:
        with open_file(path, allow_block_devices=options.allow_block_devices) as file:
            done = _foresee(file, options, mode)
            backup = None
            if done and not dry_run:
                with _locked(file) as descriptor:
                    done, backup = _mend(file, descriptor, options, mode)
            return replace(Walk(options, progress).run(file), repairs=_told(done), backup=backup)
    except (OpenFailed, StorageError) as error:
        return Report(filename=path, profile=options.profile, problem=f"{printable(path)}: {error}")


def _plan(file: OpenFile, options: CheckOptions, mode: Mode) -> list[Patch]:
    """What to mend: nothing where the user's own profile finds nothing.

    Whether it is safe to write is judged by the reviewed profile: overlooking a rule makes nothing safe.
    """
    every = options._replace(max_findings=_NO_LIMIT)
    if not any(finding.file == 0 for finding in Walk(every).run(file).findings):
        return []
    reviewed = Walk(every._replace(profile=Profile.REVIEWED)).run(file)
    return plan_repair(reviewed, mode, stated=options.revision is not None)


class _Preview(OpenFile):
    """The file as it would be with patches made: those to the header, which all later planning hangs on."""

    def __init__(self, file: OpenFile, patches: list[Patch]) -> None:
        super().__init__(file.descriptor, file.path, file.identity, file.length)
        self._patches = patches

    def read(self, offset: int, size: int) -> bytes:
        """As `OpenFile.read`, with the patches that lie in what is read."""
        data = super().read(offset, size)
        for patch in self._patches:
            start, stop = patch.span.offset - offset, patch.span.end - offset
            if start >= 0 and stop <= len(data):
                data = data[:start] + patch.change(data[start:stop]) + data[stop:]
        return data


def _foresee(file: OpenFile, options: CheckOptions, mode: Mode) -> list[Patch]:
    """All that a repair would do, round after round."""
    planned: list[Patch] = []
    for _ in range(_ROUNDS):
        known = {(patch.rule, patch.span) for patch in planned}
        patches = _plan(_Preview(file, planned), options, mode)
        new = [patch for patch in patches if (patch.rule, patch.span) not in known]
        if not new:
            break
        planned += new
    return planned


def _told(patches: list[Patch]) -> tuple[Repair, ...]:
    return tuple(Repair(patch.rule, patch.span, patch.action) for patch in patches)


def _mend(
    file: OpenFile, descriptor: int, options: CheckOptions, mode: Mode
) -> tuple[list[Patch], bytes | None]:
    """Check and mend until nothing is left to mend; what was done, and where the backup is."""
    done: list[Patch] = []
    with _Backup(file.path) as backup:
        for _ in range(_ROUNDS):
            patches = _plan(file, options, mode)
            if not patches:
                break
            try:
                backup.save(piece for patch in patches for piece in _pieces(file, patch))
                for patch in patches:
                    for offset, _, new in _pieces(file, patch):
                        _write(descriptor, new, offset)
                os.fsync(descriptor)
            except OSError as error:
                kept = f"; the bytes replaced are in {printable(backup.path)}" if backup.path else ""
                raise StorageError(f"the repair failed: {os.strerror(error.errno or 0)}{kept}") from error
            done += patches
    return done, backup.path


def _pieces(file: OpenFile, patch: Patch) -> Iterator[tuple[int, bytes, bytes]]:
    """Offset, old and new bytes of each piece of a patch that changes."""
    offset, end = patch.span.offset, patch.span.end
    # A hole is passed over where zeros are what is wanted; a field of the header may lie in one, too.
    holes = patch.span.length > _PIECE
    while offset < end:
        if holes and (offset := file.next_data(offset, end)) == end:
            break
        old = file.read(offset, min(_PIECE, end - offset))
        if not old:
            raise StorageError(f"it shrank to {offset} bytes while it was repaired")
        new = patch.change(old)
        if new != old:
            yield offset, old, new
        offset += len(old)


def _write(descriptor: int, data: bytes, offset: int) -> None:
    while data:
        done = os.pwrite(descriptor, data, offset)
        data, offset = data[done:], offset + done


class _Backup:
    """The bytes that a repair replaces: a line of JSON for each piece, with its offset and its old bytes."""

    def __init__(self, image: bytes) -> None:
        self._image = image
        self._output: IO[bytes] | None = None
        self.path: bytes | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._output:
            self._output.close()

    def save(self, pieces: Iterator[tuple[int, bytes, bytes]]) -> None:
        """Add pieces, and return when they are on disk."""
        first = self._output is None
        if self._output is None:
            self.path, self._output = self._create()
        try:
            for offset, old, _ in pieces:
                self._output.write(json.dumps({"offset": offset, "old": old.hex()}).encode() + b"\n")
            self._output.flush()
            os.fsync(self._output.fileno())
            _sync_directory(self._image)
        except OSError:
            if first and self.path:
                # Nothing was changed yet: a part of a backup would only take room.
                os.unlink(self.path)
                self.path = None
            raise

    def _create(self) -> tuple[bytes, IO[bytes]]:
        for number in count(1):
            path = self._image + b".repair-%d.jsonl" % number
            with suppress(FileExistsError):
                return path, os.fdopen(os.open(path, _NEW, 0o600), "wb")
        raise AssertionError("count() does not end")


def _sync_directory(path: bytes) -> None:
    directory = os.open(os.path.dirname(path) or b".", os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


@contextmanager
def _locked(file: OpenFile) -> Iterator[int]:
    """A descriptor to write to the file, locked against every other writer."""
    try:
        descriptor = os.open(b"/proc/self/fd/%d" % file.descriptor, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        raise StorageError(f"it cannot be written: {os.strerror(error.errno or 0)}") from error
    try:
        whole = struct.pack("hhqqi", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        try:
            fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, whole)
        except OSError as error:
            raise StorageError("it is in use: another process holds a lock on it") from error
        yield descriptor
    finally:
        os.close(descriptor)
