"""Telling v4, v6 and v10 apart (`spec/02-header.md`): all three have the same magic and the number 1."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from addcow_spec.codec import HEADER_LENGTH, versions
from addcow_spec.geometry import SECTOR_SIZE, Geometry, round_up
from addcow_spec.model import VERSION, HeaderV6, Revision

if TYPE_CHECKING:
    from addcow_conformance.checker._files import OpenFile

__all__ = ["Told", "tell_revision"]

_SIZE_OFFSET = 2060


class Told(NamedTuple):
    """A revision, and why it is a guess between v4 and v6: empty where it is none (ACW-HDR-005)."""

    revision: Revision
    doubt: str = ""


def tell_revision(file: OpenFile, data: bytes) -> Told | None:
    """The revision of an add-cow file whose first bytes are ``data``; None for an unknown version.

    Args:
        file: the file, for its length and the last byte of its bitmap.
        data: its first bytes, at least 12 of them.

    Raises:
        StorageError: reading failed.
    """
    little, big = versions(data)
    if little == VERSION:
        return Told(Revision.V10)
    if big != VERSION:
        return None
    v6_length = HEADER_LENGTH[Revision.V6]
    if len(data) < v6_length:
        return Told(Revision.V4)
    size = int.from_bytes(data[_SIZE_OFFSET : _SIZE_OFFSET + 8], "big")
    v4, v6 = Geometry(Revision.V4, size), Geometry(Revision.V6, size)
    fits4, fits6 = _fits(file, v4), _fits(file, v6)
    if data[HeaderV6.RESERVED_OFFSET : v6_length].strip(b"\0"):
        return Told(Revision.V4, "" if fits4 else "the content is v4, the length is not")
    if fits4 != fits6:
        return Told(Revision.V4 if fits4 else Revision.V6)
    only_v4_sound = _sound(file, v4) and not _sound(file, v6)
    doubt = "both fit" if fits4 else "neither fits"
    return Told(Revision.V4 if only_v4_sound else Revision.V6, doubt)


def _fits(file: OpenFile, geometry: Geometry) -> bool:
    """Whether the file ends with the bitmap, or with zeros that fill the last sector after it."""
    end = geometry.bitmap_end
    if file.length not in {end, round_up(end, SECTOR_SIZE)}:
        return False
    return not file.read(end, SECTOR_SIZE).strip(b"\0")


def _sound(file: OpenFile, geometry: Geometry) -> bool:
    if file.length < geometry.bitmap_end:
        return False
    return not file.byte(geometry.bitmap_end - 1) & geometry.trailing_mask
