"""Parse and build are inverse on all that parses; the rest is MalformedImage that points at the fault."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, TypeVar

import pytest
from construct import ConstructError
from hypothesis import given, settings
from hypothesis import strategies as st

from addcow_spec.codec import (
    HEADER_LENGTH,
    LAYOUTS,
    build_feature_names,
    build_header,
    build_qcow2,
    parse_feature_names,
    parse_header,
    parse_qcow2,
    qcow2_backing_name,
    versions,
)
from addcow_spec.errors import MalformedImage
from addcow_spec.grammar import (
    QCOW2_EXTENSION,
    QCOW2_FEATURE_NAME,
    QCOW2_V2,
    QCOW2_V3_FIELDS,
    Field,
    Layout,
)
from addcow_spec.model import (
    ExtensionType,
    FeatureName,
    Features,
    Header,
    HeaderV4,
    HeaderV6,
    HeaderV10,
    Revision,
    Role,
    Span,
)
from tests.spec.headers import (
    ADD_COW_START,
    EXTENSION_TYPES,
    add_cow_headers,
    extension,
    feature_name_tables,
    mutated,
    qcow2,
    qcow2_headers,
)

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

REVISIONS = pytest.mark.parametrize("revision", Revision)
REVISION = st.sampled_from(Revision)
UNTIMED = settings(deadline=None)

# Field, offset, size: as format and reviews state them, not as the grammar computes them.
V4_FIELDS = (
    ("magic", 0, 8),
    ("version", 8, 4),
    ("backing_file", 12, 1024),
    ("image_file", 1036, 1024),
    ("size", 2060, 8),
)
FIELDS = {
    Revision.V4: V4_FIELDS,
    Revision.V6: (*V4_FIELDS, ("reserved", 2068, 492)),
    Revision.V10: (
        ("magic", 0, 8),
        ("version", 8, 4),
        ("backing_filename_offset", 12, 4),
        ("backing_filename_size", 16, 4),
        ("image_filename_offset", 20, 4),
        ("image_filename_size", 24, 4),
        ("features", 28, 8),
        ("reserved", 36, 4060),
    ),
}
QCOW2_FIELDS = (
    ("magic", 0, 4),
    ("version", 4, 4),
    ("backing_file_offset", 8, 8),
    ("backing_file_size", 16, 4),
    ("cluster_bits", 20, 4),
    ("size", 24, 8),
    ("crypt_method", 32, 4),
    ("l1_size", 36, 4),
    ("l1_table_offset", 40, 8),
    ("refcount_table_offset", 48, 8),
    ("refcount_table_clusters", 56, 4),
    ("nb_snapshots", 60, 4),
    ("snapshots_offset", 64, 8),
    ("incompatible_features", 72, 8),
    ("compatible_features", 80, 8),
    ("autoclear_features", 88, 8),
    ("refcount_order", 96, 4),
    ("header_length", 100, 4),
)


def cut_field(fields: tuple[tuple[str, int, int], ...], length: int) -> tuple[str, Span]:
    """The first field that ``length`` bytes do not hold whole."""
    return next((name, Span(at, size)) for name, at, size in fields if at + size > length)


def outcome(parse: Callable[[], T]) -> T | MalformedImage:
    try:
        return parse()
    except MalformedImage as error:
        return error


def refused(data: bytes, revision: Revision) -> MalformedImage:
    with pytest.raises(MalformedImage) as caught:
        parse_header(data, revision)
    return caught.value


def qcow2_refused(data: bytes, limit: int | None = None) -> MalformedImage:
    with pytest.raises(MalformedImage) as caught:
        parse_qcow2(data, limit=limit)
    return caught.value


class TestLayouts:
    @UNTIMED
    @given(st.data(), st.sampled_from([*LAYOUTS.values(), QCOW2_V2, QCOW2_V3_FIELDS, QCOW2_FEATURE_NAME]))
    def test_parse_finds_what_construct_finds(self, data: st.DataObject, layout: Layout) -> None:
        sound = b"".join(_sound(field) for field in layout.fields)
        sample = data.draw(mutated(sound, start=data.draw(st.sampled_from([0, 12]))))
        sample = data.draw(st.sampled_from([sample, sample + b"more", sample[:-1], b""]))
        found = layout.parse(sample)
        assert (found or layout.fault(sample)) == _found_by_construct(layout, sample)


def _found_by_construct(layout: Layout, data: bytes) -> object:
    """The values of the fields, or the field at fault."""
    try:
        return {name: value for name, value in layout.struct.parse(data).items() if name != "_io"}
    except ConstructError as error:
        return str(error.path).rpartition(" ")[2]


def _sound(field: Field) -> bytes:
    if isinstance(field.value, int):
        return field.value.to_bytes(field.size, "little" if field.byte_order == "le" else "big")
    return field.value or bytes(field.size)


class TestAddCow:
    @UNTIMED
    @given(st.data(), REVISION, st.binary(max_size=16))
    def test_build_gives_back_the_parsed_bytes(
        self, data: st.DataObject, revision: Revision, rest: bytes
    ) -> None:
        header = data.draw(add_cow_headers(revision))
        assert build_header(parse_header(header + rest, revision)) == header

    @UNTIMED
    @given(
        st.one_of(
            st.builds(HeaderV4, *[st.binary(min_size=1024, max_size=1024)] * 2, st.integers(0, 2**64 - 1)),
            st.builds(
                HeaderV6,
                *[st.binary(min_size=1024, max_size=1024)] * 2,
                st.integers(0, 2**64 - 1),
                st.binary(min_size=492, max_size=492),
            ),
            st.builds(
                HeaderV10,
                *[st.integers(0, 2**32 - 1)] * 4,
                st.integers(0, 2**64 - 1).map(Features),
                st.binary(min_size=4060, max_size=4060),
            ),
        )
    )
    def test_parse_gives_back_the_built_header(self, header: Header) -> None:
        built = build_header(header)
        assert len(built) == HEADER_LENGTH[header.revision] == header.LENGTH
        assert parse_header(built, header.revision) == header

    def test_v10_fields_are_where_the_format_says(self) -> None:
        data = (
            b"ADD_COW\xff"
            + struct.pack("<IIIIIQ", 1, 36, 4, 40, 5, 1 << 63 | 3)
            + b"basedisk2".ljust(4060, b"\0")
        )
        header = parse_header(data, Revision.V10)
        assert header.name(Role.BACKING) == b"base"
        assert header.name(Role.IMAGE) == b"disk2"
        assert isinstance(header, HeaderV10)
        assert header.features == 1 << 63 | Features.BACKING_FILE | Features.BACKING_FORMAT_NO_PROBE

    @pytest.mark.parametrize("revision", [Revision.V4, Revision.V6])
    def test_v4_and_v6_fields_are_where_the_format_says(self, revision: Revision) -> None:
        names = b"base\0left over".ljust(1024, b"\0") + b"d" * 1024
        data = (b"ADD_COW\xff" + struct.pack(">I", 1) + names + struct.pack(">Q", 1 << 40)).ljust(
            2560, b"\x07"
        )
        header = parse_header(data, revision)
        assert header.name(Role.BACKING) == b"base"
        assert header.name(Role.IMAGE) == b"d" * 1024
        assert isinstance(header, HeaderV4)
        assert header.size == 1 << 40

    @REVISIONS
    def test_every_truncation_names_the_field_that_is_cut(self, revision: Revision) -> None:
        data = ADD_COW_START[revision].ljust(HEADER_LENGTH[revision], b"\0")
        for length in range(len(data)):
            error = refused(data[:length], revision)
            assert error.rule == ("ACW-HDR-001" if length < 8 else "ACW-HDR-003")
            assert (error.field, error.span) == cut_field(FIELDS[revision], length)

    @REVISIONS
    @pytest.mark.parametrize("at", range(8))
    @pytest.mark.parametrize("flip", [0x01, 0x20, 0x80])
    def test_wrong_magic(self, revision: Revision, at: int, flip: int) -> None:
        data = bytearray(ADD_COW_START[revision].ljust(4096, b"\0"))
        data[at] ^= flip
        error = refused(bytes(data), revision)
        assert (error.rule, error.field, error.span) == ("ACW-HDR-001", "magic", Span(0, 8))

    @REVISIONS
    @pytest.mark.parametrize("version", [0, 2, 0x01000000, 0x01000001, 2**31, 2**32 - 1])
    @pytest.mark.parametrize("length", [12, 4096])
    def test_wrong_version_even_where_more_is_missing(
        self, revision: Revision, version: int, length: int
    ) -> None:
        order = "<I" if revision is Revision.V10 else ">I"
        error = refused((b"ADD_COW\xff" + struct.pack(order, version)).ljust(length, b"\0"), revision)
        assert (error.rule, error.field, error.span) == ("ACW-HDR-002", "version", Span(8, 4))

    def test_versions_reads_both_byte_orders(self) -> None:
        assert versions(b"ADD_COW\xff\x01\x02\x03\x04") == (0x04030201, 0x01020304)

    @UNTIMED
    @given(st.data(), REVISION)
    def test_any_bytes_parse_or_are_malformed(self, data: st.DataObject, revision: Revision) -> None:
        start = ADD_COW_START[revision]
        sound = start.ljust(HEADER_LENGTH[revision], b"\0")
        sample = data.draw(st.one_of(st.binary(max_size=80), st.binary().map(start.__add__), mutated(sound)))
        result = outcome(lambda: parse_header(sample, revision))
        if isinstance(result, MalformedImage):
            assert result.field in {name for name, _, _ in FIELDS[revision]}
        else:
            assert build_header(result) == sample[: HEADER_LENGTH[revision]]


class TestQcow2:
    @UNTIMED
    @given(qcow2_headers())
    def test_build_gives_back_the_parsed_bytes(self, data: bytes) -> None:
        header = parse_qcow2(data)
        built = build_qcow2(header)
        assert data.startswith(built)
        # All that the extension area holds was consumed, unless an end marker came first.
        end = len(data)
        if header.header_length <= header.backing_file_offset < end:
            end = header.backing_file_offset
        assert header.end_marker or end - len(built) < 8

    @UNTIMED
    @given(qcow2_headers())
    def test_extensions_are_what_construct_finds(self, data: bytes) -> None:
        for one in parse_qcow2(data).extensions:
            found = QCOW2_EXTENSION.parse(data[one.offset :])
            assert one[:3] == (found.type, found.data, found.padding)
            assert found.length == len(one.data)

    def test_version_2_has_the_defaults_of_version_3(self) -> None:
        header = parse_qcow2(qcow2(2))
        assert header.incompatible_features == header.compatible_features == header.autoclear_features == 0
        assert (header.refcount_order, header.header_length, header.additional) == (4, 72, b"")

    def test_extensions_keep_padding_and_offsets(self) -> None:
        first = extension(EXTENSION_TYPES["backing format"], b"raw", b"12345")
        second = extension(0x12345678, b"")
        data = qcow2(3, additional=b"morebyte") + first + second + b"\0\0\0\0tail" + b"beyond the end"
        header = parse_qcow2(data)
        assert header.additional == b"morebyte"
        assert [tuple(found) for found in header.extensions] == [
            (ExtensionType.BACKING_FORMAT, b"raw", b"12345", 112),
            (0x12345678, b"", b"", 128),
        ]
        assert header.end_marker == b"\0\0\0\0tail"
        assert header.extension(ExtensionType.BACKING_FORMAT) == header.extensions[0]
        assert header.extension(ExtensionType.FEATURE_NAMES) is None

    @pytest.mark.parametrize("version", [2, 3])
    def test_name_directly_after_the_header_leaves_no_extensions(self, version: int) -> None:
        start = len(qcow2(version))
        name = extension(1, b"looks like an extension")
        data = qcow2(version, name_offset=start, name_size=len(name)) + name
        header = parse_qcow2(data)
        assert (header.extensions, header.end_marker) == ((), b"")
        assert qcow2_backing_name(header, data) == name
        assert qcow2_backing_name(header, data[:-1]) is None

    def test_limit_ends_the_extensions(self) -> None:
        whole = qcow2(3) + extension(1, b"12345678") + extension(2, b"")
        assert len(parse_qcow2(whole).extensions) == 2
        assert len(parse_qcow2(whole, limit=120).extensions) == 1
        assert qcow2_refused(whole, limit=119).rule == "ACW-QC2-007"
        assert parse_qcow2(whole, limit=111).extensions == ()

    @pytest.mark.parametrize("version", [2, 3])
    def test_every_truncation_names_the_field_that_is_cut(self, version: int) -> None:
        data = qcow2(version)
        for length in range(len(data)):
            error = qcow2_refused(data[:length])
            assert error.rule == ("ACW-QC2-001" if length < 4 else "ACW-QC2-003")
            assert (error.field, error.span) == cut_field(QCOW2_FIELDS, length)

    @pytest.mark.parametrize("at", range(4))
    def test_wrong_magic(self, at: int) -> None:
        data = bytearray(qcow2(3))
        data[at] ^= 0x20
        error = qcow2_refused(bytes(data))
        assert (error.rule, error.field, error.span) == ("ACW-QC2-001", "magic", Span(0, 4))

    @pytest.mark.parametrize("version", [0, 1, 4, 0x02000000, 2**32 - 1])
    def test_wrong_version(self, version: int) -> None:
        error = qcow2_refused(qcow2(version).ljust(112, b"\0"))
        assert (error.rule, error.field, error.span) == ("ACW-QC2-002", "version", Span(4, 4))

    @pytest.mark.parametrize("bits", [0, 8, 22, 2**32 - 1])
    def test_wrong_cluster_bits(self, bits: int) -> None:
        error = qcow2_refused(qcow2(3, cluster_bits=bits))
        assert (error.rule, error.field, error.span) == ("ACW-QC2-004", "cluster_bits", Span(20, 4))

    @pytest.mark.parametrize("length", [0, 72, 103, 105, 2**32 - 1])
    def test_header_length_outside_the_data(self, length: int) -> None:
        data = qcow2(3)[:100] + struct.pack(">I", length)
        error = qcow2_refused(data)
        assert (error.rule, error.field, error.span) == ("ACW-QC2-003", "header_length", Span(100, 4))

    @pytest.mark.parametrize("length", [1, 9, 2**31, 2**32 - 1])
    def test_extension_that_does_not_fit(self, length: int) -> None:
        data = qcow2(3) + extension(5, b"") + struct.pack(">II", 6, length)
        data += b"x" * 7 if length == 1 else b"x" * 8
        error = qcow2_refused(data)
        assert (error.rule, error.field) == ("ACW-QC2-007", "extensions[1].length")
        assert error.span == Span(112, 8)

    @pytest.mark.parametrize("version", [2, 3])
    def test_at_most_1024_extensions(self, version: int) -> None:
        start = qcow2(version)
        most = start + b"".join(extension(0x10000 + index, b"") for index in range(1024))
        for data in (most, most + bytes(8)):
            header = parse_qcow2(data)
            assert len(header.extensions) == 1024
            assert build_qcow2(header) == data
        for last in (extension(1, b""), extension(1, b"8 bytes!"), extension(0x10000, b"") + bytes(8)):
            error = qcow2_refused(most + last)
            assert (error.rule, error.field) == ("ACW-QC2-007", "extensions[1024].length")
            assert error.span == Span(len(most), 8)

    @UNTIMED
    @given(st.data(), st.integers(0, 200))
    def test_any_bytes_parse_or_are_malformed(self, data: st.DataObject, limit: int) -> None:
        sound = qcow2(data.draw(st.sampled_from([2, 3]))) + extension(
            EXTENSION_TYPES["feature names"], b"x" * 48
        )
        sample = data.draw(
            st.one_of(
                st.binary(max_size=120),
                st.binary(max_size=120).map(b"QFI\xfb\0\0\0\x03".__add__),
                mutated(sound + b"\0" * 8),
                qcow2_headers().flatmap(mutated),
            )
        )
        result = outcome(lambda: parse_qcow2(sample, limit=limit))
        if isinstance(result, MalformedImage):
            assert result.rule.startswith("ACW-QC2-")
            assert result.field
            assert result.span is not None
        else:
            assert sample.startswith(build_qcow2(result))


class TestFeatureNames:
    @given(feature_name_tables())
    def test_build_gives_back_the_whole_entries(self, table: bytes) -> None:
        names = parse_feature_names(table)
        assert build_feature_names(names) == table[: len(table) // 48 * 48]

    def test_fields(self) -> None:
        table = b"\0\x01corrupt bit".ljust(48, b"\0") + b"\xff\xff" + b"n" * 46
        names = parse_feature_names(table)
        assert names == (FeatureName(0, 1, b"corrupt bit".ljust(46, b"\0")), FeatureName(255, 255, b"n" * 46))
        assert [name.name for name in names] == [b"corrupt bit", b"n" * 46]
