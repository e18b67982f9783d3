"""Opening what a command line names; whatever goes wrong while it is open is blamed on it."""

from __future__ import annotations

from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from addcow_ref import open_image, open_layer
from addcow_ref.cli._errors import about

if TYPE_CHECKING:
    from collections.abc import Iterator

    from addcow_ref import Image, Layer
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
) -> Iterator[Image]:
    """An add-cow image, closed at the end.

    Raises:
        Failure: what failed inside.
    """
    with (
        about(path),
        open_image(path, writable=writable, revision=revision, confine=confine, lock=lock) as image,
    ):
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
) -> Iterator[Layer]:
    """An image of any format that is read here, closed at the end.

    Raises:
        Failure: it was not opened, with ``status``; or what failed inside, with 1.
    """
    with about(path, status=status):
        layer = open_layer(path, format=image_format, revision=revision, confine=confine, lock=lock)
    with about(path), closing(layer):
        yield layer
