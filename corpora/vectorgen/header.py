"""Magic, version, a header cut short, reserved bytes (ACW-HDR-001 to 004)."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from vectorgen._cases import Case, failing, number, passing, scene
from vectorgen._files import File
from vectorgen._images import DISK, MAGIC, SECTORS, Name, legacy, qcow2, v10

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["cases"]

_V10_FIELDS = (8, 12, 16, 20, 24, 28, 36, 4096)
_LEGACY_FIELDS = (8, 12, 1036, 2060, 2068)


def cases() -> Iterator[Case]:
    """All of them."""
    yield from _magic()
    yield from _version()
    yield from _short()
    yield from _reserved()


def _magic() -> Iterator[Case]:
    yield passing("HDR-001", "v10", "the least v10 image over an image file of three clusters", scene(v10()))
    for revision in ("v4", "v6"):
        comment = f"the least {revision} image over an image file of three sectors"
        yield passing("HDR-001", revision, comment, scene(legacy(revision), SECTORS), revision=revision)
        wrong = scene(legacy(revision).write(7, b"\xfe"), SECTORS)
        yield failing(
            "HDR-001", f"{revision}-byte-7-wrong", "last byte of the magic", wrong, revision=revision
        )
    for at, value in enumerate(MAGIC):
        files = scene(v10().write(at, bytes([value ^ 0x20])))
        yield failing("HDR-001", f"byte-{at}-wrong", f"one bit of byte {at} is flipped", files)
    for length in (0, 1, 7):
        files = scene(v10().resize(length))
        yield failing(
            "HDR-001", f"length-{length}", f"only {length} bytes are left", files, flags=("truncation",)
        )
    as_text = v10().write(0, b"ADD_COW\xc3\xbf")
    yield failing(
        "HDR-001", "utf-8", "the last byte was taken for Latin-1 and written as UTF-8", scene(as_text)
    )
    yield failing("HDR-001", "zeros", "nothing but zeros", scene(File(8192)))
    yield failing("HDR-001", "qcow2", "a sound qcow2 image, which is no add-cow image", scene(qcow2()))


def _version() -> Iterator[Case]:
    yield passing("HDR-002", "v10-1", "1 in little endian", scene(v10()))
    yield passing("HDR-002", "v6-1", "1 in big endian", scene(legacy("v6"), SECTORS), revision="v6")
    for value in (0, 2, 0x100, 0x10000, 0x80000001, 0xFFFFFFFF):
        files = scene(v10().write(8, struct.pack("<I", value)))
        yield failing("HDR-002", f"v10-{number(value)}", f"0x{value:x} in little endian", files)
    for value in (0, 2, 0x81000000, 0xFFFFFFFF):
        files = scene(legacy("v6").write(8, struct.pack(">I", value)), SECTORS)
        yield failing("HDR-002", f"v6-{number(value)}", f"0x{value:x} in big endian", files, revision="v6")
    files = scene(legacy("v4").write(8, struct.pack(">I", 2)), SECTORS)
    yield failing("HDR-002", "v4-2", "0x2 in big endian", files, revision="v4")
    short = scene(v10().write(8, b"\2").resize(12))
    comment = "version 2, and nothing after it: what a header of that version needs is not known"
    yield failing("HDR-002", "v10-2-then-end", comment, short, flags=("truncation",))


def _short() -> Iterator[Case]:
    empty = v10(size=0)
    yield passing(
        "HDR-003",
        "v10-length-4096",
        "a disk of 0 bytes has no bitmap, so the header is the whole file",
        scene(empty, 0),
        flags=("boundary",),
    )
    for field in _V10_FIELDS:
        for length in (field - 1, field, field + 1):
            if 8 <= length < 4096:
                yield _cut("v10", length, f"of the field that ends at {field}")
    for revision in ("v4", "v6"):
        for field in _LEGACY_FIELDS:
            for length in (field - 1, field, field + 1):
                if 8 <= length < 2068:
                    yield _cut(revision, length, f"of the field that ends at {field}")
    exact = scene(legacy("v4", size=0), 0)
    comment = "a v4 header over a disk of 0 bytes, which has no bitmap"
    yield passing("HDR-003", "v4-length-2068", comment, exact, revision="v4", flags=("boundary",))
    little = legacy("v6").write(8, struct.pack("<I", 1))
    comment = "a v6 file whose version was written in little endian reads as a v10 header that is cut short"
    yield failing(
        "HDR-003", "v6-version-swapped", comment, scene(little, SECTORS), revision="v6", flags=("swapped",)
    )


def _cut(revision: str, length: int, where: str) -> Case:
    header = {
        "v4": legacy("v4", backing=b"base.raw"),
        "v6": legacy("v6"),
        "v10": v10(backing=b"base.raw"),
    }[revision]
    files = scene(header.resize(length), DISK if revision == "v10" else SECTORS, base=DISK)
    comment = f"cut to {length} bytes, at the end {where} or beside it"
    slug = f"{revision}-length-{length}"
    return failing("HDR-003", slug, comment, files, revision=revision, flags=("boundary", "truncation"))


def _reserved() -> Iterator[Case]:
    start = scene(v10(Name(b"disk.raw", 36)))
    yield passing("HDR-004", "v10-name-at-start", "the name fills the reserved field from its start", start)
    end = scene(v10(Name(b"disk.raw", 4088)))
    yield passing("HDR-004", "v10-name-at-end", "the name ends with the reserved field", end)
    gap = scene(v10(Name(b"disk.raw", 100), Name(b"base.raw", 2000)), base=4096)
    yield passing("HDR-004", "v10-names-apart", "zeros before, between and after the names", gap)
    for at, where in (
        (36, "first byte of the field"),
        (99, "last byte before the image file's name"),
        (108, "first byte after it"),
        (1999, "last byte before the backing file's name"),
        (2008, "first byte after it"),
        (4095, "last byte of the field"),
    ):
        stray = v10(Name(b"disk.raw", 100), Name(b"base.raw", 2000)).write(at, b"\x01")
        yield failing("HDR-004", f"v10-byte-{at}", f"a stray byte: {where}", scene(stray, base=4096))
    comment = "reserved bytes of v4 do not exist: a bit in byte 2068 is the first of the bitmap"
    v4 = scene(legacy("v4", bits=b"\x01"), SECTORS)
    yield passing("HDR-004", "v4-byte-2068", comment, v4, revision="v4")
    v6 = scene(legacy("v6", bits=b"\x01"), SECTORS)
    yield passing("HDR-004", "v6-byte-2560", "the first byte after the reserved field", v6, revision="v6")
