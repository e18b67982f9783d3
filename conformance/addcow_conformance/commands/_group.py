"""A program with subcommands: each is loaded when it is asked for, and errors are one line and a status."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any, NoReturn

import click

from addcow_conformance._signals import SIGNALS, Interrupted
from addcow_conformance._terminal import drop, open_closed_streams, say
from addcow_conformance.commands._failure import FAILED, INTERNAL, USAGE, Failure
from addcow_conformance.commands._output import error_line, one_line
from addcow_spec.errors import UsageError
from addcow_spec.text import printable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Commands", "end", "run"]

_SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


class Commands(click.Group):
    """The subcommands of a program.

    Args:
        package: has a module for each, with its ``command``.
        listed: what the list of subcommands says of each, so that showing it loads none of them.
        given: what click takes; ``name`` is the program's.
    """

    def __init__(self, *, package: str, listed: Mapping[str, str], **given: Any) -> None:  # noqa: ANN401 - click's
        super().__init__(no_args_is_help=False, context_settings=_SETTINGS, **given)
        self._package = package
        self._listed = listed

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """See click."""
        return list(self._listed)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """See click."""
        if cmd_name not in self._listed:
            return None
        command: click.Command = import_module(f"{self._package}.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """See click."""
        with formatter.section("Commands"):
            formatter.write_dl(list(self._listed.items()))


def run(program: click.Group, arguments: Sequence[str] | None = None) -> int:
    """Run a program; errors are said in one line.

    Args:
        program: the program.
        arguments: the command line without the command's name; None for that of the process.

    Returns:
        The exit status.
    """
    try:
        status: int | None = program.main(arguments, prog_name=program.name, standalone_mode=False)
        sys.stdout.flush()
        SIGNALS.check()
    except Interrupted:
        drop(sys.stdout)
        return SIGNALS.status
    except BrokenPipeError:
        # The reader has gone; nothing more can be said, and the flush at exit must not say so.
        drop(sys.stdout)
        return FAILED
    except Exception as error:  # noqa: BLE001 - a bug of ours is a status and one line, too
        message, status = _told(error, str(program.name))
        say(f"{program.name}: {message}")
    return status or 0


def _told(error: Exception, program: str) -> tuple[str, int]:
    """What to say of an error, and the exit status."""
    if isinstance(error, Failure):
        return one_line(error.format_message()), error.status
    if isinstance(error, click.ClickException | UsageError):
        context = error.ctx if isinstance(error, click.UsageError) else None
        path = context.command_path if context else program
        said = error.format_message() if isinstance(error, click.ClickException) else str(error)
        return f"{one_line(' '.join(said.split()))} (see {path} --help)", USAGE
    if isinstance(error, OSError):
        if not error.filename:
            drop(sys.stdout)
        name = printable(os.fsencode(error.filename or "")) or "standard output"
        return f"{name}: {os.strerror(error.errno or 0)}", FAILED
    return f"internal error: {error_line(error)}", INTERNAL


def end(program: click.Group) -> NoReturn:
    """Be a program: run it on the command line of the process, and exit with its status."""
    open_closed_streams()
    SIGNALS.watch()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    sys.exit(run(program))
