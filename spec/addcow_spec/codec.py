"""Bytes to model and back.

Parse and build are inverse on everything that parses: the model keeps padding, reserved bytes and unknown
bits, so ``build(parse(data))`` gives the very bytes that were consumed.
"""

from __future__ import annotations

from typing import Any, Final

from addcow_spec.errors import MalformedImage
from addcow_spec.grammar import (
    ADDCOW_V4,
    ADDCOW_V6,
    ADDCOW_V10,
    QCOW2_EXTENSION,
    QCOW2_EXTENSION_START,
    QCOW2_FEATURE_NAME,
    QCOW2_V2,
    QCOW2_V3_FIELDS,
    Layout,
)
from addcow_spec.model import (
    FeatureName,
    Features,
    Header,
    HeaderV4,
    HeaderV6,
    HeaderV10,
    Qcow2Extension,
    Qcow2Header,
    Revision,
    Span,
)

__all__ = [
    "HEADER_LENGTH",
    "LAYOUTS",
    "QCOW2_CLUSTER_BITS",
    "QCOW2_MAX_EXTENSIONS",
    "build_feature_names",
    "build_header",
    "build_qcow2",
    "parse_feature_names",
    "parse_header",
    "parse_qcow2",
    "qcow2_backing_name",
    "versions",
]

LAYOUTS: Final = {Revision.V4: ADDCOW_V4, Revision.V6: ADDCOW_V6, Revision.V10: ADDCOW_V10}
HEADER_LENGTH: Final = {revision: layout.end for revision, layout in LAYOUTS.items()}

QCOW2_CLUSTER_BITS: Final = range(9, 22)
# Each type may appear once, and few are known; a first cluster could hold 262,000 empty ones.
QCOW2_MAX_EXTENSIONS: Final = 1024

_VERSION2_DEFAULTS = {
    "incompatible_features": 0,
    "compatible_features": 0,
    "autoclear_features": 0,
    "refcount_order": 4,
    "header_length": QCOW2_V2.end,
}

_RULES = {"magic": "ACW-HDR-001", "version": "ACW-HDR-002"}
_QCOW2_RULES = {"magic": "ACW-QC2-001", "version": "ACW-QC2-002"}


def versions(data: bytes) -> tuple[int, int]:
    """The version field read little and big endian, from a header of at least 12 bytes (ACW-HDR-002)."""
    field = data[8:12]
    return int.from_bytes(field, "little"), int.from_bytes(field, "big")


def _parse(layout: Layout, data: bytes, rules: dict[str, str], truncated: str) -> dict[str, Any]:
    """Parse a layout from ``data``, which starts at the layout's own start in the file."""
    found = layout.parse(data)
    if found is not None:
        return found
    path = layout.fault(data)
    span = offset, length = layout.spans[path]
    ends = layout.start + len(data)
    missing = offset + length > ends
    rule = truncated if missing and path != "magic" else rules[path]
    problem = f"the data ends at byte {ends}" if missing else "not what the format requires"
    message = f"{layout.name}.{path} at byte {offset}: {problem}"
    raise MalformedImage(message, rule=rule, span=span, field=path)


def parse_header(data: bytes, revision: Revision) -> Header:
    """Parse the header of ``revision`` from the start of ``data``; bytes after it are ignored.

    Raises:
        MalformedImage: ACW-HDR-001 (magic), ACW-HDR-002 (version) or ACW-HDR-003 (too short), with the
            path and the span of the field at fault.
    """
    found = _parse(LAYOUTS[revision], data, _RULES, "ACW-HDR-003")
    if revision is Revision.V10:
        return HeaderV10(
            backing_filename_offset=found["backing_filename_offset"],
            backing_filename_size=found["backing_filename_size"],
            image_filename_offset=found["image_filename_offset"],
            image_filename_size=found["image_filename_size"],
            features=Features(found["features"]),
            reserved=found["reserved"],
        )
    if revision is Revision.V6:
        return HeaderV6(found["backing_file"], found["image_file"], found["size"], found["reserved"])
    return HeaderV4(found["backing_file"], found["image_file"], found["size"])


def _values(layout: Layout, model: object) -> dict[str, Any]:
    """The model's values for the layout's fields; construct fills in the constants."""
    return {name: getattr(model, name) for name in layout.variables}


def build_header(header: Header) -> bytes:
    """The bytes of a header, the inverse of `parse_header`."""
    layout = LAYOUTS[header.revision]
    return bytes(layout.struct.build(_values(layout, header)))


