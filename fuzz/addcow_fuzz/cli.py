"""addcow-fuzz: the group of subcommands, and what becomes of their errors: one line, and a status."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, NoReturn

import click

from addcow_conformance._signals import SIGNALS, Interrupted
from addcow_conformance._terminal import drop, open_closed_streams, say
from addcow_conformance.commands._failure import FAILED, INTERNAL, USAGE, Failure
from addcow_conformance.commands._output import error_line, one_line
from addcow_spec import __version__
from addcow_spec.errors import UsageError
from addcow_spec.text import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["COMMANDS", "TOOL", "group", "main", "run"]

TOOL = "addcow-fuzz"

# What the list of subcommands says of each; kept here so that showing it loads none of them.
COMMANDS = {
    "list": "list the targets",
    "run": "run libFuzzer on targets, with its own flags",
    "campaign": "fuzz all targets in turn, past all that is found, in a folder",
    "replay": "run inputs again, and say what they come to",
    "minimize": "make an input smaller that still comes to the same",
    "merge": "add inputs to a corpus that reach something new",
    "triage": "say which findings of a campaign are new",
    "coverage": "measure what seeds, dictionary and mutators are worth",
    "report": "make a page of a campaign",
    "findings": "list the findings that are known, and run them again",
}

_EPILOG = """\b
Examples:
  addcow-fuzz run header -max_total_time=60
  addcow-fuzz campaign found --minutes 60
  addcow-fuzz triage found
  addcow-fuzz replay found/findings/*/input
  addcow-fuzz report found -o report.html

\b
Exit status:
  0    no finding, or only ones that are known
  1    a file could not be read or written, or a target could not be run
  64   wrong usage, or a registry that cannot be used
  70   internal error
  77   a finding that is new, or that was fixed and is back
  130  interrupted by SIGINT; 143 by SIGTERM

\b
Shell completion (zsh and fish likewise):
  eval "$(_ADDCOW_FUZZ_COMPLETE=bash_source addcow-fuzz)"
"""


class _Commands(click.Group):
    """Subcommands, each loaded when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"addcow_fuzz.commands.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(
    TOOL,
    cls=_Commands,
    no_args_is_help=False,
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name=TOOL)
def group() -> None:
    """Fuzz the reader, the checker and the engine of add-cow images, and keep what is found.

    addcow-fuzz COMMAND --help tells of a command.
    """


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command; errors are said in one line.

    Args:
        arguments: the command line without the command's name; None for that of the process.

    Returns:
        The exit status.
    """
    try:
        status: int | None = group.main(arguments, prog_name=TOOL, standalone_mode=False)
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
        message, status = _told(error)
        say(f"{TOOL}: {message}")
    return status or 0


def _told(error: Exception) -> tuple[str, int]:
    """What to say of an error, and the exit status."""
    if isinstance(error, Failure):
        return one_line(error.format_message()), error.status
    if isinstance(error, click.ClickException | UsageError):
        context = error.ctx if isinstance(error, click.UsageError) else None
        path = context.command_path if context else TOOL
        said = error.format_message() if isinstance(error, click.ClickException) else str(error)
        return f"{one_line(' '.join(said.split()))} (see {path} --help)", USAGE
    if isinstance(error, OSError):
        if not error.filename:
            drop(sys.stdout)
        name = printable(os.fsencode(error.filename or "")) or "standard output"
        return f"{name}: {os.strerror(error.errno or 0)}", FAILED
    return f"internal error: {error_line(error)}", INTERNAL


def main() -> NoReturn:
    """Entry point: run the command and exit with its status."""
    open_closed_streams()
    SIGNALS.watch()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    sys.exit(run())


if __name__ == "__main__":
    main()
