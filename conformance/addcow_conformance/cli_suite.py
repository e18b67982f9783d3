"""addcow-conformance: its subcommands, and what its help says of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

import click

from addcow_conformance.commands import _group
from addcow_conformance.commands._output import TOOL
from addcow_spec import __version__

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


@click.group(
    TOOL,
    cls=_group.Commands,
    package="addcow_conformance.commands",
    listed=COMMANDS,
    epilog=_EPILOG,
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
    return _group.run(group, arguments)


def main() -> NoReturn:
    """Entry point: run the command and exit with its status."""
    _group.end(group)


if __name__ == "__main__":
    main()