def parse_qcow2(data: bytes, *, limit: int | None = None) -> Qcow2Header:
    """Parse a qcow2 header with its extensions from the start of ``data``.

    Args:
        data: the start of the file; the first cluster, or what the file has of it.
        limit: offset at which the extension area ends at the latest; by default the backing file's name
            where the header gives one, else the end of ``data``.

    Raises:
        MalformedImage: ACW-QC2-001 (magic), -002 (version), -003 (header too short), -004 (cluster size),
            -007 (extension that does not fit its area).
    """
    base = _parse(QCOW2_V2, data, _QCOW2_RULES, "ACW-QC2-003")
    version, bits, name_offset = base["version"], base["cluster_bits"], base["backing_file_offset"]
    if version not in (2, 3):
        raise _unusable("version", version, "2 or 3", "ACW-QC2-002")
    if bits not in QCOW2_CLUSTER_BITS:
        raise _unusable("cluster_bits", bits, "9 to 21", "ACW-QC2-004")
    version3 = _VERSION2_DEFAULTS
    if version == 3:
        version3 = _parse(QCOW2_V3_FIELDS, data[QCOW2_V3_FIELDS.start :], {}, "ACW-QC2-003")
    length = version3["header_length"]
    if version == 3 and not QCOW2_V3_FIELDS.end <= length <= len(data):
        raise MalformedImage(
            f"qcow2 header_length {length} is not {QCOW2_V3_FIELDS.end} to {len(data)}",
            rule="ACW-QC2-003",
            span=Span(100, 4),
            field="header_length",
        )
    end = len(data) if limit is None else min(limit, len(data))
    if length <= name_offset < end:
        end = name_offset
    extensions, marker = _parse_extensions(data, length, end)
    additional = data[QCOW2_V3_FIELDS.end : length] if version == 3 else b""
    del base["magic"]
    return Qcow2Header(**base, **version3, additional=additional, extensions=extensions, end_marker=marker)


def _unusable(name: str, value: int, expected: str, rule: str) -> MalformedImage:
    message = f"qcow2 {name} {value} is not {expected}"
    return MalformedImage(message, rule=rule, span=QCOW2_V2.spans[name], field=name)


def _parse_extensions(data: bytes, start: int, end: int) -> tuple[tuple[Qcow2Extension, ...], bytes]:
    extensions: list[Qcow2Extension] = []
    offset = start
    while (begin := offset + 8) <= end:
        kind, length = QCOW2_EXTENSION_START.unpack_from(data, offset)
        if not kind:
            return tuple(extensions), data[offset:begin]
        last = begin + length
        stop = last + -length % 8
        many = len(extensions) == QCOW2_MAX_EXTENSIONS
        if stop > end or many:
            problem = "is one too many" if many else f"of {length} bytes does not fit before {end}"
            raise MalformedImage(
                f"qcow2 extension {len(extensions)} at byte {offset} {problem}",
                rule="ACW-QC2-007",
                span=Span(offset, 8),
                field=f"extensions[{len(extensions)}].length",
            )
        extensions.append(Qcow2Extension(kind, data[begin:last], data[last:stop], offset))
        offset = stop
    return tuple(extensions), b""


def build_qcow2(header: Qcow2Header) -> bytes:
    """The bytes of a qcow2 header with its extensions, the inverse of `parse_qcow2`."""
    parts = [QCOW2_V2.struct.build(_values(QCOW2_V2, header))]
    if header.version == 3:
        parts += [QCOW2_V3_FIELDS.struct.build(_values(QCOW2_V3_FIELDS, header)), header.additional]
    for extension in header.extensions:
        value = {
            "type": extension.type,
            "length": len(extension.data),
            "data": extension.data,
            "padding": extension.padding,
        }
        parts.append(QCOW2_EXTENSION.build(value))
    parts.append(header.end_marker)
    return b"".join(parts)


def qcow2_backing_name(header: Qcow2Header, data: bytes) -> bytes | None:
    """The backing file's name, None where there is none or it does not lie in ``data`` (ACW-QC2-010)."""
    offset, size = header.backing_file_offset, header.backing_file_size
    if not offset or not size or offset + size > len(data):
        return None
    return data[offset : offset + size]


def parse_feature_names(data: bytes) -> tuple[FeatureName, ...]:
    """The entries of a feature name table; trailing bytes that make no whole entry are ignored."""
    size = QCOW2_FEATURE_NAME.end
    starts = range(0, len(data) - len(data) % size, size)
    entries = (data[start : start + size] for start in starts)
    return tuple(FeatureName(**_parse(QCOW2_FEATURE_NAME, entry, {}, "")) for entry in entries)


def build_feature_names(names: tuple[FeatureName, ...]) -> bytes:
    """The bytes of a feature name table, the inverse of `parse_feature_names`."""
    return b"".join(QCOW2_FEATURE_NAME.struct.build(name._asdict()) for name in names)
