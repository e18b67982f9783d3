"""Judges of what an add-cow header says by itself: families HDR, NAM, FEA and SIZ of the catalogue."""

from __future__ import annotations

from typing import TYPE_CHECKING

from addcow_conformance.checker._registry import Draft, judges
from addcow_spec.geometry import SECTOR_SIZE
from addcow_spec.model import Features, HeaderV4, HeaderV6, HeaderV10, Revision, Role, Span

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__: list[str] = []

# Iterating over an enum costs more than a judge does.
_ROLES = tuple(Role)
_FIRST, _LAST, _LONGEST = 36, 4094, 4059
_ZEROS = bytes(4096)
_FEATURES = Span(28, 8)
_SIZE = Span(2060, 8)
_KNOWN = Features.BACKING_FILE | Features.BACKING_FORMAT_NO_PROBE

# v10: where the two integers that locate a name are.
_LOCATORS = {Role.BACKING: Span(12, 8), Role.IMAGE: Span(20, 8)}
_NAME_FIELDS = {Role.BACKING: Span(12, 1024), Role.IMAGE: Span(1036, 1024)}


def _offset_field(role: Role) -> Span:
    return Span(_LOCATORS[role].offset, 4)


def _size_field(role: Role) -> Span:
    return Span(_LOCATORS[role].offset + 4, 4)


def _stated(role: Role, span: Span) -> bool:
    """Whether a header states a place for a name, possible or not."""
    return span.offset != 0 and (span.length != 0 or role is Role.BACKING)


def _outside(span: Span) -> bool:
    """Whether a place is not inside the reserved field: ACW-NAM-001 comes before the limits."""
    return span.offset < _FIRST or span.end > HeaderV10.LENGTH


def _nonzero(data: bytes | bytearray, base: int) -> Span | None:
    """From the first to the last byte of ``data`` that is not zero, in a file where it starts at ``base``.

    Nearly every header has zeros alone there.
    """
    if data == _ZEROS[: len(data)]:
        return None
    rest = data.lstrip(b"\0")
    return Span(base + len(data) - len(rest), len(rest.rstrip(b"\0")))


@judges("ACW-HDR-004", Revision.V10)
def _reserved_v10(header: HeaderV10) -> Iterator[Draft]:
    rest = bytearray(header.reserved)
    for role in _ROLES:
        if header.name(role) is not None:
            start, length = header.name_span(role)
            rest[start - _FIRST : start - _FIRST + length] = bytes(length)
    span = _nonzero(rest, header.RESERVED_OFFSET)
    if span:
        yield Draft(
            span, "reserved", "zero outside the names", _bytes_from(rest, span, header.RESERVED_OFFSET)
        )


@judges("ACW-HDR-004", Revision.V6)
def _reserved_v6(header: HeaderV6) -> Iterator[Draft]:
    span = _nonzero(header.reserved, header.RESERVED_OFFSET)
    if span:
        yield Draft(span, "reserved", "zero", _bytes_from(header.reserved, span, header.RESERVED_OFFSET))


def _bytes_from(data: bytes | bytearray, span: Span, base: int) -> str:
    shown = data[span.offset - base :][: min(span.length, 8)].hex(" ")
    return f"{shown} ..." if span.length > 8 else shown


@judges("ACW-NAM-001", Revision.V10)
def _name_inside(header: HeaderV10) -> Iterator[Draft]:
    for role in _ROLES:
        span = offset, size = header.name_span(role)
        if _outside(span) and _stated(role, span):
            yield Draft(
                _LOCATORS[role],
                f"{role}_filename_offset",
                f"offset at least {_FIRST}, offset + size at most {header.LENGTH}",
                f"offset {offset}, size {size}, end {offset + size}",
            )


@judges("ACW-NAM-002", Revision.V10)
def _name_offset(header: HeaderV10) -> Iterator[Draft]:
    for role in _ROLES:
        span = header.name_span(role)
        if span.offset > _LAST and _stated(role, span) and not _outside(span):
            field = f"{role}_filename_offset"
            yield Draft(_offset_field(role), field, f"{_FIRST} to {_LAST}", str(span.offset))


@judges("ACW-NAM-003", Revision.V10)
def _name_size(header: HeaderV10) -> Iterator[Draft]:
    for role in _ROLES:
        span = header.name_span(role)
        if span.length > _LONGEST and _stated(role, span) and not _outside(span):
            yield Draft(_size_field(role), f"{role}_filename_size", f"at most {_LONGEST}", str(span.length))


