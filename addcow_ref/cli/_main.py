"""The group of subcommands, and what becomes of their errors: one line, and an exit status."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, NoReturn

import click

from addcow_ref.cli._errors import Failure
from addcow_ref.cli._signals import SIGNALS
from addcow_ref.cli._terminal import drop_output, open_closed_streams, say
from addcow_spec import __version__
from addcow_spec.text import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["COMMANDS", "group", "main", "run"]

_NAME = "addcow-img"
_FAILED = 1
_USAGE = 64
_INTERRUPTED = 130

# What the list of subcommands says of each; kept here so that showing it loads none of them.
COMMANDS = {
    "create": "make an image, and its raw file if asked to",
    "info": "show what an image is made of",
    "map": "show where the disk's bytes come from",
    "io": "read and write the disk, with qemu-io's commands",
    "resize": "change the size of the disk",
    "stream": "copy what is still in the backing file",
    "finalize": "prove that the raw file alone is the disk",
    "convert": "copy the disk to a raw file",
    "compare": "compare two disks",
    "serve": "serve the disk over NBD, by nbdkit",
}

_EPILOG = """\b
Examples:
  addcow-img create -o backing_file=base.qcow2,image_file=disk.raw disk.add-cow 20G
  addcow-img info --backing-chain disk.add-cow
  addcow-img io -c "write -P 0xaa 64k 4k" -c "read -P 0xaa 64k 4k" disk.add-cow
  addcow-img serve --socket /run/disk.sock disk.add-cow
  addcow-img stream disk.add-cow && addcow-img finalize --remove disk.add-cow

\b
Exit status:
  0    done
  1    failed; one line on standard error says why
  64   wrong usage
  130  interrupted by SIGINT; 143 by SIGTERM
compare has statuses of its own: see addcow-img compare --help.

\b
Shell completion (zsh and fish likewise):
  eval "$(_ADDCOW_IMG_COMPLETE=bash_source addcow-img)"
"""


class _Commands(click.Group):
    """Subcommands, each loaded when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"addcow_ref.cli.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(
    _NAME,
    cls=_Commands,
    no_args_is_help=False,
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name=_NAME)
def group() -> None:
    """Make, use and take leave of add-cow images: copy on write over raw files.

    An image is two files: the add-cow file that is named on the command line, and the raw file that it names
    and that holds the disk's own data. addcow-img COMMAND --help tells of a command.
    """


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command; errors are said in one line.

    Args:
        arguments: the command line without the command's name; None for that of the process.

    Returns:
        The exit status.

    Raises:
        SystemExit: a signal ended it, or the reader of its output has gone.
    """
    try:
        status: int | None = group.main(arguments, prog_name=_NAME, standalone_mode=False)
        SIGNALS.obey()
    except (click.Abort, KeyboardInterrupt):
        return _INTERRUPTED
    except Exception as error:  # noqa: BLE001 - a bug of ours is status 1 in one line, too
        message, status = _told(error)
        say(message)
    return status or 0


def _told(error: Exception) -> tuple[str, int]:
    """What to say of an error, and the exit status."""
    if isinstance(error, Failure):
        return error.format_message(), error.status
    if isinstance(error, click.ClickException):
        context = error.ctx if isinstance(error, click.UsageError) else None
        path = context.command_path if context else _NAME
        return f"{' '.join(error.format_message().split())} (see {path} --help)", _USAGE
    if isinstance(error, OSError):
        if not error.filename:  # click's own output: help, and the like
            drop_output()
        name = printable(os.fsencode(error.filename or "")) or "standard output"
        return f"{name}: {os.strerror(error.errno or 0)}", _FAILED
    return f"internal error: {type(error).__name__}: {error}", _FAILED


def main() -> NoReturn:
    """Entry point: run the command and exit with its status."""
    open_closed_streams()
    SIGNALS.watch()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    if hasattr(sys.stdin, "reconfigure"):
        sys.stdin.reconfigure(errors="surrogateescape")
    sys.exit(run())


if __name__ == "__main__":
    main()
