"""Judges of a qcow2 header met in the backing chain: family QC2 of the catalogue."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from addcow_conformance.checker._registry import Draft, judges
from addcow_spec.codec import QCOW2_CLUSTER_BITS, parse_feature_names, parse_qcow2, qcow2_backing_name
from addcow_spec.geometry import ceil_div
from addcow_spec.model import ExtensionType, FeatureName, Qcow2Header, Span
from addcow_spec.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from addcow_conformance.checker._files import OpenFile

__all__ = ["MALFORMED_RULES", "QCOW2", "Qcow2Layer", "read_qcow2"]

QCOW2 = "qcow2"
MALFORMED_RULES = frozenset({"ACW-QC2-001", "ACW-QC2-002", "ACW-QC2-003", "ACW-QC2-004", "ACW-QC2-007"})

_INCOMPATIBLE = Span(72, 8)
_CLEAN_BITS = {0: "dirty", 1: "corrupt"}
_LONGEST_NAME = 1023
# A name for each bit of the three bitmaps.
_LARGEST_TABLE = 3 * 64 * 48


class Qcow2Layer(NamedTuple):
    """A parsed qcow2 header with what its judges need besides: lengths in bytes."""

    header: Qcow2Header
    cluster: int
    file_length: int
    backing_name: bytes

    @property
    def has_usable_name(self) -> bool:
        """Whether the name of a backing file lies where ACW-QC2-010 wants it."""
        offset, size = self.header.backing_file_offset, self.header.backing_file_size
        inside = self.header.header_length <= offset and offset + size <= self.cluster
        return inside and size <= _LONGEST_NAME and bool(self.backing_name)

    @property
    def backing_format(self) -> bytes | None:
        """The stated format of the backing file, None where it is left to a probe.

        QEMU takes an empty statement for none.
        """
        extension = self.header.extension(ExtensionType.BACKING_FORMAT)
        return (extension.data or None) if extension else None


def read_qcow2(file: OpenFile) -> Qcow2Layer:
    """Read the header in the first cluster of a qcow2 file.

    Raises:
        MalformedImage: ACW-QC2-001, -002, -003, -004 or -007.
        StorageError: reading failed.
    """
    start = file.read(0, 104)
    bits = int.from_bytes(start[20:24], "big")
    data = file.read(0, 1 << bits) if bits in QCOW2_CLUSTER_BITS else start
    header = parse_qcow2(data)
    # A C reader ends the name at a NUL.
    name = (qcow2_backing_name(header, data) or b"").partition(b"\0")[0]
    return Qcow2Layer(header, 1 << header.cluster_bits, file.length, name)


@judges("ACW-QC2-005", QCOW2)
def _incompatible(layer: Qcow2Layer) -> Iterator[Draft]:
    names = _feature_names(layer.header)
    bits = [bit for bit in _bits(layer.header.incompatible_features) if bit not in _CLEAN_BITS]
    if bits:
        shown = ", ".join(names.get(bit, f"bit {bit}") for bit in bits)
        yield Draft(_INCOMPATIBLE, "incompatible_features", "no bit beyond dirty and corrupt", shown)


@judges("ACW-QC2-006", QCOW2)
def _refcount_width(layer: Qcow2Layer) -> Iterator[Draft]:
    if layer.header.refcount_order > 6:
        yield Draft(Span(96, 4), "refcount_order", "0 to 6", str(layer.header.refcount_order))


@judges("ACW-QC2-008", QCOW2)
def _extension_once(layer: Qcow2Layer) -> Iterator[Draft]:
    seen = set()
    for index, extension in enumerate(layer.header.extensions):
        if extension.type in seen:
            field = f"extensions[{index}].type"
            yield Draft(Span(extension.offset, 4), field, "each type once", f"0x{extension.type:08x} again")
        seen.add(extension.type)


@judges("ACW-QC2-009", QCOW2)
def _feature_table(layer: Qcow2Layer) -> Iterator[Draft]:
    table = layer.header.extension(ExtensionType.FEATURE_NAMES)
    if table is None:
        return
    span = Span(table.offset + 8, len(table.data))
    if len(table.data) % 48:
        yield Draft(span, "feature_names", "a multiple of 48 bytes", f"{len(table.data)} bytes")
    if len(table.data) // 48 > _LARGEST_TABLE // 48:
        yield Draft(span, "feature_names", f"at most {_LARGEST_TABLE} bytes", f"{len(table.data)} bytes")
    for index, entry in enumerate(_feature_entries(layer.header)):
        if entry.kind > 2 or entry.bit > 63:
            where = Span(span.offset + 48 * index, 2)
            actual = f"type {entry.kind}, bit {entry.bit}"
            yield Draft(where, f"feature_names[{index}]", "type 0 to 2, bit 0 to 63", actual)


@judges("ACW-QC2-010", QCOW2)
def _backing_name(layer: Qcow2Layer) -> Iterator[Draft]:
    header = layer.header
    if header.backing_file_offset and not layer.has_usable_name:
        offset, size = header.backing_file_offset, header.backing_file_size
        expected = f"1 to {_LONGEST_NAME} bytes between {header.header_length} and {layer.cluster}"
        yield Draft(Span(8, 12), "backing_file_offset", expected, f"{size} bytes at {offset}")


@judges("ACW-QC2-011", QCOW2)
def _clean(layer: Qcow2Layer) -> Iterator[Draft]:
    bits = [name for bit, name in _CLEAN_BITS.items() if layer.header.incompatible_features >> bit & 1]
    if bits:
        yield Draft(_INCOMPATIBLE, "incompatible_features", "dirty and corrupt clear", " and ".join(bits))


@judges("ACW-QC2-012", QCOW2)
def _not_encrypted(layer: Qcow2Layer) -> Iterator[Draft]:
    if layer.header.crypt_method:
        yield Draft(Span(32, 4), "crypt_method", "0", str(layer.header.crypt_method))


@judges("ACW-QC2-013", QCOW2)
def _l1_table(layer: Qcow2Layer) -> Iterator[Draft]:
    header, cluster = layer.header, layer.cluster
    offset, entries = header.l1_table_offset, header.l1_size
    needed = ceil_div(header.size, cluster * (cluster // 8))
    if offset % cluster:
        yield Draft(Span(40, 8), "l1_table_offset", f"a multiple of {cluster}", str(offset))
    if entries < needed:
        yield Draft(Span(36, 4), "l1_size", f"at least {needed}", str(entries))
    elif offset + 8 * entries > layer.file_length:
        actual = f"ends at {offset + 8 * entries}"
        yield Draft(Span(36, 12), "l1_table_offset", f"a table that ends before {layer.file_length}", actual)


@judges("ACW-QC2-014", QCOW2)
def _aligned(layer: Qcow2Layer) -> Iterator[Draft]:
    header = layer.header
    tables = [("refcount_table_offset", Span(48, 8), header.refcount_table_offset)]
    if header.nb_snapshots:
        tables.append(("snapshots_offset", Span(64, 8), header.snapshots_offset))
    for field, span, offset in tables:
        if offset % layer.cluster:
            yield Draft(span, field, f"a multiple of {layer.cluster}", str(offset))


def _bits(value: int) -> Iterator[int]:
    return (bit for bit in range(64) if value >> bit & 1)


def _feature_names(header: Qcow2Header) -> dict[int, str]:
    """Names of incompatible feature bits, from the image's own table."""
    incompatible = (entry for entry in _feature_entries(header) if entry.kind == 0)
    return {entry.bit: f"{printable(entry.name)} (bit {entry.bit})" for entry in incompatible}


def _feature_entries(header: Qcow2Header) -> tuple[FeatureName, ...]:
    table = header.extension(ExtensionType.FEATURE_NAMES)
    return parse_feature_names(table.data[:_LARGEST_TABLE]) if table else ()
