"""The bitmap: whole, clean at its end, nothing after it, full (ACW-BMP-001 to 004)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vectorgen._cases import Case, Options, failing, number, passing, scene
from vectorgen._images import CLUSTER, DISK, SECTOR, SECTORS, SECTORS_8000, bitmap_size, legacy, v10

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["cases"]

_SIZES = (0, 1, 511, 512, CLUSTER - 1, CLUSTER, CLUSTER + 1, 8 * CLUSTER - 1, 8 * CLUSTER, 8 * CLUSTER + 1)
_TIB = 1 << 40
_GUESS = ("HDR-005",)  # found beside the rule where the length does not fit the revision taken


def cases() -> Iterator[Case]:
    """All of them."""
    yield from _whole()
    yield from _trailing()
    yield from _after()
    yield from _full()


def _whole() -> Iterator[Case]:
    for size in (*_SIZES, 8 * CLUSTER + SECTOR, 16 * CLUSTER, 16 * CLUSTER + SECTOR):
        length = 4096 + bitmap_size(size)
        sectors: tuple[str, ...] = ("SIZ-004",) if size % SECTOR else ()
        comment = f"a disk of {size} bytes, and the {length} bytes that it needs"
        files = scene(v10(size=size), size)
        yield passing("BMP-001", f"v10-{size}", comment, files, also=sectors, flags=("boundary",))
        if length > 4096:
            comment = f"a disk of {size} bytes, and one byte less than the {length} that it needs"
            short = scene(v10(size=size).resize(length - 1), size)
            flags = ("boundary", "truncation")
            yield failing("BMP-001", f"v10-{size}-short", comment, short, also=sectors, flags=flags)
    size = 8192 * CLUSTER  # 1,024 bytes of bitmap
    for missing in (1024, 1023, 512):
        comment = f"{missing} of the bitmap's 1,024 bytes are missing"
        short = scene(v10(size=size).resize(4096 + 1024 - missing), size)
        yield failing("BMP-001", f"v10-{missing}-missing", comment, short, flags=("truncation",))
    tebibyte = scene(v10(size=_TIB, bits=b"\x01"), _TIB)
    yield passing(
        "BMP-001", "v10-1-tib", "2 MiB of bitmap, all but one byte a hole", tebibyte, flags=("sparse",)
    )
    yield from _whole_legacy()


def _whole_legacy() -> Iterator[Case]:
    for size in (8 * SECTOR, 9 * SECTOR):
        length = 2068 + bitmap_size(size, "v4")
        comment = f"a disk of {size} bytes, and the {length} bytes that it needs"
        yield passing("BMP-001", f"v4-{size}", comment, scene(legacy("v4", size=size), size), revision="v4")
        comment = f"a disk of {size} bytes, and one byte less than the {length} that it needs"
        short = scene(legacy("v4", size=size).resize(length - 1), size)
        flags = ("boundary", "truncation")
        yield failing("BMP-001", f"v4-{size}-short", comment, short, revision="v4", flags=flags)
    for size in (8 * SECTOR, 9 * SECTOR, SECTORS_8000):
        comment = f"a disk of {size} bytes, and the {2560 + bitmap_size(size, 'v6')} bytes that it needs"
        yield passing("BMP-001", f"v6-{size}", comment, scene(legacy("v6", size=size), size), revision="v6")
    for length in (2560, 2561, 3067):
        comment = f"cut to {length} bytes: too short for the bitmap of a v4 file as well"
        short = scene(legacy("v6", size=SECTORS_8000).resize(length), SECTORS_8000)
        more: Options = {"revision": "v6", "flags": ("truncation",)}
        yield failing("BMP-001", f"v6-cut-to-{length}", comment, short, also=_GUESS, **more)
    size = SECTORS_8000 - SECTOR  # one trailing bit, in byte 3067 of a v4 file
    yield failing(
        "BMP-001",
        "v6-one-byte-short",
        "one byte short; as v4 it has a trailing bit set, so v6 is taken, whatever the profile",
        scene(legacy("v6", size=size, bits=b"\xff" * 999).resize(2560 + 999), size),
        also=_GUESS,
        revision="v6",
        flags=("boundary", "content-decides", "truncation"),
    )
    for revision, size, guess in (("v6", (1 << 64) - SECTOR, _GUESS), ("v4", 1 << 63, ())):
        comment = f"the size field says {size}: no file can hold such a bitmap"
        files = scene(legacy(revision).write(2060, size.to_bytes(8, "big")), SECTORS)
        also = ("SIZ-006", *guess)
        slug = f"{revision}-size-{number(size)}"
        yield failing("BMP-001", slug, comment, files, also=also, revision=revision)


def _trailing() -> Iterator[Case]:
    for units in range(1, 8):
        size = units * CLUSTER
        last = bytes([1 << (units - 1)])
        more: tuple[str, ...] = ("BMP-004",) if units == 1 else ()
        files = scene(v10(size=size, bits=last), size)
        comment = f"{units} clusters: the last bit that counts is set"
        yield passing("BMP-002", f"v10-{units}-last", comment, files, also=more, flags=("boundary",))
        first = bytes([1 << units])
        files = scene(v10(size=size, bits=first), size)
        comment = f"{units} clusters: the first bit that does not count is set"
        yield failing("BMP-002", f"v10-{units}-first", comment, files, flags=("boundary",))
    files = scene(v10(bits=b"\xf8"))
    yield failing("BMP-002", "v10-all", "all five bits that do not count are set", files)
    files = scene(v10(bits=b"\x80"))
    yield failing("BMP-002", "v10-highest", "only the highest bit is set", files)
    size = 8 * CLUSTER
    files = scene(v10(size=size, bits=b"\x80"), size)
    yield passing(
        "BMP-002", "v10-8-last", "8 clusters: every bit of the byte counts", files, flags=("boundary",)
    )
    size = 9 * CLUSTER
    files = scene(v10(size=size, bits=b"\xff\x02"), size)
    yield failing("BMP-002", "v10-9-first", "9 clusters: the second bit of the second byte", files)
    files = scene(v10(bits=b"\xff"))
    comment = "every bit of the byte is set: the disk is full, and the rest is too much"
    yield failing("BMP-002", "v10-full", comment, files, also=("BMP-004",))
    for revision in ("v4", "v6"):
        for units in (3, 7):
            size = units * SECTOR
            for bit, build, name in ((units - 1, passing, "last"), (units, failing, "first")):
                files = scene(legacy(revision, size=size, bits=bytes([1 << bit])), size)
                comment = f"{units} sectors: bit {bit} is set"
                slug = f"{revision}-{units}-{name}"
                yield build("BMP-002", slug, comment, files, revision=revision, flags=("boundary",))


def _after() -> Iterator[Case]:
    yield passing("BMP-003", "v10-nothing", "the file ends with the bitmap", scene(v10()))
    padded = scene(v10().resize(8192))
    yield passing("BMP-003", "v10-zeros", "zeros up to the next 4,096 bytes", padded, flags=("tail",))
    direct = scene(v10().write(4097, b"\x01"))
    yield failing(
        "BMP-003", "v10-next-byte", "the byte after the bitmap is not zero", direct, flags=("tail",)
    )
    many = scene(v10().write(4097, b"\x01").write(5000, b"\x02").write(70000, b"\x03"))
    comment = "three stretches of bytes are not zero: one finding"
    yield failing("BMP-003", "v10-three-places", comment, many, flags=("tail",))
    far = scene(v10().write(1 << 30, b"\x01"))
    comment = "a byte 1 GiB behind the bitmap, with a hole between"
    yield failing("BMP-003", "v10-far", comment, far, flags=("sparse", "tail"))
    hole = scene(v10().resize(1 << 30))
    yield passing("BMP-003", "v10-hole", "a hole of nearly 1 GiB", hole, flags=("sparse", "tail"))
    empty = scene(v10(size=0).write(4096, b"\x01"), 0)
    comment = "a disk of 0 bytes has no bitmap, and the header is followed by a byte"
    yield failing("BMP-003", "v10-no-bitmap", comment, empty, flags=("tail",))
    yield from _after_legacy()


def _after_legacy() -> Iterator[Case]:
    # With a tail a v4 file of that disk is still too short for v6; a v6 file fits neither unless padded with
    # zeros. Padding that is not zero makes a file as long as v6's header fit neither.
    for revision, start, guess in (("v4", 2069, ()), ("v6", 2561, _GUESS)):
        more: Options = {"revision": revision, "flags": ("tail",)}
        padded = start + -start % SECTOR
        for slug, length, also in (("zeros", start + 100, guess), ("padded", padded, ())):
            files = scene(legacy(revision).resize(length), SECTORS)
            comment = f"zeros up to byte {length}"
            yield passing("BMP-003", f"{revision}-{slug}", comment, files, also=also, **more)
        files = scene(legacy(revision).write(start, b"\x01"), SECTORS)
        comment = "the byte after the bitmap is not zero"
        yield failing("BMP-003", f"{revision}-next-byte", comment, files, also=guess, **more)
        for at in (start, padded - 1):
            files = scene(legacy(revision, padded=True).write(at, b"\x01"), SECTORS)
            comment = f"the file is padded to whole sectors, and byte {at} of it is not zero"
            yield failing("BMP-003", f"{revision}-padded-byte-{at}", comment, files, also=_GUESS, **more)
    files = scene(legacy("v4").write(2558, b"\x01"), SECTORS)
    comment = "one byte too short for the header of v6, and the last byte is not zero"
    more = {"revision": "v4", "flags": ("boundary", "tail")}
    yield failing("BMP-003", "v4-up-to-2559", comment, files, **more)


def _full() -> Iterator[Case]:
    full = scene(v10(bits=b"\x07"))
    yield failing("BMP-004", "v10-3", "all three bits are set", full)
    size = 8 * CLUSTER
    yield failing("BMP-004", "v10-8", "all eight bits are set", scene(v10(size=size, bits=b"\xff"), size))
    size = 1024 * CLUSTER
    full = scene(v10(size=size, bits=b"\xff" * 128), size)
    yield failing("BMP-004", "v10-1024", "128 bytes of set bits", full)
    one = scene(v10(size=size, bits=b"\xff" * 64 + b"\xfe" + b"\xff" * 63), size)
    yield passing("BMP-004", "v10-one-clear", "one bit of 1,024 is clear", one, flags=("boundary",))
    for bits in (3, 5, 6):
        thin = scene(v10(bits=bytes([bits])))
        yield passing("BMP-004", f"v10-3-but-{7 - bits}", "one of the three bits is clear", thin)
    yield passing("BMP-004", "v10-0", "no bit at all", scene(v10(size=0), 0), flags=("boundary",))
    full = scene(v10(backing=b"base.raw", bits=b"\x07"), base=DISK)
    yield failing(
        "BMP-004", "v10-backing", "all bits are set, and a backing file is named all the same", full
    )
    for revision in ("v4", "v6"):
        full = scene(legacy(revision, bits=b"\x07"), SECTORS)
        yield failing("BMP-004", f"{revision}-3", "all three bits are set", full, revision=revision)
        thin = scene(legacy(revision, bits=b"\x03"), SECTORS)
        yield passing("BMP-004", f"{revision}-2-of-3", "one of three bits is clear", thin, revision=revision)
