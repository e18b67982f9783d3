"""Making the files of an input fit each other: names to their headers, bitmaps to their disks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from addcow_fuzz._packing import MOST_FILES, Record, name_of
from addcow_spec.codec import HEADER_LENGTH, build_header, parse_header
from addcow_spec.errors import MalformedImage
from addcow_spec.geometry import Geometry
from addcow_spec.model import MAGIC, QCOW2_MAGIC, Features, Header, HeaderV10, Revision, Role

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["fit", "header_at", "rename"]

_NUMBERS = {name_of(number): number for number in range(MOST_FILES)}
_NAME_FIELDS = {Role.IMAGE: 1036, Role.BACKING: 12}
_NAME_LENGTH = 1024
_SIZE = slice(2060, 2068)


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
    """Make every add-cow file fit its image file: size field, length, and the bits that stand for no unit."""
    for file in sorted({record.file for record in records}):
        index = header_at(records, file)
        header = None if index is None else _header(records[index])
        if index is None or header is None:
            continue
        image = _NUMBERS.get(header.name(Role.IMAGE) or b"")
        if image is None or image == file:
            continue
        size = _length(records, image)
        revision = header.revision
        if revision is not Revision.V10:
            data = bytearray(records[index].data.ljust(_SIZE.stop, b"\0"))
            data[_SIZE] = size.to_bytes(8, "big")
            records[index] = records[index]._replace(data=bytes(data))
            revision = _v4_or_v6(records, file)
        _fit_bitmap(records, file, Geometry(revision, size))


def _v4_or_v6(records: Sequence[Record], file: int) -> Revision:
    """What a file is, by where it has its bitmap."""
    v4 = any(record.file == file and record.offset == HEADER_LENGTH[Revision.V4] for record in records)
    return Revision.V4 if v4 else Revision.V6


def _length(records: Sequence[Record], file: int) -> int:
    return max((record.offset + len(record.data) for record in records if record.file == file), default=0)


def _fit_bitmap(records: list[Record], file: int, geometry: Geometry) -> None:
    """Cut a bitmap, or lengthen it by zeros; records that would be left without bytes go."""
    start, end = geometry.bitmap_offset, geometry.bitmap_end
    kept = []
    for record in records:
        if record.file != file or record.offset < start:
            kept.append(record)
            continue
        data = record.data[: max(end - record.offset, 0)]
        if data and record.offset + len(data) == end:
            data = data[:-1] + bytes([data[-1] & ~geometry.trailing_mask & 0xFF])
        if data:
            kept.append(record._replace(data=data))
    records[:] = [*kept, Record(file, end)]