@judges("ACW-NAM-004", Revision.V10)
def _size_without_offset(header: HeaderV10) -> Iterator[Draft]:
    if not header.backing_filename_offset and header.backing_filename_size:
        size = str(header.backing_filename_size)
        yield Draft(_size_field(Role.BACKING), "backing_filename_size", "0, since the offset is 0", size)


@judges("ACW-NAM-005", Revision.V10)
def _offset_without_size(header: HeaderV10) -> Iterator[Draft]:
    if header.backing_filename_offset and not header.backing_filename_size:
        expected = f"1 to {_LONGEST}, since the offset is {header.backing_filename_offset}"
        yield Draft(_size_field(Role.BACKING), "backing_filename_size", expected, "0")


@judges("ACW-NAM-006", Revision.V10)
def _image_name_v10(header: HeaderV10) -> Iterator[Draft]:
    offset, size = header.image_filename_offset, header.image_filename_size
    if not offset or not size:
        actual = f"offset {offset}, size {size}"
        yield Draft(_LOCATORS[Role.IMAGE], "image_filename_offset", "offset and size not 0", actual)


@judges("ACW-NAM-006", Revision.V4, Revision.V6)
def _image_name_old(header: HeaderV4) -> Iterator[Draft]:
    if header.name(Role.IMAGE) is None:
        yield Draft(_NAME_FIELDS[Role.IMAGE], "image_file", "a name", "empty")


@judges("ACW-NAM-007", Revision.V10)
def _name_without_nul(header: HeaderV10) -> Iterator[Draft]:
    for role in _ROLES:
        name = header.name(role)
        if name is not None and b"\0" in name:
            index = name.index(0)
            span = Span(header.name_span(role).offset + index, 1)
            yield Draft(span, f"{role}_filename", "no NUL", f"NUL at byte {index} of {len(name)}")


@judges("ACW-NAM-008", Revision.V10)
def _names_apart(header: HeaderV10) -> Iterator[Draft]:
    if header.name(Role.BACKING) is None or header.name(Role.IMAGE) is None:
        return
    image, backing = header.name_span(Role.IMAGE), header.name_span(Role.BACKING)
    start, end = max(image.offset, backing.offset), min(image.end, backing.end)
    if start < end:
        actual = f"backing {backing.offset}-{backing.end - 1}, image {image.offset}-{image.end - 1}"
        yield Draft(Span(start, end - start), "image_filename", "names apart", actual)


@judges("ACW-NAM-009", Revision.V4, Revision.V6)
def _name_padding(header: HeaderV4) -> Iterator[Draft]:
    for role in _ROLES:
        field, base = header.name_field(role), _NAME_FIELDS[role].offset
        rest = field.partition(b"\0")[2]
        span = _nonzero(rest, base + len(field) - len(rest))
        if span:
            yield Draft(span, f"{role}_file", "zero after the first NUL", _bytes_from(field, span, base))


@judges("ACW-FEA-001", Revision.V10)
def _backing_flag(header: HeaderV10) -> Iterator[Draft]:
    flag = Features.BACKING_FILE in header.features
    if flag != bool(header.backing_filename_offset):
        expected = "set, since there is a backing file" if not flag else "clear, since the offset is 0"
        yield Draft(_FEATURES, "features", f"BACKING_FILE {expected}", f"0x{header.features:x}")


@judges("ACW-FEA-002", Revision.V10)
def _no_probe_flag(header: HeaderV10) -> Iterator[Draft]:
    if header.features & _KNOWN == Features.BACKING_FORMAT_NO_PROBE:
        expected = "BACKING_FORMAT_NO_PROBE only with BACKING_FILE"
        yield Draft(_FEATURES, "features", expected, f"0x{header.features:x}")


@judges("ACW-FEA-003", Revision.V10)
def _unknown_features(header: HeaderV10) -> Iterator[Draft]:
    unknown = int(header.features) & ~int(_KNOWN)
    if unknown:
        bits = ", ".join(str(bit) for bit in range(64) if unknown >> bit & 1)
        yield Draft(_FEATURES, "features", "bits 0 and 1 only", f"0x{header.features:x}: bit {bits}")


@judges("ACW-SIZ-007", Revision.V4, Revision.V6)
def _size_in_sectors(header: HeaderV4) -> Iterator[Draft]:
    if header.size % SECTOR_SIZE:
        yield Draft(_SIZE, "size", f"a multiple of {SECTOR_SIZE}", str(header.size))
