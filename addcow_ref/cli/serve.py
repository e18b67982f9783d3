"""addcow-img serve."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from addcow_ref.cli._errors import about
from addcow_ref.cli._options import confine_option, format_option, image_argument, revision_option
from addcow_ref.cli._signals import SIGNALS
from addcow_ref.cli._terminal import tell
from addcow_spec.text import printable

if TYPE_CHECKING:
    from addcow_spec.model import Revision

__all__ = ["command"]

_EPILOG = """\b
Examples:
  addcow-img serve --socket /run/disk.sock disk.add-cow
  qemu-system-x86_64 -drive "file=nbd+unix:///?socket=/run/disk.sock,format=raw"
  addcow-img serve --port 10809 --read-only disk.add-cow
  nbdinfo nbd://localhost:10809

\b
Needs nbdkit and its Python plugin (Debian: nbdkit, nbdkit-plugin-python). It
runs until it gets SIGINT or SIGTERM, and flushes the image then. Without
--socket and --port it listens on port 10809, and on loopback alone unless
--address says otherwise: NBD knows no passwords.
"""


@click.command("serve", epilog=_EPILOG)
@image_argument
@format_option()
@click.option(
    "--socket",
    metavar="PATH",
    type=click.Path(path_type=bytes),
    help="Listen on a Unix socket, which is made.",
)
@click.option(
    "-p", "--port", metavar="N", type=click.IntRange(0, 65535), help="Listen on a TCP port; 0 for a free one."
)
@click.option(
    "--address", metavar="ADDRESS", default="127.0.0.1", show_default=True, help="Listen there, with --port."
)
@click.option("-r", "--read-only", is_flag=True, help="Refuse writes.")
@click.option(
    "--threads",
    metavar="N",
    type=click.IntRange(min=1),
    help="Requests that are served at a time; a slow disk may want more than are by default.",
)
@revision_option()
@confine_option
def command(
    *,
    image: bytes,
    socket: bytes | None,
    port: int | None,
    address: str,
    read_only: bool,
    threads: int | None,
    revision: Revision | None,
    confine: bytes | None,
) -> int:
    """Serve the disk of IMAGE over NBD, to QEMU and to whoever else speaks it."""
    from addcow_ref.serve import serve  # noqa: PLC0415 - for those alone who serve

    if socket is not None and port is not None:
        raise click.UsageError("--socket and --port exclude each other")

    def announce(uri: str) -> None:
        SIGNALS.obey()  # one that came before they went on to nbdkit, as they do now
        tell(f"Serving {printable(image)} at {uri}")

    with about(image):
        return serve(
            image,
            socket=socket,
            port=port,
            address=address,
            read_only=read_only,
            revision=revision,
            confine=confine,
            announce=announce,
            **({"threads": threads} if threads else {}),
        )
