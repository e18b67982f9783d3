"""The options of `run`: which cases, how hard, what is expected, and where the answer goes."""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING, Any, TypeVar

import click

from addcow_conformance.commands._output import one_line
from addcow_spec.model import Revision
from addcow_spec.rules import Profile

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["FILES", "run_options"]

_PROCESSES = 256
_SEEDS = (1 << 32) - 1
_EXAMPLES = 10_000_000
_OPERATIONS = 3

_Command = TypeVar("_Command", bound="Callable[..., Any] | click.Command")

# Each is a format of `results`, and an option that takes a file.
FILES = {
    "junit": "JUnit XML",
    "json": "JSON",
    "sarif": "SARIF 2.1.0",
    "html": "a page that needs no network",
    "badge": "a badge for shields.io",
    "markdown": "Markdown",
}


def _choices(_context: click.Context, _parameter: click.Parameter, given: tuple[str, ...]) -> tuple[str, ...]:
    from addcow_conformance.suite import FLAGS  # noqa: PLC0415 - only where it is asked for

    for each in given:
        flag, _, what = each.partition("=")
        if flag not in FLAGS or what not in {"accept", "refuse"}:
            raise click.BadParameter(
                f"{one_line(each)!r}: FLAG=accept or FLAG=refuse is wanted; FLAG is one of {', '.join(FLAGS)}"
            )
    return given


def _file(name: str, help_text: str) -> Callable[[_Command], _Command]:
    return click.option(name, metavar="FILE", type=click.Path(path_type=bytes), help=help_text)


_OPTIONS: tuple[Callable[[Any], Any], ...] = (
    click.option(
        "--revision",
        "revisions",
        multiple=True,
        type=click.Choice([revision.value for revision in Revision]),
        help="Revision of the format; can be given again. All, without it.",
    ),
    click.option(
        "--profile",
        type=click.Choice([profile.value for profile in Profile]),
        default=Profile.REVIEWED.value,
        show_default=True,
        help="Which rules count.",
    ),
    click.option(
        "-k",
        "keyword",
        metavar="EXPRESSION",
        default="",
        help="Only cases whose names match, as pytest has it: 'DYN and not power'.",
    ),
    click.option("--skip", metavar="GLOB", multiple=True, help="Leave out these cases; can be given again."),
    click.option("-x", "--exit-first", "first_only", is_flag=True, help="Stop at the first case that fails."),
    click.option(
        "-j",
        "--jobs",
        metavar="N",
        type=click.IntRange(0, _PROCESSES),
        default=0,
        help="Processes that work at it, each with a target of its own; without it one a processor.",
    ),
    click.option(
        "--seed",
        metavar="N",
        type=click.IntRange(0, _SEEDS),
        default=0,
        show_default=True,
        help="Seed of what is drawn by chance.",
    ),
    click.option(
        "--examples",
        metavar="N",
        type=click.IntRange(0, _EXAMPLES),
        default=96,
        show_default=True,
        help="Programs that each model makes up.",
    ),
    click.option(
        "--seconds",
        metavar="S",
        type=click.FloatRange(0),
        default=30.0,
        show_default=True,
        help="Seconds after which a model makes up no more; as many again may go into what is found.",
    ),
    click.option(
        "--ops",
        "operations",
        metavar="N",
        type=click.IntRange(0, _OPERATIONS),
        default=1,
        show_default=True,
        help="Operations of the longest workloads whose power is cut.",
    ),
    click.option(
        "--choice",
        "choices",
        metavar="FLAG=WHAT",
        multiple=True,
        callback=_choices,
        help="What the target does where it may do either: accept or refuse. Without it that is observed.",
    ),
    _file("--expect", "Deviations that are known, in TOML."),
    click.option(
        "--update-expect",
        "update",
        is_flag=True,
        help="Write what deviates into the file of --expect, and end with 0.",
    ),
    click.option(
        "--output",
        type=click.Choice(["human", "json"]),
        default="human",
        show_default=True,
        help="Format of the answer.",
    ),
    *(_file(f"--{name}", f"Write {what} to FILE, too.") for name, what in FILES.items()),
    click.option(
        "--scripts",
        metavar="DIR",
        type=click.Path(path_type=bytes, file_okay=False),
        help="Write a script for each deviation that does it again into DIR.",
    ),
    click.option(
        "-q", "--quiet", is_flag=True, help="Say nothing where all is as expected, and show no progress."
    ),
    click.option(
        "--schema", "show_schema", is_flag=True, help="Print the JSON Schema of the answer, and exit."
    ),
)


def run_options(command: _Command) -> _Command:
    """Add all of them, in this order."""
    return reduce(lambda wrapped, option: option(wrapped), reversed(_OPTIONS), command)
