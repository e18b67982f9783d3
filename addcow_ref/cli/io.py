"""addcow-img io."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click

from addcow_ref.cli._errors import Failure
from addcow_ref.cli._exerciser import Exerciser
from addcow_ref.cli._opening import opened_image
from addcow_ref.cli._options import (
    confine_option,
    force_share_option,
    format_option,
    image_argument,
    revision_option,
)
from addcow_ref.cli._signals import SIGNALS
from addcow_ref.cli._terminal import tell

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from addcow_spec.model import Revision

__all__ = ["command"]

_EPILOG = """\b
Examples:
  addcow-img io -c "write -P 0xaa 64k 4k" -c "read -P 0xaa 64k 4k" disk.add-cow
  addcow-img io -r -c "read -v 0 512" disk.add-cow
  addcow-img io -c help disk.add-cow

\b
Commands: read, write, readv, writev, aio_read, aio_write, aio_flush, discard,
flush, truncate, length, map, alloc, help and quit, with qemu-io's arguments.
Without -c they are read from standard input. aio_read and aio_write are done when
they return, and their failure counts in the exit status, which is no matter to
qemu-io. Exit status: 1 if a command failed, a pattern that does not match
included.
"""

# qemu-io's, whatever runs it: scripts that read its output look for it.
_PROMPT = "qemu-io> "


@click.command("io", epilog=_EPILOG)
@image_argument
@format_option()
@click.option("-c", "--cmd", "commands", metavar="COMMAND", multiple=True, help="Run a command.")
@click.option("-r", "--read-only", is_flag=True, help="Open the image for reading only.")
@click.option(
    "-n", "--nocache", is_flag=True, expose_value=False, help="For qemu-io's sake; files are always cached."
)
@force_share_option
@revision_option()
@confine_option
def command(
    *,
    image: bytes,
    commands: tuple[str, ...],
    read_only: bool,
    force_share: bool,
    revision: Revision | None,
    confine: bytes | None,
) -> int:
    """Read and write the disk of IMAGE by commands, as qemu-io does."""
    if force_share and not read_only:
        raise click.UsageError("-U can only be had with -r: a writer locks the files")
    with opened_image(
        image, writable=not read_only, revision=revision, confine=confine, lock=not force_share
    ) as disk:
        return _run(Exerciser(disk, image), commands or _typed())


def _run(exerciser: Exerciser, lines: Iterable[str]) -> int:
    status = 0
    for line in lines:
        SIGNALS.obey()
        status |= not exerciser.run(line)
        if exerciser.ended:
            break
    return status


def _typed() -> Iterator[str]:
    """Lines of standard input, asked for as qemu-io asks for them."""
    prompt = ""
    if sys.stdin.isatty():
        import readline  # noqa: F401, PLC0415 - importing it gives input() its line editing

        prompt = _PROMPT  # which has to know how much of the line is taken
    while True:
        if not prompt:
            tell(_PROMPT, newline=False)
        try:
            with SIGNALS.waiting():
                line = input(prompt)
        except EOFError:
            return
        except OSError as error:
            raise Failure(f"standard input: {os.strerror(error.errno or 0)}") from error
        yield line
