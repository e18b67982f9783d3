"""addcow-img finalize."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from addcow_ref import finalize_image
from addcow_ref.cli._errors import about
from addcow_ref.cli._options import (
    confine_option,
    format_option,
    image_argument,
    progress_option,
    quiet_option,
    revision_option,
)
from addcow_ref.cli._signals import SIGNALS
from addcow_ref.cli._sizes import approximate
from addcow_ref.cli._terminal import Progress, tell
from addcow_spec.text import printable

if TYPE_CHECKING:
    from addcow_spec.model import Revision

__all__ = ["command"]

_EPILOG = """\b
Examples:
  addcow-img finalize disk.add-cow              prove it, remove nothing
  addcow-img finalize --remove disk.add-cow     and then remove disk.add-cow

\b
The proof: every bit is set, and the raw file, read by itself, has the bytes of
the disk. The raw file and the backing file are never removed.
"""


@click.command("finalize", epilog=_EPILOG)
@image_argument
@format_option()
@click.option("--remove", is_flag=True, help="Remove the add-cow file once the proof is complete.")
@revision_option()
@confine_option
@progress_option
@quiet_option
def command(
    *,
    image: bytes,
    remove: bool,
    revision: Revision | None,
    confine: bytes | None,
    progress: bool,
    quiet: bool,
) -> None:
    """Prove that the raw file of IMAGE alone is the whole disk."""
    with about(image), Progress("comparing", at_once=progress, quiet=quiet) as bar:

        def compared(done: int, total: int) -> None:
            SIGNALS.obey()
            bar(done, total)

        raw = finalize_image(image, remove=remove, revision=revision, confine=confine, progress=compared)
    if quiet:
        return
    name, size = printable(raw), os.path.getsize(raw)
    tell(f"{name} alone, taken as raw, is the disk: {approximate(size)} ({size} bytes), byte for byte.")
    kept = "has been removed" if remove else "is still there; finalize --remove removes it"
    tell(f"{printable(image)} is no longer needed, and {kept}.")
