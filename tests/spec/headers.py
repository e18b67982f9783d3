"""Bytes that parse, made from byte literals and `struct` alone, so that the grammar is not its own judge."""

from __future__ import annotations

import struct

from hypothesis import strategies as st

from addcow_spec.model import Revision

__all__ = [
    "ADD_COW_START",
    "EXTENSION_TYPES",
    "add_cow_headers",
    "extension",
    "feature_name_tables",
    "mutated",
    "qcow2",
    "qcow2_headers",
]

ADD_COW_START = {
    Revision.V4: b"ADD_COW\xff\0\0\0\x01",
    Revision.V6: b"ADD_COW\xff\0\0\0\x01",
    Revision.V10: b"ADD_COW\xff\x01\0\0\0",
}
ADD_COW_LENGTH = {Revision.V4: 2068, Revision.V6: 2560, Revision.V10: 4096}

EXTENSION_TYPES = {"backing format": 0xE2792ACA, "feature names": 0x6803F857}

_U32 = st.one_of(
    st.sampled_from([0, 1, 35, 36, 4059, 4060, 4094, 4095, 4096, 2**31, 2**32 - 36, 2**32 - 1]),
    st.integers(36, 4096),
    st.integers(0, 2**32 - 1),
)
_U64 = st.one_of(st.sampled_from([0, 1, 2, 3, 512, 2**63, 2**64 - 512, 2**64 - 1]), st.integers(0, 2**64 - 1))
_U8 = st.integers(0, 255)
_NAMES = st.one_of(
    st.just(b""),
    st.binary(max_size=40),
    st.sampled_from([b"disk.raw", b"../\x1b[2J", b"a\0b", b"x" * 1023, b"x" * 1024]),
)


@st.composite
def mutated(draw: st.DrawFn, data: bytes, *, start: int = 0) -> bytes:
    """``data`` with a few bytes from ``start`` on replaced."""
    changed = bytearray(data)
    for _ in range(draw(st.integers(0, 4))):
        patch = draw(st.binary(min_size=1, max_size=12))
        at = draw(st.integers(start, len(data)))
        changed[at : at + len(patch)] = patch[: len(data) - at]
    return bytes(changed)


@st.composite
def add_cow_headers(draw: st.DrawFn, revision: Revision) -> bytes:
    """A header of ``revision`` that parses; its numbers and names may be anything."""
    start = ADD_COW_START[revision]
    if revision is Revision.V10:
        numbers = draw(st.tuples(_U32, _U32, _U32, _U32, _U64))
        filled = (start + struct.pack("<IIIIQ", *numbers) + draw(_NAMES)).ljust(4096, b"\0")
    else:
        names = [draw(_NAMES).ljust(1024, b"\0") for _ in range(2)]
        filled = (start + b"".join(names) + struct.pack(">Q", draw(_U64))).ljust(
            ADD_COW_LENGTH[revision], b"\0"
        )
    return draw(mutated(filled, start=len(start)))


def extension(kind: int, data: bytes, padding: bytes | None = None) -> bytes:
    """A qcow2 header extension; padding is zero by default."""
    padding = bytes(-len(data) % 8) if padding is None else padding
    return struct.pack(">II", kind, len(data)) + data + padding


def qcow2(
    version: int,
    *,
    name_offset: int = 0,
    name_size: int = 0,
    cluster_bits: int = 16,
    rest: tuple[int, ...] = (1 << 30, 0, 1, 1 << 18, 1 << 16, 1, 0, 0),
    version_3: tuple[int, int, int, int] = (0, 0, 0, 4),
    additional: bytes = b"",
) -> bytes:
    """The fixed fields of a qcow2 header; ``rest`` are those from size to snapshots_offset."""
    fields = struct.pack(">4sIQII", b"QFI\xfb", version, name_offset, name_size, cluster_bits)
    fields += struct.pack(">QIIQQIIQ", *rest)
    if version == 3:
        fields += struct.pack(">QQQII", *version_3, 104 + len(additional)) + additional
    return fields


@st.composite
def feature_name_tables(draw: st.DrawFn) -> bytes:
    """A feature name table, its last entry perhaps cut short."""
    name = st.binary(max_size=46).map(lambda name: name.ljust(46, b"\0"))
    entries = st.builds(lambda kind, bit, name: bytes([kind, bit]) + name, _U8, _U8, name)
    return b"".join(draw(st.lists(entries, max_size=3))) + draw(st.binary(max_size=47))


@st.composite
def _extensions(draw: st.DrawFn) -> bytes:
    kind = draw(st.one_of(st.sampled_from(list(EXTENSION_TYPES.values())), st.integers(1, 2**32 - 1)))
    tabular = kind == EXTENSION_TYPES["feature names"]
    data = draw(feature_name_tables() if tabular else st.binary(max_size=20))
    size = -len(data) % 8
    return extension(
        kind, data, draw(st.one_of(st.just(bytes(size)), st.binary(min_size=size, max_size=size)))
    )


@st.composite
def qcow2_headers(draw: st.DrawFn) -> bytes:
    """A file that starts with a qcow2 header that parses: extensions, end marker or none, name, more bytes.

    Where there is no end marker the name, or the end of the data, ends the extensions.
    """
    additional = draw(st.sampled_from([b"", b"\0" * 8, b"zlib\0\0\0\0", b"odd"]))
    version = draw(st.sampled_from([2, 3]))
    base = 72 if version == 2 else 104 + len(additional)
    area = b"".join(draw(st.lists(_extensions(), max_size=3)))
    marker = draw(st.sampled_from([b"", b"\0" * 8, b"\0\0\0\0junk"]))
    area += marker
    named = draw(st.booleans())
    name = draw(st.binary(min_size=1, max_size=30)) if named else b""
    fixed = qcow2(
        version,
        name_offset=base + len(area) if named else 0,
        name_size=len(name),
        cluster_bits=draw(st.integers(9, 21)),
        rest=draw(st.tuples(_U64, _U32, _U32, _U64, _U64, _U32, _U32, _U64)),
        version_3=draw(st.tuples(_U64, _U64, _U64, _U32)),
        additional=additional,
    )
    more = draw(st.binary(max_size=40)) if named or marker else draw(st.binary(max_size=7))
    return fixed + area + name + more
