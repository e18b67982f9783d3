"""Options that several commands have, each declared once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import click

from addcow_ref.cli._sizes import parse_size
from addcow_spec.model import Revision

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "FORMATS",
    "SIZE",
    "confine_option",
    "force_share_option",
    "format_option",
    "image_argument",
    "output_option",
    "progress_option",
    "quiet_option",
    "revision_option",
]

FORMATS = ("add-cow", "qcow2", "raw")

_Command = TypeVar("_Command", bound="Callable[..., Any] | click.Command")


class _Size(click.ParamType[int]):
    """A number of bytes as qemu-img takes it."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:  # noqa: ANN401 - click's signature
        if isinstance(value, int):
            return value
        try:
            return parse_size(value)
        except ValueError:
            message = "it is a number of bytes, with k, M, G, T, P or E for powers of 1024"
            self.fail(f"'{value}' is no size: {message}", param, ctx)
        except OverflowError:
            self.fail(f"'{value}' is too large: a size is at most {(1 << 63) - 1} bytes", param, ctx)


SIZE = _Size()


def image_argument(command: _Command) -> _Command:
    """The argument IMAGE, as bytes."""
    return click.argument("image", metavar="IMAGE", type=click.Path(path_type=bytes))(command)


def revision_option(
    text: str = "Revision of the format, where the file does not tell it.",
) -> Callable[[_Command], _Command]:
    """--revision, None where it is not given."""
    return click.option(
        "--revision",
        type=click.Choice([revision.value for revision in Revision]),
        callback=lambda _context, _parameter, value: value and Revision(value),
        help=text,
    )


def confine_option(command: _Command) -> _Command:
    """--confine, as bytes."""
    return click.option(
        "--confine",
        metavar="DIR",
        type=click.Path(path_type=bytes, exists=True, file_okay=False),
        help="Open no file that a name leads to outside DIR.",
    )(command)


def format_option(*formats: str, default: str | None = "add-cow") -> Callable[[_Command], _Command]:
    """-f, qemu-img's option for the image's format; a value only where more than one is read."""
    return click.option(
        "-f",
        "image_format",
        type=click.Choice(formats or ["add-cow"]),
        default=default,
        expose_value=bool(formats),
        help=f"Format of the image; {default} by default." if default else "Format; else found out.",
    )


def force_share_option(command: _Command) -> _Command:
    """-U, whether to open files that are in use."""
    return click.option(
        "-U",
        "--force-share",
        is_flag=True,
        help="Take no locks: look at an image that is in use, as it happens to be.",
    )(command)


def output_option(command: _Command) -> _Command:
    """--output, human or json."""
    return click.option(
        "--output", type=click.Choice(["human", "json"]), default="human", help="Format of the answer."
    )(command)


def progress_option(command: _Command) -> _Command:
    """-p, whether to show the bar without waiting."""
    return click.option(
        "-p", "progress", is_flag=True, help="Show progress at once; on a terminal long work always does."
    )(command)


def quiet_option(command: _Command) -> _Command:
    """-q, whether to say nothing but errors."""
    return click.option("-q", "--quiet", is_flag=True, help="Say nothing but errors.")(command)
