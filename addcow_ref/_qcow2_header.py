"""Reading and judging the header of a qcow2 file on opening: family QC2 of the catalogue."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from addcow_ref._judge import Judge, Note
from addcow_spec.codec import QCOW2_CLUSTER_BITS, parse_feature_names, parse_qcow2
from addcow_spec.errors import ImageError, InvalidImage, UnsupportedImage
from addcow_spec.geometry import ceil_div
from addcow_spec.model import ExtensionType, FeatureName, Qcow2Extension, Qcow2Header, Span
from addcow_spec.rules import Profile
from addcow_spec.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from addcow_ref.storage import Storage

__all__ = ["Qcow2Reference", "qcow2_reference", "read_qcow2_header"]

_SHORTEST_READ = 104
_DIRTY_AND_CORRUPT = 0b11
_FEATURES = Span(72, 8)
_LONGEST_NAME = 1023
_MOST_NAMES = 3 * 64
_NAME_SIZE = 48


class Qcow2Reference(NamedTuple):
    """What a qcow2 header says about its backing file.

    Attributes:
        name: the name as stored, up to its first NUL; never empty.
        format: the stated format; None where it is left to a probe.
    """

    name: bytes
    format: bytes | None


class _Fault(NamedTuple):
    rule: str
    message: str
    span: Span
    field: str
    kind: type[ImageError] = InvalidImage


def read_qcow2_header(file: Storage) -> tuple[Qcow2Header, tuple[Note, ...]]:
    """Read the header in the first cluster, and judge it; at most 2 MiB are read.

    Returns:
        The header with its extensions, and what is wrong with it and does not keep it from being read
        (ACW-QC2-009, -011).

    Raises:
        MalformedImage: ACW-QC2-001, -002, -003, -004 or -007.
        UnsupportedImage: ACW-QC2-005 or -012.
        InvalidImage: ACW-QC2-006, -008, -010, -013 or -014.
        StorageError: reading failed.
    """
    data = _read(file, 0, _SHORTEST_READ)
    bits = int.from_bytes(data[20:24], "big")
    if bits in QCOW2_CLUSTER_BITS:
        data = _read(file, 0, 1 << bits)
    header = parse_qcow2(data)
    # The family has the same levels in both profiles.
    judge = Judge(Profile.REVIEWED)
    for fault in _faults(header, file):
        judge.broken(fault.rule, fault.message, span=fault.span, field=fault.field, kind=fault.kind)
    return header, tuple(judge.notes)


def qcow2_reference(file: Storage, header: Qcow2Header) -> Qcow2Reference | None:
    """The backing file that a header names, None where it names none.

    Args:
        file: the qcow2 file.
        header: its header, which `read_qcow2_header` gave.

    Raises:
        StorageError: reading failed.
    """
    if not header.backing_file_offset:
        return None
    stated = header.extension(ExtensionType.BACKING_FORMAT)
    return Qcow2Reference(_name(file, header), stated.data if stated else None)


def _name(file: Storage, header: Qcow2Header) -> bytes:
    """The backing file's name up to its first NUL; less of it where the file ends before."""
    size = min(header.backing_file_size, _LONGEST_NAME)
    return _read(file, header.backing_file_offset, size).partition(b"\0")[0]


def _read(file: Storage, offset: int, length: int) -> bytes:
    """Bytes from ``offset`` on, as far as the file has them."""
    data = bytearray(max(min(length, file.length() - offset), 0))
    file.read_into(offset, data)
    return bytes(data)


def _faults(header: Qcow2Header, file: Storage) -> Iterator[_Fault]:
    """All faults, an unknown feature first: it may change what the rest means."""
    yield from _feature_faults(header)
    if header.crypt_method:
        message = f"it is encrypted, crypt_method {header.crypt_method}"
        yield _Fault("ACW-QC2-012", message, Span(32, 4), "crypt_method", UnsupportedImage)
    if header.refcount_order > 6:
        message = f"refcount_order {header.refcount_order} is more than 6"
        yield _Fault("ACW-QC2-006", message, Span(96, 4), "refcount_order")
    yield from _extension_faults(header.extensions)
    if header.backing_file_offset:
        yield from _name_faults(header, file)
    yield from _table_faults(header, file.length())


# --- features


