"""addcow-fuzz: its subcommands, and what its help says of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

import click

from addcow_conformance.commands import _group
from addcow_spec import __version__

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


@click.group(
    TOOL,
    cls=_group.Commands,
    package="addcow_fuzz.commands",
    listed=COMMANDS,
    epilog=_EPILOG,
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
    return _group.run(group, arguments)


def main() -> NoReturn:
    """Entry point: run the command and exit with its status."""
    _group.end(group)


if __name__ == "__main__":
    main()
