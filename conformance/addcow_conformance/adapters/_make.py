"""A new image, byte by byte from the specification, for implementations that open images and make none."""

from __future__ import annotations

import os

from addcow_spec.codec import build_header
from addcow_spec.errors import UsageError
from addcow_spec.geometry import SECTOR_SIZE, Geometry
from addcow_spec.model import Features, Header, HeaderV4, HeaderV6, HeaderV10, Revision
from addcow_spec.text import printable

__all__ = ["make_image"]

_OLD_NAME = 1024


def make_image(path: bytes, image_file: bytes, backing_file: bytes, revision: Revision, *, raw: bool) -> None:
    """Make an add-cow file whose bits are all clear, durably.

    Args:
        path: the new file.
        image_file: name of the image file, which is there.
        backing_file: name of the backing file, empty without one.
        revision: revision of the format.
        raw: whether to state that the backing file is raw (v10).

    Raises:
        UsageError: the image file's length is no size for the revision (ACW-SIZ-007), or the file is there.
        OSError: the file system failed.
    """
    size = os.path.getsize(os.path.join(os.path.dirname(path), image_file))
    if revision is not Revision.V10 and size % SECTOR_SIZE:
        raise UsageError(f"{revision} has whole sectors, and not {size} bytes", rule="ACW-SIZ-007")
    geometry = Geometry(revision, size)
    header = build_header(_header(image_file, backing_file, revision, size, raw=raw))
    try:
        new = open(path, "xb")  # noqa: SIM115 - closed below
    except FileExistsError as error:
        raise UsageError(f"{printable(path)} is there, and not empty") from error
    with new as file:
        file.write(header)
        file.truncate(geometry.bitmap_end)
        file.flush()
        os.fsync(file.fileno())


def _header(image: bytes, backing: bytes, revision: Revision, size: int, *, raw: bool) -> Header:
    if revision is not Revision.V10:
        names = backing.ljust(_OLD_NAME, b"\0"), image.ljust(_OLD_NAME, b"\0")
        if revision is Revision.V4:
            return HeaderV4(*names, size)
        return HeaderV6(*names, size, bytes(HeaderV6.LENGTH - HeaderV6.RESERVED_OFFSET))
    start = HeaderV10.RESERVED_OFFSET
    return HeaderV10(
        backing_filename_offset=start + len(image) if backing else 0,
        backing_filename_size=len(backing),
        image_filename_offset=start,
        image_filename_size=len(image),
        features=(Features.BACKING_FILE if backing else Features(0))
        | (Features.BACKING_FORMAT_NO_PROBE if backing and raw else Features(0)),
        reserved=(image + backing).ljust(HeaderV10.LENGTH - start, b"\0"),
    )
