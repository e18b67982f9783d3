"""addcow-conformance: the group of subcommands, and what becomes of their errors: one line, and a status."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, NoReturn

import click

from addcow_conformance._signals import SIGNALS, Interrupted
from addcow_conformance._terminal import drop, open_closed_streams, say
from addcow_conformance.commands._failure import FAILED, INTERNAL, USAGE, Failure
from addcow_conformance.commands._output import TOOL, error_line, one_line
from addcow_spec import __version__
from addcow_spec.errors import UsageError
from addcow_spec.text import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["COMMANDS", "group", "main", "run"]

# What the list of subcommands says of each; kept here so that showing it loads none of them.
COMMANDS = {
    "run": "try an implementation on every case, and gate it",
    "smoke": "tell a broken adapter from a broken implementation",
    "list": "list the cases",
    "explain": "explain a case: the rule, and what is done",
    "replay": "run programs again that were found or written",
    "crash": "cut the power at every moment of all short workloads",
    "copy": "write the vectors into a directory, for those who run no Python",
}

_EPILOG = """\b
Examples:
  addcow-conformance run python:addcow_ref          the reference engine
  addcow-conformance run "stdio:./mything" --expect known.toml --junit junit.xml
  addcow-conformance crash --target python:mything --save found
  addcow-conformance replay --target python:mything found/*.json
  addcow-conformance smoke "stdio:./mything --fast"

\b
Exit status:
  0    no rule is broken; of run: all is as expected
  1    a file could not be read or written; of run: something is not as expected
  64   wrong usage, or a file that is no program
  65   of run: the expectation file cannot be used
  69   the target cannot be loaded or started, or does not speak the protocol
  70   internal error
  77   a rule is broken; of crash, replay and smoke
  130  interrupted by SIGINT; 143 by SIGTERM

\b
Shell completion (zsh and fish likewise):
  eval "$(_ADDCOW_CONFORMANCE_COMPLETE=bash_source addcow-conformance)"
"""


class _Commands(click.Group):
    """Subcommands, each loaded when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"addcow_conformance.commands.{cmd_name}").command
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
    """Try an implementation of add-cow: does it keep the rules that no look at a file can judge?

    The reference engine is tried where no other is named.
    addcow-conformance COMMAND --help tells of a command.
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
        return error.format_message(), error.status
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
