"""addcow-img compare."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import click

from addcow_ref._zero import is_zero
from addcow_ref.cli._errors import about
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
from addcow_ref.cli._terminal import Progress, tell
from addcow_spec.geometry import SECTOR_SIZE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from addcow_ref import Extent, Layer
    from addcow_spec.model import Revision

__all__ = ["command"]

_EPILOG = """\b
Examples:
  addcow-img compare disk.add-cow copy.raw
  addcow-img compare -s -f add-cow -F qcow2 disk.add-cow disk.qcow2

\b
Exit status, as qemu-img has it:
  0    the disks are identical
  1    they differ
  2    one was not opened, or the answer could not be written
  4    reading failed
  64   wrong usage
Of disks of different sizes the rest of the larger one must be zeros.
"""

_DIFFERENT = 1
_NOT_OPENED = 2
_NOT_READ = 4

_PIECE = 1 << 20


class _Stretch(NamedTuple):
    """A range that each of the two disks has in one extent."""

    start: int
    end: int
    left: Extent
    right: Extent


@click.command("compare", epilog=_EPILOG)
@click.argument("left", metavar="A", type=click.Path(path_type=bytes))
@click.argument("right", metavar="B", type=click.Path(path_type=bytes))
@format_option(*FORMATS, default=None)
@click.option("-F", "right_format", type=click.Choice(FORMATS), help="Format of B; else found out.")
@click.option("-s", "strict", is_flag=True, help="Sizes, and what is stored as data, must agree as well.")
@force_share_option
@revision_option()
@confine_option
@progress_option
@quiet_option
def command(
    *,
    left: bytes,
    right: bytes,
    image_format: str | None,
    right_format: str | None,
    strict: bool,
    force_share: bool,
    revision: Revision | None,
    confine: bytes | None,
    progress: bool,
    quiet: bool,
) -> int:
    """Compare the disks of A and B, byte by byte."""

    def open_one(path: bytes, format_: str | None, option: str) -> AbstractContextManager[Layer]:
        return opened_layer(
            path,
            format_,
            revision=revision,
            confine=confine,
            lock=not force_share,
            status=_NOT_OPENED,
            quiet=quiet,
            option=option,
        )

    def answer(message: str) -> None:
        if not quiet:
            tell(message, status=_NOT_OPENED)

    with open_one(left, image_format, "-f") as one, open_one(right, right_format, "-F") as two:
        if one.size != two.size and strict:
            answer("Strict mode: Image size mismatch!")
            return _DIFFERENT
        with Progress("comparing", at_once=progress, quiet=quiet) as bar, about(left, status=_NOT_READ):
            difference = _common_part(one, two, bar, strict=strict)
            if difference is None and one.size != two.size:
                answer("Warning: Image size mismatch!")
                difference = _longer_part(one, two, bar)
    answer(difference or "Images are identical.")
    return _DIFFERENT if difference else 0


def _common_part(one: Layer, two: Layer, progress: Callable[[int, int], None], *, strict: bool) -> str | None:
    """The first difference in what both disks have, in qemu-img's words; None without one."""
    size = min(one.size, two.size)
    for stretch in _stretches(one, two, size):
        SIGNALS.obey()
        if strict and _status(stretch.left) != _status(stretch.right):
            return f"Strict mode: Offset {stretch.start} block status mismatch!"
        if not (stretch.left.zero and stretch.right.zero):
            for start in range(stretch.start, stretch.end, _PIECE):
                SIGNALS.obey()
                length = min(_PIECE, stretch.end - start)
                found = _difference(_read(one, start, length), _read(two, start, length))
                if found is not None:
                    return _mismatch(start + found)
                progress(start + length, size)
        progress(stretch.end, size)
    return None


def _longer_part(one: Layer, two: Layer, progress: Callable[[int, int], None]) -> str | None:
    """The first difference to zeros in what only the larger disk has."""
    longer, begin = (one, two.size) if one.size > two.size else (two, one.size)
    for extent in longer.extents(begin, longer.size - begin):
        end = extent.start + extent.length
        for start in range(extent.start, extent.start if extent.zero else end, _PIECE):
            SIGNALS.obey()
            piece = _read(longer, start, min(_PIECE, end - start))
            if not is_zero(piece):
                found = _difference(piece, memoryview(bytes(len(piece))))
                return _mismatch(start + (found or 0))
            progress(start + len(piece), longer.size)
    return None


def _stretches(one: Layer, two: Layer, size: int) -> Iterator[_Stretch]:
    lefts, rights = one.extents(0, size), two.extents(0, size)
    left = right = None
    start = 0
    while start < size:
        if left is None or left.start + left.length <= start:
            left = next(lefts)
        if right is None or right.start + right.length <= start:
            right = next(rights)
        end = min(left.start + left.length, right.start + right.length)
        yield _Stretch(start, end, left, right)
        start = end


def _status(extent: Extent) -> tuple[bool, bool, bool]:
    return extent.present, extent.zero, extent.data


def _read(layer: Layer, start: int, length: int) -> memoryview:
    view = memoryview(bytearray(length))
    layer.read_into(start, view)
    return view


def _difference(left: memoryview, right: memoryview) -> int | None:
    """Offset of the first byte that differs."""
    if left == right:
        return None
    same, end = 0, len(left)
    while end - same > 1:
        middle = (same + end) // 2
        if left[same:middle] == right[same:middle]:
            same = middle
        else:
            end = middle
    return same


def _mismatch(offset: int) -> str:
    """qemu-img tells the sector."""
    return f"Content mismatch at offset {offset // SECTOR_SIZE * SECTOR_SIZE}!"
