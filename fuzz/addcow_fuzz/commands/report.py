"""addcow-fuzz report: a campaign as a page."""

from __future__ import annotations

import os

import click

from addcow_conformance.commands._failure import DONE, FAILED, Failure
from addcow_conformance.commands._output import emit
from addcow_fuzz.commands._given import failures, folder, registry, registry_option

__all__ = ["command"]

_EPILOG = """\b
Examples:
  addcow-fuzz report found -o report.html
  addcow-fuzz report found -o report.html --registry corpora/findings.toml

\b
The page needs no network. It tells of a campaign that still runs, too.

\b
Exit status:
  0    done
  1    DIR is no folder of a campaign, or the page could not be written
  64   wrong usage, or a registry that cannot be used
"""


@click.command("report", epilog=_EPILOG)
@click.argument("directory", metavar="DIR")
@click.option("-o", "output", metavar="FILE", help="Where the page goes; standard output without it.")
@registry_option
def command(*, directory: str, output: str | None, registry_file: str | None) -> int:
    """Make a page of the campaign in DIR: findings, coverage, executions, corpora."""
    try:
        from addcow_fuzz.campaign._page import render  # noqa: PLC0415 - jinja2 is of an extra
    except ImportError as error:
        raise Failure("jinja2 is not installed: pip install 'add-cow-toolkit[fuzz]'", FAILED) from error
    with failures():
        page = "".join(render(folder(directory), registry(registry_file)))
    emit([page], os.fsencode(output) if output else None)
    return DONE
