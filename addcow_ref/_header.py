"""Reading and judging the add-cow header on opening: its revision, and what keeps it from being used."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from addcow_spec.codec import HEADER_LENGTH, parse_header, versions
from addcow_spec.errors import MalformedImage, UnsupportedImage
from addcow_spec.geometry import SECTOR_SIZE, Geometry, round_up
from addcow_spec.model import MAGIC, VERSION, Features, Header, HeaderV4, HeaderV10, Revision, Role, Span

if TYPE_CHECKING:
    from collections.abc import Iterator

    from addcow_ref._judge import Judge
    from addcow_ref.storage import Storage

__all__ = ["LAST_NAME_OFFSET", "LONGEST_NAME", "judge_bitmap", "read_header", "usable_name"]

_LONGEST_HEADER = max(HEADER_LENGTH.values())
_SIZE_SPAN = Span(2060, 8)
_FEATURES_SPAN = Span(28, 8)
# As numbers: inverting a flag gives its known bits only, and flags are slow.
_BACKING_FILE, _NO_PROBE = int(Features.BACKING_FILE), int(Features.BACKING_FORMAT_NO_PROBE)
_KNOWN = _BACKING_FILE | _NO_PROBE
LAST_NAME_OFFSET = 4094
LONGEST_NAME = 4059


class _Fault(NamedTuple):
    rule: str
    message: str
    span: Span
    field: str


def read_header(file: Storage, judge: Judge, *, revision: Revision | None, writable: bool) -> Header:
    """Read the header, find out its revision, and judge it.

    Args:
        file: the add-cow file.
        judge: takes what is wrong.
        revision: the revision to take it for; None to find out.
        writable: whether it is to be written, which asks for a revision that is beyond doubt.

    Raises:
        MalformedImage: ACW-HDR-001 or -003.
        UnsupportedImage: ACW-HDR-002; ACW-HDR-005 where it is to be written.
        InvalidImage: a rule on names, features or the size.
        StorageError: reading failed.
    """
    data = _start(file, _LONGEST_HEADER)
    if revision is None:
        revision = _tell(file, data, judge, writable=writable)
    header = parse_header(data, revision)
    for fault in _v10_faults(header) if isinstance(header, HeaderV10) else _old_faults(header):
        judge.broken(fault.rule, fault.message, span=fault.span, field=fault.field)
    return header


def _start(file: Storage, length: int) -> bytes:
    data = bytearray(min(length, file.length()))
    file.read_into(0, data)
    return bytes(data)


def usable_name(header: Header, role: Role) -> bytes | None:
    """A name that can be a path: there, and without NUL."""
    name = header.name(role)
    return None if name is None or b"\0" in name else name


# --- which revision


def _tell(file: Storage, data: bytes, judge: Judge, *, writable: bool) -> Revision:
    """The revision by the version's byte order, and for v4 and v6 by content and length (ACW-HDR-005)."""
    if not data.startswith(MAGIC) or len(data) < 12:
        return Revision.V10  # parsing says what is missing
    little, big = versions(data)
    if little == VERSION:
        return Revision.V10
    if big != VERSION:
        raise UnsupportedImage(
            f"version {min(little, big)} is unknown, only {VERSION} is known",
            rule="ACW-HDR-002",
            span=Span(8, 4),
            field="version",
        )
    if len(data) < HEADER_LENGTH[Revision.V6]:
        return Revision.V4
    revision, doubt = _v4_or_v6(file, data)
    if doubt:
        message = f"it may be v4 or v6: {doubt}"
        if writable:
            raise UnsupportedImage(
                f"{message}; state the revision to write to it", rule="ACW-HDR-005", field="revision"
            )
        judge.broken("ACW-HDR-005", f"{message}; taken for {revision}")
    return revision


def _v4_or_v6(file: Storage, data: bytes) -> tuple[Revision, str]:
    size = int.from_bytes(data[_SIZE_SPAN.offset : _SIZE_SPAN.end], "big")
    ends = {revision: Geometry(revision, size) for revision in (Revision.V6, Revision.V4)}
    fitting = [revision for revision, geometry in ends.items() if _fits(file, geometry)]
    if any(data[HEADER_LENGTH[Revision.V4] : HEADER_LENGTH[Revision.V6]]):
        doubt = "" if Revision.V4 in fitting else "the content is v4, the length is not"
        return Revision.V4, doubt
    if len(fitting) == 1:
        return fitting[0], ""
    sound = [revision for revision, geometry in ends.items() if _is_sound(file, geometry)]
    taken = Revision.V4 if sound == [Revision.V4] else Revision.V6
    return taken, "both lengths fit" if fitting else "neither length fits"


def _fits(file: Storage, geometry: Geometry) -> bool:
    """Whether the file ends with the bitmap, or with zeros up to the end of the sector."""
    end, length = geometry.bitmap_end, file.length()
    if length == end:
        return True
    if length != round_up(end, SECTOR_SIZE):
        return False
    padding = bytearray(length - end)
    file.read_into(end, padding)
    return not any(padding)


