"""addcow-img info."""

from __future__ import annotations

import json
from itertools import islice
from typing import TYPE_CHECKING, Any

import click

from addcow_ref.cli._facts import layer_facts
from addcow_ref.cli._opening import opened_layer
from addcow_ref.cli._options import (
    FORMATS,
    confine_option,
    force_share_option,
    format_option,
    image_argument,
    output_option,
    revision_option,
)
from addcow_ref.cli._sizes import approximate
from addcow_ref.cli._terminal import tell

if TYPE_CHECKING:
    from collections.abc import Iterator

    from addcow_spec.model import Revision

__all__ = ["command"]

_EPILOG = """\b
Examples:
  addcow-img info disk.add-cow
  addcow-img info --backing-chain --output json disk.add-cow
  addcow-img info -U disk.add-cow        while somebody uses it

\b
The fields are those of qemu-img. Under format-specific: the revision, the image
file, feature bits, the size and number of units, how many of them are in the
image file, and notes: what is odd about the image and does not keep it from
being used.
"""

_INDENT = "    "


@click.command("info", epilog=_EPILOG)
@image_argument
@format_option(*FORMATS)
@output_option
@click.option("--backing-chain", is_flag=True, help="Tell of the backing files, too.")
@force_share_option
@revision_option()
@confine_option
def command(
    *,
    image: bytes,
    image_format: str,
    output: str,
    backing_chain: bool,
    force_share: bool,
    revision: Revision | None,
    confine: bytes | None,
) -> None:
    """Show what IMAGE is made of."""
    with opened_layer(
        image,
        image_format,
        revision=revision,
        confine=confine,
        lock=not force_share,
        quiet=True,  # what is odd is among the facts
    ) as layer:
        layers = list(islice(layer_facts(layer), None if backing_chain else 1))
    if output == "json":
        tell(json.dumps(layers if backing_chain else layers[0], indent=4, ensure_ascii=False))
    else:
        tell("\n\n".join("\n".join(_lines(facts)) for facts in layers))


def _lines(facts: dict[str, Any]) -> Iterator[str]:
    """The facts of a layer, laid out as qemu-img does."""
    size = facts["virtual-size"]
    yield f"image: {facts['filename']}"
    yield f"file format: {facts['format']}"
    yield f"virtual size: {approximate(size)} ({size} bytes)"
    yield f"disk size: {approximate(facts['actual-size'])}"
    if "cluster-size" in facts:
        yield f"cluster_size: {facts['cluster-size']}"
    if "backing-filename" in facts:
        name, full = facts["backing-filename"], facts["full-backing-filename"]
        yield f"backing file: {name}" + (f" (actual path: {full})" if full != name else "")
    if "backing-filename-format" in facts:
        yield f"backing file format: {facts['backing-filename-format']}"
    if "format-specific" in facts:
        yield "Format specific information:"
        yield from _nested(facts["format-specific"]["data"], _INDENT)


def _nested(data: dict[str, Any], indent: str) -> Iterator[str]:
    for key, value in data.items():
        label = f"{indent}{key.replace('-', ' ')}:"
        if value == []:
            continue
        if isinstance(value, list):
            yield label
            yield from (f"{indent}{_INDENT}[{index}]: {item}" for index, item in enumerate(value))
        else:
            yield f"{label} {str(value).lower() if isinstance(value, bool) else value}"
