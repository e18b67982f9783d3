"""addcow-img convert."""

from __future__ import annotations

import os
import stat
import tempfile
from contextlib import contextmanager, suppress
from itertools import groupby
from typing import TYPE_CHECKING

import click

from addcow_ref import FileStorage
from addcow_ref._create import sync_directory
from addcow_ref._zero import HOLE_GRAIN, is_zero
from addcow_ref.cli._errors import Failure, about
from addcow_ref.cli._opening import opened_layer
from addcow_ref.cli._options import (
    FORMATS,
    confine_option,
    force_share_option,
    format_option,
    progress_option,
    quiet_option,
    revision_option,
)
from addcow_ref.cli._signals import SIGNALS
from addcow_ref.cli._terminal import Progress
from addcow_spec.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from addcow_ref import Layer
    from addcow_spec.model import Revision

__all__ = ["command"]

_EPILOG = """\b
Examples:
  addcow-img convert disk.add-cow copy.raw
  addcow-img convert -f qcow2 base.qcow2 base.raw

\b
DST is written beside its place and then put there, so that there is an old file
or a complete new one. Zeros become holes.
"""

_PIECE = 1 << 20


@click.command("convert", epilog=_EPILOG)
@click.argument("source", metavar="SRC", type=click.Path(path_type=bytes))
@click.argument("target", metavar="DST", type=click.Path(path_type=bytes))
@format_option(*FORMATS, default=None)
@click.option("-O", expose_value=False, type=click.Choice(["raw"]), help="Format of DST, which is raw.")
@force_share_option
@revision_option()
@confine_option
@progress_option
@quiet_option
def command(
    *,
    source: bytes,
    target: bytes,
    image_format: str | None,
    force_share: bool,
    revision: Revision | None,
    confine: bytes | None,
    progress: bool,
    quiet: bool,
) -> None:
    """Copy the disk of SRC, through all of its layers, to the raw file DST."""
    with opened_layer(
        source, image_format, revision=revision, confine=confine, lock=not force_share, quiet=quiet
    ) as layer:
        _keep_apart(layer, target)
        with (
            Progress("copying", at_once=progress, quiet=quiet) as bar,
            about(target),
            _new_file(target) as file,
        ):
            file.truncate(layer.size)
            _copy(layer, file, bar)
            file.sync()


def _keep_apart(layer: Layer, target: bytes) -> None:
    """Refuse a target that is a file of the source."""
    used = [path for info in layer.chain for path in (info.path, info.image_path) if path]
    if os.path.exists(target) and any(os.path.samefile(path, target) for path in used):
        raise Failure(f"{printable(target)}: the disk to copy stands on this file; name another one")


@contextmanager
def _new_file(target: bytes) -> Iterator[FileStorage]:
    """A new file that takes the place of ``target`` at the end, unless something fails before.

    Raises:
        Failure: there is something at ``target`` that is no regular file.
        AddCowError: what is there is in use.
        OSError: the file system failed.
    """
    real = _real_path(target)
    old = _old_file(real) if os.path.lexists(real) else None
    try:
        directory, name = os.path.split(real)
        descriptor, temporary = tempfile.mkstemp(prefix=b"." + name[:100] + b".", dir=directory)
        file = FileStorage.adopt(descriptor, temporary)
        try:
            os.chmod(temporary, stat.S_IMODE(os.stat(real).st_mode) if old else _fresh_mode())
            yield file
            os.rename(temporary, real)
        except BaseException:
            with suppress(FileNotFoundError):
                os.unlink(temporary)
            raise
        finally:
            file.close()
        sync_directory(real)
    finally:
        if old:
            old.close()


def _real_path(target: bytes) -> bytes:
    """The path that the new file will have, which a directory that is called by name has not."""
    directory, name = os.path.split(target)
    if name in {b"", b".", b".."}:
        raise Failure(f"{printable(target)}: that is a directory; name a file")
    return os.path.realpath(os.path.join(os.path.realpath(directory or b".", strict=True), name))


def _old_file(path: bytes) -> FileStorage:
    """The file that is to be replaced, locked: nobody uses it."""
    if not os.path.isfile(path):
        raise Failure(f"{printable(path)}: it is no regular file, and is not replaced by one")
    file = FileStorage.open_path(path, writable=True)
    try:
        file.lock(exclusive=True)
    except BaseException:
        file.close()
        raise
    return file


def _fresh_mode() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


def _copy(layer: Layer, file: FileStorage, progress: Callable[[int, int], None]) -> None:
    """Copy what is not zeros; holes stay where zeros are."""
    buffer = memoryview(bytearray(min(_PIECE, layer.size)))
    for extent in layer.extents(0, layer.size):
        SIGNALS.obey()
        end = extent.start + extent.length
        for start in range(extent.start, extent.start if extent.zero else end, _PIECE):
            SIGNALS.obey()
            piece = buffer[: min(_PIECE, end - start)]
            layer.read_into(start, piece)
            _write_data(file, start, piece)
            progress(start + len(piece), layer.size)
        progress(end, layer.size)


def _write_data(file: FileStorage, offset: int, piece: memoryview) -> None:
    grains = ((at, piece[at : at + HOLE_GRAIN]) for at in range(0, len(piece), HOLE_GRAIN))
    for zero, group in groupby(grains, lambda grain: is_zero(grain[1])):
        parts = list(group)
        if not zero:
            at, length = parts[0][0], sum(len(part) for _, part in parts)
            file.write(offset + at, piece[at : at + length])