def _is_sound(file: Storage, geometry: Geometry) -> bool:
    return file.length() >= geometry.bitmap_end and not _trailing_bits(file, geometry)


# --- what is wrong with it


def _v10_faults(header: HeaderV10) -> Iterator[_Fault]:
    yield from _image_name_faults(header)
    yield from _backing_name_faults(header)
    for role in (Role.IMAGE, Role.BACKING):
        name = header.name(role)
        if name is not None and b"\0" in name:
            where = Span(header.name_span(role).offset + name.index(0), 1)
            yield _Fault("ACW-NAM-007", f"the {role} file's name holds a NUL", where, f"{role}_filename")
    yield from _feature_faults(header)


def _image_name_faults(header: HeaderV10) -> Iterator[_Fault]:
    span = header.name_span(Role.IMAGE)
    if not span.offset or not span.length:
        where = Span(20, 8)
        yield _Fault("ACW-NAM-006", "it names no image file", where, "image_filename_offset")
    else:
        yield from _place_faults(span, Role.IMAGE, Span(20, 4))


def _backing_name_faults(header: HeaderV10) -> Iterator[_Fault]:
    span = header.name_span(Role.BACKING)
    if not span.offset:
        if span.length:
            message = f"no backing file, but a name of {span.length} bytes"
            yield _Fault("ACW-NAM-004", message, Span(16, 4), "backing_filename_size")
        return
    if not span.length:
        message = f"a backing file's name at byte {span.offset} of 0 bytes"
        yield _Fault("ACW-NAM-005", message, Span(16, 4), "backing_filename_size")
    yield from _place_faults(span, Role.BACKING, Span(12, 4))


def _place_faults(span: Span, role: Role, where: Span) -> Iterator[_Fault]:
    """The faults of a name's place; one that is not inside the reserved field breaks ACW-NAM-001 alone."""
    inside = span.offset >= HeaderV10.RESERVED_OFFSET and span.end <= HeaderV10.LENGTH
    if inside and span.offset <= LAST_NAME_OFFSET and span.length <= LONGEST_NAME:
        return
    what = f"the {role} file's name, {span.length} bytes at {span.offset},"
    field = f"{role}_filename_offset"
    if not inside:
        yield _Fault("ACW-NAM-001", f"{what} does not lie in the reserved field", where, field)
        return
    if span.offset > LAST_NAME_OFFSET:
        yield _Fault("ACW-NAM-002", f"{what} starts after {LAST_NAME_OFFSET}", where, field)
    if span.length > LONGEST_NAME:
        where = Span(where.offset + 4, 4)
        yield _Fault("ACW-NAM-003", f"{what} is too long", where, f"{role}_filename_size")


def _feature_faults(header: HeaderV10) -> Iterator[_Fault]:
    features, named = int(header.features), bool(header.backing_filename_offset)
    flag, unknown = bool(features & _BACKING_FILE), features & ~_KNOWN
    if flag != named:
        message = f"features are 0x{features:x}, but {'a' if named else 'no'} backing file is named"
        yield _Fault("ACW-FEA-001", message, _FEATURES_SPAN, "features")
    if features & _NO_PROBE and not flag:
        message = f"features are 0x{features:x}: NO_PROBE without BACKING_FILE"
        yield _Fault("ACW-FEA-002", message, _FEATURES_SPAN, "features")
    if unknown:
        message = f"features are 0x{features:x}: 0x{unknown:x} is unknown"
        yield _Fault("ACW-FEA-003", message, _FEATURES_SPAN, "features")


def _old_faults(header: HeaderV4) -> Iterator[_Fault]:
    if header.name(Role.IMAGE) is None:
        yield _Fault("ACW-NAM-006", "it names no image file", Span(1036, 1024), "image_file")
    if header.size % SECTOR_SIZE:
        message = f"size {header.size} is no multiple of {SECTOR_SIZE}"
        yield _Fault("ACW-SIZ-007", message, _SIZE_SPAN, "size")


# --- the bitmap


def judge_bitmap(file: Storage, geometry: Geometry, judge: Judge) -> None:
    """Judge whether the bitmap is complete (ACW-BMP-001) and its unused bits clear (ACW-BMP-002).

    Raises:
        MalformedImage: it is not complete.
        InvalidImage: a bit that stands for no unit is set.
        StorageError: reading failed.
    """
    length = file.length()
    if length < geometry.bitmap_end:
        judge.broken(
            "ACW-BMP-001",
            f"the bitmap ends at byte {geometry.bitmap_end}, the file at {length}",
            span=Span(geometry.bitmap_offset, geometry.bitmap_size),
            kind=MalformedImage,
        )
    elif _trailing_bits(file, geometry):
        judge.broken(
            "ACW-BMP-002",
            f"a bit is set beyond the last of {geometry.units} units",
            span=Span(geometry.bitmap_end - 1, 1),
        )


def _trailing_bits(file: Storage, geometry: Geometry) -> int:
    """The bits that are set in the bitmap's last byte and stand for no unit."""
    if not geometry.trailing_mask:
        return 0
    last = bytearray(1)
    file.read_into(geometry.bitmap_end - 1, last)
    return last[0] & geometry.trailing_mask
