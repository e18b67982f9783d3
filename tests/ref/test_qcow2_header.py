"""Opening a qcow2 file: every rule of the family, and the same verdicts as the checker."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from addcow_conformance.checker._qcow2 import QCOW2, read_qcow2
from addcow_conformance.checker._registry import judges_of
from addcow_ref._qcow2 import Qcow2Reference, qcow2_reference, read_qcow2_header
from addcow_spec.codec import build_feature_names
from addcow_spec.errors import ImageError, InvalidImage, MalformedImage, UnsupportedImage
from addcow_spec.model import ExtensionType, FeatureName
from addcow_spec.rules import Level, Profile, rule
from tests.ref.qcow2_images import Bytes, extension, header, image

FORMAT = ExtensionType.BACKING_FORMAT
NAMES = ExtensionType.FEATURE_NAMES


def named(name: bytes, *, size: int | None = None, offset: int = 200, **changes) -> bytes:
    """A file whose header names a backing file."""
    size = len(name) if size is None else size
    return image(parts={offset: name}, backing_file_offset=offset, backing_file_size=size, **changes)


@pytest.mark.parametrize("version", [2, 3])
def test_sound_header_is_read_without_a_word(version: int) -> None:
    file = Bytes(image(version=version))
    found, notes = read_qcow2_header(file)
    names = header().extensions[0]._replace(offset=72 if version == 2 else 104)
    assert found == header(version=version, extensions=(names,))
    assert notes == ()
    assert qcow2_reference(file, found) is None


MALFORMED = {
    "empty": (b"", "ACW-QC2-001"),
    "magic cut": (b"QFI", "ACW-QC2-001"),
    "another magic": (b"QFI\xfa" + image()[4:], "ACW-QC2-001"),
    "version 1": (image()[:7] + b"\1" + image()[8:], "ACW-QC2-002"),
    "version 4": (image()[:7] + b"\4" + image()[8:], "ACW-QC2-002"),
    "71 bytes of version 2": (image(version=2)[:71], "ACW-QC2-003"),
    "103 bytes of version 3": (image()[:103], "ACW-QC2-003"),
    "header_length 103": (image(header_length=103), "ACW-QC2-003"),
    "header longer than the cluster": (image(header_length=513), "ACW-QC2-003"),
    "cluster_bits 8": (image()[:23] + b"\10" + image()[24:], "ACW-QC2-004"),
    "cluster_bits 22": (image()[:23] + b"\26" + image()[24:], "ACW-QC2-004"),
    "extension beyond the cluster": (image(extensions=(extension(7, bytes(500)),)), "ACW-QC2-007"),
    "extension into the name": (image(backing_file_offset=159, backing_file_size=4), "ACW-QC2-007"),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed(case: str) -> None:
    data, broken = MALFORMED[case]
    with pytest.raises(MalformedImage) as caught:
        read_qcow2_header(Bytes(data))
    assert caught.value.rule == broken


INVALID = {
    "refcount_order 7": (image(refcount_order=7), "ACW-QC2-006"),
    "format twice": (
        image(extensions=(extension(FORMAT, b"raw"), extension(FORMAT, b"qcow2"))),
        "ACW-QC2-008",
    ),
    "unknown extension twice": (image(extensions=(extension(9, b""), extension(9, b"x"))), "ACW-QC2-008"),
    "name of 0 bytes": (named(b""), "ACW-QC2-010"),
    "name of 1,024 bytes": (
        named(b"x" * 1024, cluster_bits=12),
        "ACW-QC2-010",
    ),
    "name in the header": (image(backing_file_offset=103, backing_file_size=4), "ACW-QC2-010"),
    "name leaves the cluster": (named(b"base", offset=509), "ACW-QC2-010"),
    "name beyond the file": (image(backing_file_offset=1 << 63, backing_file_size=4), "ACW-QC2-010"),
    "name starts with NUL": (named(b"\0base"), "ACW-QC2-010"),
    "L1 table unaligned": (image(l1_table_offset=513), "ACW-QC2-013"),
    "L1 table too short": (image(l1_size=1), "ACW-QC2-013"),
    "L1 table for a byte less": (image(size=(64 << 10) + 1), "ACW-QC2-013"),
    "L1 table beyond the file": (image(l1_size=2**32 - 1), "ACW-QC2-013"),
    "L1 table cut by a byte": (image(l1_table_offset=2560, length=2560 + 15), "ACW-QC2-013"),
    "L1 table far off": (image(l1_size=0, size=0, length=2560, l1_table_offset=2**64 - 512), "ACW-QC2-013"),
    "refcount table unaligned": (image(refcount_table_offset=1025), "ACW-QC2-014"),
    "snapshots unaligned": (image(nb_snapshots=1, snapshots_offset=1), "ACW-QC2-014"),
}


@pytest.mark.parametrize("case", INVALID)
def test_invalid(case: str) -> None:
    data, broken = INVALID[case]
    with pytest.raises(InvalidImage) as caught:
        read_qcow2_header(Bytes(data))
    assert caught.value.rule == broken
    assert caught.value.span
    assert caught.value.field


@pytest.mark.parametrize("bit", [2, 3, 4, 5, 63])
def test_unsupported_feature(bit: int) -> None:
    with pytest.raises(UnsupportedImage) as caught:
        read_qcow2_header(Bytes(image(incompatible_features=1 << bit)))
    assert caught.value.rule == "ACW-QC2-005"
    # Named as the file names it, and by number where it does not.
    assert ("external data file" in str(caught.value)) == (bit == 2)
    assert f"bit {bit}" in str(caught.value)


def test_hostile_feature_name_is_escaped() -> None:
    table = build_feature_names((FeatureName(0, 7, b"\x1b[2J\n".ljust(46, b"\0")),))
    data = image(incompatible_features=1 << 7, extensions=(extension(NAMES, table),))
    with pytest.raises(UnsupportedImage) as caught:
        read_qcow2_header(Bytes(data))
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("method", [1, 2, 3, 2**32 - 1])
def test_encrypted(method: int) -> None:
    with pytest.raises(UnsupportedImage) as caught:
        read_qcow2_header(Bytes(image(crypt_method=method)))
    assert caught.value.rule == "ACW-QC2-012"


TABLES = {
    "a remainder": build_feature_names((FeatureName(0, 2, bytes(46)),)) + b"x",
    "kind 3": build_feature_names((FeatureName(3, 2, bytes(46)),)),
    "bit 64": build_feature_names((FeatureName(0, 64, bytes(46)),)),
    "193 entries, the last not looked at": bytes(48 * 192) + b"\xff" * 48,
}
WARNED = {
    case: (image(cluster_bits=14, extensions=(extension(NAMES, TABLES[case]),)), "ACW-QC2-009")
    for case in TABLES
}
WARNED["dirty"] = (image(incompatible_features=1), "ACW-QC2-011")
WARNED["corrupt"] = (image(incompatible_features=2), "ACW-QC2-011")


@pytest.mark.parametrize("case", WARNED)
def test_warning_does_not_refuse(case: str) -> None:
    data, broken = WARNED[case]
    _, notes = read_qcow2_header(Bytes(data))
    assert [note.rule for note in notes] == [broken]


@pytest.mark.parametrize(
    "changes",
    [
        {"compatible_features": 2**64 - 1},
        {"autoclear_features": 2**64 - 1},
        {"extensions": (extension(0x12345678, b"who knows"),)},
        {"header_length": 105, "additional": b"\xff"},
        {"nb_snapshots": 0, "snapshots_offset": 1},
        {"refcount_order": 6},
        {"l1_size": 4, "size": 1},
        {"l1_table_offset": 2560, "length": 2560 + 16},
        {"l1_size": 0, "l1_table_offset": 0, "size": 0},
    ],
)
def test_what_is_ignored(changes: dict) -> None:
    _, notes = read_qcow2_header(Bytes(image(**changes)))
    assert notes == ()


@pytest.mark.parametrize(
    ("name", "formats", "reference"),
    [
        (b"base.raw", (b"raw",), Qcow2Reference(b"base.raw", b"raw")),
        (b"base", (), Qcow2Reference(b"base", None)),
        (b"base\0junk", (b"",), Qcow2Reference(b"base", b"")),
    ],
)
def test_reference(name: bytes, formats: tuple[bytes, ...], reference: Qcow2Reference) -> None:
    file = Bytes(named(name, extensions=tuple(extension(FORMAT, stated) for stated in formats)))
    found, _ = read_qcow2_header(file)
    assert qcow2_reference(file, found) == reference


def test_name_of_1023_bytes_is_the_longest() -> None:
    file = Bytes(named(b"x" * 1023, cluster_bits=12))
    found, _ = read_qcow2_header(file)
    assert qcow2_reference(file, found) == Qcow2Reference(b"x" * 1023, None)


def test_no_more_than_the_first_cluster_is_read() -> None:
    file = Bytes(image(cluster_bits=21, size=1))
    read_qcow2_header(file)
    assert all(offset + length <= 2 << 20 for offset, length in file.reads)


# --- the checker's verdicts

NUMBERS = st.sampled_from([0, 1, 2, 3, 7, 64, 104, 200, 511, 512, 513, 1024, 4096, 2**31, 2**32 - 1])
FIELDS = st.dictionaries(
    st.sampled_from(
        [
            "backing_file_offset",
            "backing_file_size",
            "size",
            "crypt_method",
            "l1_size",
            "l1_table_offset",
            "refcount_table_offset",
            "nb_snapshots",
            "snapshots_offset",
            "incompatible_features",
            "compatible_features",
            "refcount_order",
        ]
    ),
    NUMBERS,
    max_size=3,
)
EXTENSIONS = st.lists(
    st.builds(
        extension,
        st.sampled_from([FORMAT, NAMES, 5]),
        st.sampled_from([b"", b"raw", bytes(48), b"\3" * 48, bytes(50), b"\0\2feature".ljust(48, b"\0")]),
    ),
    max_size=3,
).map(tuple)


def engine_verdict(data: bytes) -> tuple[str, set[str]]:
    """The rule that keeps the file from being read, empty for none, and those that are only told."""
    try:
        _, notes = read_qcow2_header(Bytes(data))
    except ImageError as error:
        return error.rule, set()
    return "", {note.rule for note in notes}


def checker_verdict(data: bytes) -> tuple[set[str], set[str]]:
    """The must-rules and the other rules that the checker finds broken."""
    file = SimpleNamespace(length=len(data), read=lambda offset, size: data[offset : offset + size])
    try:
        layer = read_qcow2(file)
    except MalformedImage as error:
        return {error.rule}, set()
    broken = {identifier for identifier, judge in judges_of(QCOW2) if list(judge(layer))}
    musts = {identifier for identifier in broken if rule(identifier).level[Profile.REVIEWED] is Level.MUST}
    return musts, broken - musts


@given(
    version=st.sampled_from([2, 3]),
    fields=FIELDS,
    extensions=EXTENSIONS,
    name=st.sampled_from([b"base", b"\0", b"x" * 100]),
    cut=st.one_of(st.none(), st.integers(0, 1100)),
)
def test_same_verdict_as_the_checker(version, fields, extensions, name, cut) -> None:
    data = image(version=version, extensions=extensions, parts={300: name}, **fields)[:cut]
    refused, told = engine_verdict(data)
    musts, others = checker_verdict(data)
    if musts:
        assert refused in musts
    else:
        assert (refused, told) == ("", others)


@given(data=st.binary(max_size=600), at=st.integers(0, 200))
def test_any_bytes_give_a_header_or_an_image_error(data: bytes, at: int) -> None:
    sound = image()
    engine_verdict(data)
    engine_verdict(sound[:at] + data + sound[at + len(data) :])
