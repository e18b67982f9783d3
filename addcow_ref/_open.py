"""Opening: from a path to an image."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, TypeAlias

from addcow_ref._bitmap import DEFAULT_CACHE_SIZE, PAGE_SIZE
from addcow_ref._chain import Options, open_chain
from addcow_ref._file_storage import FileStorage
from addcow_ref._image import Image
from addcow_spec.errors import UsageError
from addcow_spec.rules import Profile

if TYPE_CHECKING:
    from addcow_ref._layer import Layer
    from addcow_ref.storage import Storage
    from addcow_spec.model import Revision

__all__ = ["Path", "open_image", "open_layer"]

Path: TypeAlias = str | bytes | os.PathLike[str] | os.PathLike[bytes]


def open_image(
    target: Path | Storage,
    *,
    writable: bool = False,
    revision: Revision | None = None,
    profile: Profile = Profile.REVIEWED,
    confine: Path | None = None,
    allow_block_devices: bool = False,
    cache_size: int = DEFAULT_CACHE_SIZE,
    lock: bool = True,
) -> Image:
    """Open an add-cow image with all that it stands on. Nothing is written by opening (ACW-DYN-009).

    Args:
        target: path of the add-cow file, or the file itself as a storage, which the image then owns.
        writable: whether to open it for writing; one opener at a time can (ACW-DYN-014).
        revision: revision of the format; None to find out. Where v4 and v6 cannot be told apart, writing asks
            for it (ACW-HDR-005).
        profile: by which reading a broken rule refuses the image. Where files have two parts or sizes differ,
            writing asks for the reviewed one.
        confine: a directory; a name that leads to a file not beneath it is refused (ACW-ENV-004).
        allow_block_devices: whether files may be block devices.
        cache_size: bytes of bitmaps to keep in memory, 4,096 or more, over the whole chain.
        lock: whether to lock the files; only a reader may go without, and then sees a writer at work.

    Raises:
        ImageError: the image or a file of its chain breaks a must-rule; ``rule`` says which one.
        ImageInUse: a file is locked by another opener; ``path`` says which one.
        OpenFailed: the add-cow file itself cannot be opened.
        StorageError: reading failed.
        UsageError: the arguments make no sense.
    """
    if cache_size < PAGE_SIZE:
        raise UsageError(f"the cache has {PAGE_SIZE} bytes or more, not {cache_size}")
    if writable and not lock:
        raise UsageError("a writer always locks the files")
    options = Options(writable, revision, profile, cache_size, lock)
    storage = _storage(target, confine, writable=writable, devices=allow_block_devices)
    layer = open_chain(storage, options)
    assert isinstance(layer, Image)  # noqa: S101 - tells mypy what the format stands for
    return layer


def open_layer(
    target: Path | Storage,
    *,
    format: str | None = None,  # noqa: A002 - qemu-img's word for it
    revision: Revision | None = None,
    confine: Path | None = None,
    lock: bool = True,
) -> Layer:
    """Open a file of any format that a chain can have, for reading.

    Args:
        target: the file.
        format: ``add-cow``, ``qcow2`` or ``raw``; None to find out by its content.
        revision: revision of an add-cow file; None to find out.
        confine: as in `open_image`.
        lock: as in `open_image`.

    Raises:
        UsageError: the format is unknown.
        ImageError, ImageInUse, OpenFailed, StorageError: as `open_image`.
    """
    if format not in {None, "add-cow", "qcow2", "raw"}:
        raise UsageError(f"format {format} is unknown: add-cow, qcow2 or raw")
    options = Options(revision=revision, lock=lock)
    return open_chain(_storage(target, confine), options, format=format)


def _storage(
    target: Path | Storage, confine: Path | None, *, writable: bool = False, devices: bool = False
) -> Storage:
    if not isinstance(target, str | bytes | os.PathLike):
        if target.writable < writable:
            raise UsageError("the storage is open for reading only")
        return target
    return FileStorage.open_path(
        os.fsencode(target),
        writable=writable,
        confine=None if confine is None else os.fsencode(confine),
        allow_block_devices=devices,
    )
