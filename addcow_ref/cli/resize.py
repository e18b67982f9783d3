"""addcow-img resize."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click

from addcow_ref.cli._errors import Failure
from addcow_ref.cli._opening import opened_image
from addcow_ref.cli._options import (
    SIZE,
    confine_option,
    format_option,
    image_argument,
    quiet_option,
    revision_option,
)
from addcow_ref.cli._terminal import tell
from addcow_spec.text import printable

if TYPE_CHECKING:
    from addcow_spec.model import Revision

__all__ = ["command"]

_EPILOG = """\b
Examples:
  addcow-img resize disk.add-cow 40G          to that size
  addcow-img resize disk.add-cow +10G         by that much
  addcow-img resize --shrink disk.add-cow -10G

\b
What is added reads from the backing file as far as that reaches, and as zeros
beyond. A guest sees the new size when it opens the disk again.
"""

_SMALLER = re.compile(r"-[0-9]")


class _Resize(click.Command):
    """A command whose last argument may begin with a minus sign."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and _SMALLER.match(args[-1]) and "--" not in args:
            args = [*args[:-1], "--", args[-1]]
        return super().parse_args(ctx, args)


@click.command("resize", cls=_Resize, epilog=_EPILOG)
@image_argument
@click.argument("size", metavar="[+|-]SIZE")
@format_option()
@click.option("--shrink", is_flag=True, help="Allow it to get smaller: what is beyond the new end is lost.")
@revision_option()
@confine_option
@quiet_option
def command(
    *,
    image: bytes,
    size: str,
    shrink: bool,
    revision: Revision | None,
    confine: bytes | None,
    quiet: bool,
) -> None:
    """Change the size of the disk of IMAGE to SIZE, or by it where it has a sign."""
    sign = size[0] if size[:1] in {"+", "-"} else ""
    number = SIZE.convert(size[len(sign) :], None, None)
    with opened_image(image, writable=True, revision=revision, confine=confine, quiet=quiet) as disk:
        new = {"+": disk.size + number, "-": disk.size - number}.get(sign, number)
        if new <= 0:
            raise Failure(f"{printable(image)}: the new size must be positive, not {new}")
        if new < disk.size and not shrink:
            lost = disk.size - new
            raise Failure(
                f"{printable(image)}: the last {lost} bytes of the disk would be lost; --shrink allows it"
            )
        disk.resize(new)
    if not quiet:
        tell("Image resized.")
