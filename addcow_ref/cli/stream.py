"""addcow-img stream."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from addcow_ref.cli._opening import opened_image
from addcow_ref.cli._options import (
    SIZE,
    confine_option,
    format_option,
    image_argument,
    progress_option,
    quiet_option,
    revision_option,
)
from addcow_ref.cli._signals import SIGNALS
from addcow_ref.cli._terminal import Progress, say, tell
from addcow_spec.text import printable

if TYPE_CHECKING:
    from addcow_spec.model import Revision

__all__ = ["command"]

_EPILOG = """\b
Examples:
  addcow-img stream disk.add-cow
  addcow-img stream --limit 50M disk.add-cow     at most 50 MiB a second

\b
Interrupting it loses nothing: what is copied stays, the exit status is 130, and
the same command goes on from there. When all is copied, the backing file is no
longer needed; addcow-img finalize then takes leave of the add-cow file, too.
"""


@click.command("stream", epilog=_EPILOG)
@image_argument
@format_option()
@click.option("--limit", type=SIZE, metavar="RATE", help="Copy at most RATE bytes a second.")
@revision_option()
@confine_option
@progress_option
@quiet_option
def command(
    *,
    image: bytes,
    limit: int | None,
    revision: Revision | None,
    confine: bytes | None,
    progress: bool,
    quiet: bool,
) -> int:
    """Copy every unit of the disk that still is in the backing file to the image file of IMAGE."""
    if limit == 0:
        raise click.UsageError("--limit 0 would never end")
    with opened_image(image, writable=True, revision=revision, confine=confine, quiet=quiet) as disk:
        with Progress("streaming", at_once=progress, quiet=quiet) as bar:
            complete = disk.stream(limit=limit, progress=bar, stop=lambda: bool(SIGNALS.first))
        done, units = disk.allocated_units(), disk.units
        raw = printable(disk.image_path)
    if not complete:
        say(f"{printable(image)}: stopped, {done} of {units} units are in {raw}; the same command goes on")
        return SIGNALS.status
    if not quiet:
        tell(f"Image streamed: all {units} units are in {raw}.")
    return 0
