"""addcow-img map."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from addcow_ref.cli._errors import Failure
from addcow_ref.cli._opening import opened_layer
from addcow_ref.cli._options import (
    FORMATS,
    SIZE,
    confine_option,
    force_share_option,
    format_option,
    image_argument,
    output_option,
    revision_option,
)
from addcow_ref.cli._signals import SIGNALS
from addcow_ref.cli._terminal import tell
from addcow_spec.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from addcow_ref import Extent
    from addcow_spec.model import Revision

__all__ = ["command"]

_EPILOG = """\b
Examples:
  addcow-img map disk.add-cow
  addcow-img map --output json --start-offset 1G --max-length 64M disk.add-cow

\b
Depth 0 is the image itself, 1 its backing file, and so on. The table has only
what is stored as data; the JSON has every byte of the disk, with the fields of
qemu-img.
"""


@click.command("map", epilog=_EPILOG)
@image_argument
@format_option(*FORMATS)
@output_option
@click.option("-s", "--start-offset", type=SIZE, default=0, metavar="OFFSET", help="Begin there.")
@click.option("-l", "--max-length", type=SIZE, metavar="LENGTH", help="Show at most that much of the disk.")
@force_share_option
@revision_option()
@confine_option
def command(
    *,
    image: bytes,
    image_format: str,
    output: str,
    start_offset: int,
    max_length: int | None,
    force_share: bool,
    revision: Revision | None,
    confine: bytes | None,
) -> None:
    """Show where the bytes of the disk of IMAGE come from."""
    with opened_layer(image, image_format, revision=revision, confine=confine, lock=not force_share) as layer:
        start = min(start_offset, layer.size)
        rest = layer.size - start
        extents = layer.extents(start, rest if max_length is None else min(max_length, rest))
        (_as_json if output == "json" else _as_table)(extents)


def _as_json(extents: Iterable[Extent]) -> None:
    separator = "["
    for extent in extents:
        tell(separator + json.dumps(_fields(extent)).replace("{", "{ "), newline=False)
        separator = ",\n"
    tell("[]" if separator == "[" else "]")


def _fields(extent: Extent) -> dict[str, Any]:
    fields = {name: getattr(extent, name) for name in ("start", "length", "depth", "present", "zero", "data")}
    return fields if extent.offset is None else fields | {"offset": extent.offset}


def _as_table(extents: Iterable[Extent]) -> None:
    tell(f"{'Offset':16}{'Length':16}{'Mapped to':16}File")
    for extent in extents:
        SIGNALS.obey()
        if not extent.data or extent.zero:
            continue
        if extent.offset is None or extent.path is None:
            raise Failure(
                f"the disk has compressed clusters at {extent.start:#x}, which are no range of a file; "
                "use --output json"
            )
        columns = (extent.start, extent.length, extent.offset)
        numbers = "".join(f"{hex(value) if value else '0':16}" for value in columns)
        tell(f"{numbers}{printable(extent.path)}")
