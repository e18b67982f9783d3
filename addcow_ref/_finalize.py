"""Taking leave of an add-cow file: proof that the image file alone is the disk, and only then removal."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from addcow_ref._create import sync_directory
from addcow_ref._file_storage import FileStorage
from addcow_ref._open import Path, open_image
from addcow_spec.errors import StorageError, UsageError
from addcow_spec.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable

    from addcow_ref._image import Image
    from addcow_ref.storage import Identity
    from addcow_spec.model import Revision

__all__ = ["finalize_image"]

_PIECE = 1 << 20


def finalize_image(
    path: Path,
    *,
    remove: bool = False,
    revision: Revision | None = None,
    confine: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> bytes:
    """Prove that the image file alone, taken as raw, equals the disk; remove the add-cow file if asked to.

    Every bit must be set, and the bytes of the image file, read by themselves, must be those of the disk. The
    image is held meanwhile: by a reader's lock, or by a writer's where the file is to be removed.

    Args:
        path: the add-cow file.
        remove: whether to remove it when the proof is complete and the image file is durable.
        revision: as in `open_image`.
        confine: as in `open_image`.
        progress: told how many bytes are compared, and how many there are.

    Returns:
        The path of the image file.

    Raises:
        UsageError: bits are clear (ACW-BMP-004), so that the disk is not in the image file alone; or what is
            to be removed is a symbolic link.
        StorageError: reading failed, or the bytes differ: somebody writes past the locks.
        ImageError, ImageInUse, OpenFailed: as `open_image`.
    """
    path = os.fsencode(path)
    if remove and os.path.islink(path):
        raise UsageError(f"{printable(path)} is a symbolic link; name the file that it leads to")
    with open_image(path, writable=remove, revision=revision, confine=confine) as image:
        clear = image.units - image.allocated_units()
        if clear:
            message = f"{printable(path)}: {clear} of {image.units} units are not in the image file"
            raise UsageError(message, rule="ACW-BMP-004")
        _compare(image, progress)
        image.flush()
        if remove:
            _remove(path, image.identity)
        return image.image_path


def _remove(path: bytes, proven: Identity) -> None:
    try:
        status = os.lstat(path)
        if (status.st_dev, status.st_ino) != proven:
            raise StorageError(f"{printable(path)} is another file by now, and was not removed")
        os.unlink(path)
        sync_directory(path)
    except OSError as error:
        raise StorageError(f"{printable(path)} was not removed: {error.strerror}") from error


def _compare(image: Image, progress: Callable[[int, int], None] | None) -> None:
    raw = FileStorage.open_path(image.image_path)
    try:
        if raw.length() != image.size:
            raise StorageError(f"{printable(image.image_path)} has become {raw.length()} bytes long")
        start = raw.next_data(0, image.size)
        while start < image.size:
            length = min(_PIECE, image.size - start)
            alone = bytearray(length)
            raw.read_into(start, alone)
            if image.read(start, length) != alone:
                message = f"{printable(image.image_path)} differs from the disk after byte {start}"
                raise StorageError(message)
            start = raw.next_data(start + length, image.size)
            if progress:
                progress(start, image.size)
    finally:
        raw.close()
