"""Making the files of an input fit each other: names to their headers, bitmaps to their disks."""

from __future__ import annotations

import struct
from itertools import chain
from typing import TYPE_CHECKING

from addcow_fuzz._packing import MOST_FILES, Record, name_of
from addcow_spec.codec import HEADER_LENGTH, build_header, parse_header
from addcow_spec.errors import MalformedImage
from addcow_spec.geometry import Geometry
from addcow_spec.model import MAGIC, QCOW2_MAGIC, VERSION, Features, Header, HeaderV10, Revision, Role

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["fit", "header_at", "rename"]

_NUMBERS = {name_of(number): number for number in range(MOST_FILES)}
_NAME_FIELDS = {Role.IMAGE: 1036, Role.BACKING: 12}
_NAME_LENGTH = 1024
_SIZE = slice(2060, 2068)
# What headers begin with, and where v10 has the place of the image file's name.
_V10, _V6 = (MAGIC + VERSION.to_bytes(4, order) for order in ("little", "big"))
_IMAGE_NAME, _IMAGE_NAME_AT = struct.Struct("<2I"), 20


def header_at(records: Sequence[Record], file: int) -> int | None:
    """The index of the record that begins a file's header, None where it has none."""
    for index, record in enumerate(records):
        if record.file == file and not record.offset and record.data.startswith((MAGIC, QCOW2_MAGIC)):
            return index
    return None


def _header(record: Record) -> Header | None:
    """The add-cow header that a record holds; zeros that it leaves out are there."""
    if not record.data.startswith(MAGIC):
        return None
    revision = Revision.V10 if record.data[8:9] == b"\1" else Revision.V6
    try:
        return parse_header(record.data.ljust(HEADER_LENGTH[revision], b"\0"), revision)
    except MalformedImage:
        return None


def _image_name(data: bytes) -> bytes:
    """The name of the image file in a header, cut short or not; empty where there is none."""
    if data.startswith(_V10):
        offset, length = _IMAGE_NAME.unpack_from(data.ljust(HeaderV10.RESERVED_OFFSET, b"\0"), _IMAGE_NAME_AT)
        return data[offset : offset + length]
    at = _NAME_FIELDS[Role.IMAGE]
    return data[at : at + _NAME_LENGTH].partition(b"\0")[0] if data.startswith(_V6) else b""


def rename(records: list[Record], file: int, name: bytes, *, backing: bool) -> None:
    """Give the header of a file another name for its image or backing file, with all that belongs to it."""
    index = header_at(records, file)
    header = None if index is None else _header(records[index])
    if index is None or header is None:
        return
    role = Role.BACKING if backing else Role.IMAGE
    data = bytearray(records[index].data)
    if isinstance(header, HeaderV10):
        names = {each: header.name(each) or b"" for each in Role} | {role: name[:1024]}
        data = bytearray(_with_names(header, names[Role.IMAGE], names[Role.BACKING]))
    else:
        at = _NAME_FIELDS[role]
        data[at : at + _NAME_LENGTH] = name[:_NAME_LENGTH].ljust(_NAME_LENGTH, b"\0")
    records[index] = records[index]._replace(data=bytes(data).rstrip(b"\0"))


def _with_names(header: HeaderV10, image: bytes, backing: bytes) -> bytes:
    start, room = HeaderV10.RESERVED_OFFSET, HeaderV10.LENGTH - HeaderV10.RESERVED_OFFSET
    features = header.features | Features.BACKING_FILE if backing else Features(0)
    made = HeaderV10(
        start + len(image) if backing else 0,
        len(backing),
        start,
        len(image),
        features,
        (image + backing)[:room].ljust(room, b"\0"),  # two long names reach beyond, and are left to do so
    )
    return build_header(made)


def fit(records: list[Record]) -> None:
    """Make every add-cow file fit its image file: size field, length, and the bits that stand for no unit.

    The records of a file come one after the other then.
    """
    files: dict[int, list[Record]] = {}
    for record in records:
        files.setdefault(record.file, []).append(record)
    for file, own in sorted(files.items()):
        index = header_at(own, file)
        image = None if index is None else _NUMBERS.get(_image_name(own[index].data))
        if index is None or image is None or image == file:
            continue
        size = max((record.offset + len(record.data) for record in files.get(image, ())), default=0)
        revision = Revision.V10
        if not own[index].data.startswith(_V10):
            data = bytearray(own[index].data.ljust(_SIZE.stop, b"\0"))
            data[_SIZE] = size.to_bytes(8, "big")
            own[index] = own[index]._replace(data=bytes(data))
            revision = _v4_or_v6(own)
        _fit_bitmap(own, Geometry(revision, size))
    records[:] = chain.from_iterable(files.values())


def _v4_or_v6(own: Sequence[Record]) -> Revision:
    """What a file is, by where it has its bitmap."""
    v4 = any(record.offset == HEADER_LENGTH[Revision.V4] for record in own)
    return Revision.V4 if v4 else Revision.V6


def _fit_bitmap(own: list[Record], geometry: Geometry) -> None:
    """Cut the bitmap of a file, or lengthen it by zeros; records that would be left without bytes go."""
    start, end = geometry.bitmap_offset, geometry.bitmap_end
    kept = []
    for file, offset, data in own:
        cut = data if offset < start else data[: max(end - offset, 0)]
        if cut and offset >= start and offset + len(cut) == end:
            cut = cut[:-1] + bytes([cut[-1] & ~geometry.trailing_mask & 0xFF])
        if cut or offset < start:
            kept.append(Record(file, offset, cut))
    own[:] = [*kept, Record(own[0].file, end)]