def _feature_faults(header: Qcow2Header) -> Iterator[_Fault]:
    table = header.extension(ExtensionType.FEATURE_NAMES)
    entries = parse_feature_names(table.data[: _MOST_NAMES * _NAME_SIZE]) if table else ()
    names = {entry.bit: f"{printable(entry.name)} (bit {entry.bit})" for entry in entries if entry.kind == 0}

    def shown(features: int) -> str:
        bits = (bit for bit in range(64) if features >> bit & 1)
        return ", ".join(names.get(bit, f"bit {bit}") for bit in bits)

    unsupported = header.incompatible_features & ~_DIRTY_AND_CORRUPT
    unclean = header.incompatible_features & _DIRTY_AND_CORRUPT
    if unsupported:
        message = f"it needs a feature that is not supported: {shown(unsupported)}"
        yield _Fault("ACW-QC2-005", message, _FEATURES, "incompatible_features", UnsupportedImage)
    if unclean:
        message = f"it is marked as not clean: {shown(unclean)}"
        yield _Fault("ACW-QC2-011", message, _FEATURES, "incompatible_features")
    if table:
        yield from _table_of_names_faults(table, entries)


def _table_of_names_faults(table: Qcow2Extension, entries: tuple[FeatureName, ...]) -> Iterator[_Fault]:
    size, start = len(table.data), table.offset + 8
    if size % _NAME_SIZE or size // _NAME_SIZE > _MOST_NAMES:
        message = f"a feature name table of {size} bytes"
        yield _Fault("ACW-QC2-009", message, Span(start, size), "feature_names")
    for index, entry in enumerate(entries):
        if entry.kind > 2 or entry.bit > 63:
            message = f"feature name {index} is for bit {entry.bit} of kind {entry.kind}"
            where = Span(start + _NAME_SIZE * index, 2)
            yield _Fault("ACW-QC2-009", message, where, f"feature_names[{index}]")


# --- extensions, name and tables


def _extension_faults(extensions: tuple[Qcow2Extension, ...]) -> Iterator[_Fault]:
    first: dict[int, int] = {}
    for index, extension in enumerate(extensions):
        if first.setdefault(extension.type, index) != index:
            message = f"header extension 0x{extension.type:08x} appears again"
            yield _Fault("ACW-QC2-008", message, Span(extension.offset, 4), f"extensions[{index}].type")


def _name_faults(header: Qcow2Header, file: Storage) -> Iterator[_Fault]:
    offset, size = header.backing_file_offset, header.backing_file_size
    last = min(1 << header.cluster_bits, file.length())
    lies_inside = header.header_length <= offset and offset + size <= last
    if not lies_inside or size > _LONGEST_NAME or not _name(file, header):
        message = f"the name of the backing file is to be {size} bytes at {offset}"
        yield _Fault("ACW-QC2-010", message, Span(8, 12), "backing_file_offset")


def _table_faults(header: Qcow2Header, file_length: int) -> Iterator[_Fault]:
    cluster = 1 << header.cluster_bits
    needed = ceil_div(header.size, cluster * (cluster // 8))
    end = header.l1_table_offset + 8 * header.l1_size
    if header.l1_table_offset % cluster:
        message = f"the L1 table at {header.l1_table_offset} is not aligned to {cluster}"
        yield _Fault("ACW-QC2-013", message, Span(40, 8), "l1_table_offset")
    if header.l1_size < needed:
        message = f"the L1 table has {header.l1_size} entries, the disk needs {needed}"
        yield _Fault("ACW-QC2-013", message, Span(36, 4), "l1_size")
    elif end > file_length:
        message = f"the L1 table ends at byte {end}, the file at {file_length}"
        yield _Fault("ACW-QC2-013", message, Span(36, 12), "l1_table_offset")
    if header.refcount_table_offset % cluster:
        message = f"the refcount table at {header.refcount_table_offset} is not aligned to {cluster}"
        yield _Fault("ACW-QC2-014", message, Span(48, 8), "refcount_table_offset")
    if header.nb_snapshots and header.snapshots_offset % cluster:
        message = f"the snapshot table at {header.snapshots_offset} is not aligned to {cluster}"
        yield _Fault("ACW-QC2-014", message, Span(64, 8), "snapshots_offset")
