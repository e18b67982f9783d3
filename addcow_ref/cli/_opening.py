"""Opening what a command line names; whatever goes wrong while it is open is blamed on it."""

from __future__ import annotations

from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from addcow_ref import Image, open_image, open_layer
from addcow_ref.cli._errors import about
from addcow_ref.cli._terminal import warn
from addcow_spec.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from addcow_ref import Layer
    from addcow_spec.model import Revision

__all__ = ["opened_image", "opened_layer"]


@contextmanager
def opened_image(
    path: bytes,
    *,
    writable: bool = False,
    revision: Revision | None = None,
    confine: bytes | None = None,
    lock: bool = True,
    quiet: bool = False,
) -> Iterator[Image]:
    """An add-cow image, closed at the end. What is odd about it is said, unless ``quiet``.

    Raises:
        Failure: what failed inside.
    """
    with (
        about(path),
        open_image(path, writable=writable, revision=revision, confine=confine, lock=lock) as image,
    ):
        if not quiet:
            _warn_of_notes(image)
        yield image


@contextmanager
def opened_layer(
    path: bytes,
    image_format: str | None,
    *,
    revision: Revision | None = None,
    confine: bytes | None = None,
    lock: bool = True,
    status: int = 1,
    quiet: bool = False,
    option: str = "-f",
) -> Iterator[Layer]:
    """An image of any format that is read here, closed at the end. What is odd about it is said.

    Args:
        path: the file.
        image_format: its format; None to find out.
        revision: as in `open_layer`.
        confine: as in `open_layer`.
        lock: as in `open_layer`.
        status: exit status where it is not opened.
        quiet: whether to say nothing but errors.
        option: the option that states the format.

    Raises:
        Failure: it was not opened, with ``status``; or what failed inside, with 1.
    """
    with about(path, status=status):
        layer = open_layer(path, format=image_format, revision=revision, confine=confine, lock=lock)
    with about(path), closing(layer):
        if not quiet:
            if image_format is None and layer.chain[0].format == "qcow2":
                advice = f"its content was taken for qcow2; state its format with {option}"
                warn(f"{printable(path)}: ACW-CHN-003: {advice}")
            if isinstance(layer, Image):
                _warn_of_notes(layer)
        yield layer


def _warn_of_notes(image: Image) -> None:
    for note in dict.fromkeys(image.notes):
        warn(f"{printable(image.path)}: {note.rule}: {note.message}")
