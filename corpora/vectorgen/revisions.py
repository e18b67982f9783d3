"""Which revision a big endian file has, and its size field (ACW-HDR-005, ACW-SIZ-006 and 007)."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from vectorgen._cases import Case, Files, Options, failing, passing, scene
from vectorgen._images import FOUR_MIB, SECTOR, SECTORS, SECTORS_8000, legacy, v10

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["cases"]


def cases() -> Iterator[Case]:
    """All of them."""
    yield from _by_length()
    yield from _cut_or_longer()
    yield from _by_content()
    yield from _by_padding()
    yield from _by_errors()
    yield from _size_field()


def _sized(bitmap: int) -> int:
    """The size of a disk whose bitmap has that many bytes."""
    return bitmap * 8 * SECTOR


def _by_length() -> Iterator[Case]:
    for revision, bitmap, padded in (
        ("v4", 1, False),
        ("v4", 1, True),
        ("v6", 1, False),
        ("v6", 1, True),
        ("v4", 492, False),
        ("v4", 513, True),
        ("v6", 513, False),
        ("v6", 513, True),
    ):
        size = _sized(bitmap)
        how = "padded to whole sectors" if padded else "exact"
        slug = f"{revision}-bitmap-{bitmap}-{'padded' if padded else 'exact'}"
        comment = f"{bitmap} bytes of bitmap, the length {how}: only {revision} has that length"
        files = scene(legacy(revision, size=size, padded=padded), size)
        yield passing("HDR-005", slug, comment, files, revision=revision)
    for revision, bitmap in (("v4", 493), ("v6", 493), ("v6", 500), ("v6", 511), ("v6", 512), ("v4", 1024)):
        size = _sized(bitmap)
        comment = f"{bitmap} bytes of bitmap: v4 and v6 both make a file of that length when it is padded"
        files = scene(legacy(revision, size=size, padded=True), size)
        slug = f"{revision}-bitmap-{bitmap}-padded"
        yield failing("HDR-005", slug, comment, files, revision=revision)
    comment = "a v6 header without a bitmap is also a v4 header, padded"
    yield failing("HDR-005", "v6-size-0", comment, scene(legacy("v6", size=0), 0), revision="v6")


def _cut_or_longer() -> Iterator[Case]:
    for length in (2069, 2559, 2560):
        comment = f"a v6 file cut to {length} bytes cannot be told from a whole v4 file"
        files = scene(legacy("v6").resize(length), SECTORS)
        slug = f"v6-cut-to-{length}"
        yield passing("HDR-005", slug, comment, files, revision="v6", flags=("truncation",))
    more: Options = {"revision": "v6", "flags": ("boundary", "truncation")}
    for length, how in ((3068, "exact"), (3072, "padded")):
        files = scene(legacy("v6", size=SECTORS_8000).resize(length), SECTORS_8000)
        comment = f"a v6 file cut to the {how} length of the v4 file over the same disk: v4 is taken"
        yield passing("HDR-005", f"v6-cut-to-{length}", comment, files, **more)
    for length in (3069, 3071, 3073, 3559):
        files = scene(legacy("v6", size=SECTORS_8000).resize(length), SECTORS_8000)
        comment = f"a v6 file cut to {length} bytes: that fits neither, and only as v4 the bitmap is whole"
        yield failing("HDR-005", f"v6-cut-to-{length}", comment, files, **more)
    comment = "the length fits neither revision, and both readings are without error: v6 is taken"
    files = scene(legacy("v6").resize(3000), SECTORS)
    yield failing("HDR-005", "fits-neither", comment, files, revision="v6")
    more = {"revision": "v4", "flags": ("boundary", "tail")}
    for length, build, taken in ((3559, failing, "v4"), (3560, passing, "v6"), (3561, failing, "v6")):
        comment = f"zeros are appended to a v4 file, up to {length} bytes: {taken} is taken"
        files = scene(legacy("v4", size=SECTORS_8000).resize(length), SECTORS_8000)
        yield build("HDR-005", f"v4-up-to-{length}", comment, files, **more)


def _by_content() -> Iterator[Case]:
    for at in (2068, 2559):
        comment = f"the length fits both revisions, and byte {at} is not zero, as it is in v6: v4"
        files = scene(legacy("v4", size=FOUR_MIB, padded=True).write(at, b"\x10"), FOUR_MIB)
        flags = ("content-decides",)
        yield passing("HDR-005", f"v4-content-at-{at}", comment, files, revision="v4", flags=flags)
    more: Options = {"revision": "v4", "flags": ("boundary", "content-decides")}
    for length, build, also in (
        (3067, failing, ("BMP-001",)),
        (3068, passing, ()),
        (3069, failing, ()),
        (3072, passing, ()),
        (3073, failing, ()),
    ):
        comment = f"content of v4, {length} bytes: as v4 3,068 or 3,072 would fit"
        file = legacy("v4", size=SECTORS_8000, bits=b"\x10").resize(length)
        slug = f"v4-content-length-{length}"
        yield build("HDR-005", slug, comment, scene(file, SECTORS_8000), also=also, **more)
    more = {"revision": "v6", "flags": ("content-decides",)}
    for at in (2068, 2559):
        file = legacy("v6", size=SECTORS_8000).write(at, b"!")
        comment = f"the length fits v6 alone, but byte {at} is not zero: v4 is taken, and said to be a guess"
        yield failing("HDR-005", f"v6-stray-at-{at}", comment, scene(file, SECTORS_8000), **more)
    file = legacy("v6", size=SECTORS_8000, bits=b"\xff" * 1000).write(2300, b"!")
    comment = "a stray byte in the reserved field of a v6 file that is full: as v4 it has a tail"
    yield failing("HDR-005", "v6-stray-full", comment, scene(file, SECTORS_8000), also=("BMP-003",), **more)
    file = legacy("v6", size=FOUR_MIB, bits=b"\xff" * 1024).write(2300, b"!")
    comment = "the same where only the bits past the v4 bitmap tell that the length does not fit v4"
    yield failing("HDR-005", "v6-stray-full-4-mib", comment, scene(file, FOUR_MIB), also=("BMP-003",), **more)


def _by_padding() -> Iterator[Case]:
    """A padded length fits only where the padding is zero."""
    flags = ("boundary", "content-decides")
    comment = "every bit of v6 is set, where v4 would have padding: v6, and no guess"
    full = scene(legacy("v6", size=FOUR_MIB, bits=b"\xff" * 1024), FOUR_MIB)
    yield passing(
        "HDR-005", "v6-all-set", comment, full, also=("BMP-004",), revision="v6", flags=("content-decides",)
    )
    # 4 MiB: v4 would end at 3092. 500 bytes of bitmap: v4 ends at 2568, v6 at 3060, both padded at 3072.
    for size, at, build, also, what in (
        (FOUR_MIB, 3091, failing, (), "the last of a v4 bitmap"),
        (FOUR_MIB, 3092, passing, (), "the first of v4's padding"),
        (FOUR_MIB, 3583, passing, (), "the last of v4's padding"),
        (_sized(500), 2567, failing, (), "the last of a v4 bitmap"),
        (_sized(500), 2568, passing, (), "the first of v4's padding"),
        (_sized(500), 3059, passing, (), "the last of a v6 bitmap, and of v4's padding"),
        (_sized(500), 3060, failing, ("BMP-003",), "the first of v6's padding"),
        (_sized(500), 3071, failing, ("BMP-003",), "the last of either's padding"),
    ):
        bitmap = size // 8 // SECTOR
        comment = f"{bitmap} bytes of bitmap, the length is that of both: byte {at} is set, {what}"
        files = scene(legacy("v6", size=size, padded=True).write(at, b"\x01"), size)
        slug = f"v6-bitmap-{bitmap}-byte-{at}"
        yield build("HDR-005", slug, comment, files, also=also, revision="v6", flags=flags)
    # v6 has 3,585 bytes for 1,025 of bitmap; one less is what v4 has when it is padded.
    more: Options = {"revision": "v6", "flags": ("boundary", "content-decides", "truncation")}
    for slug, size, bits, build, also, what in (
        ("zeros", _sized(1025), b"", passing, (), "nothing is set in it: a padded v4 file"),
        ("full", _sized(1025), b"\xff" * 1025, failing, ("BMP-003",), "only as v4 it is whole"),
        ("trailing", 8193 * SECTOR, b"\xff" * 1025, failing, ("BMP-001",), "as v4 it has trailing bits"),
    ):
        file = legacy("v6", size=size, bits=bits).resize(3584)
        comment = f"a v6 file that lost its last byte, which leaves the padded length of v4; {what}"
        files = scene(file, size)
        yield build("HDR-005", f"v6-cut-to-v4-{slug}", comment, files, also=also, **more)


def _by_errors() -> Iterator[Case]:
    size = FOUR_MIB - SECTOR  # one trailing bit in the last byte: v4's is at 3091, v6's at 3583
    flags = ("content-decides",)

    def files(length: int, *places: int) -> Files:
        file = legacy("v6", size=size).resize(length)
        for at in places:
            file.write(at, b"\x80")
        return scene(file, size)

    for where, places, also, what in (
        ("v6", (3583,), ("BMP-003",), "only the v6 reading has a trailing bit set, so v4 is taken"),
        ("v4", (3091,), (), "only the v4 reading has a trailing bit set, so v6 is taken"),
        ("both", (3091, 3583), ("BMP-002",), "both readings have a trailing bit set, so v6 is taken"),
    ):
        comment = f"the length fits neither; {what}, whatever the profile"
        found = files(3600, *places)
        revision = "v4" if where == "v6" else "v6"
        slug = f"trailing-bit-in-{where}"
        yield failing("HDR-005", slug, comment, found, also=also, revision=revision, flags=flags)
    comment = "the length fits both, and only the v4 reading has a trailing bit set, so v6 is taken"
    found = files(3584, 3091)
    yield failing("HDR-005", "both-trailing-bit-in-v4", comment, found, revision="v6", flags=flags)
    for where, places in (("v6", (3583,)), ("both", (3091, 3583))):
        comment = "a trailing bit of v6 is set, which leaves no padding to v4: v6, and no guess"
        found = files(3584, *places)
        slug = f"v6-trailing-bit-in-{where}"
        yield passing("HDR-005", slug, comment, found, also=("BMP-002",), revision="v6", flags=flags)


def _size_field() -> Iterator[Case]:
    for revision in ("v4", "v6"):
        for size in (SECTOR, SECTORS):
            comment = f"{size} in the field, and an image file of that length"
            files = scene(legacy(revision, size=size), size)
            yield passing("SIZ-006", f"{revision}-{size}", comment, files, revision=revision)
        for length in (0, SECTORS - SECTOR, SECTORS - 1, SECTORS + 1, SECTORS + SECTOR):
            comment = f"{SECTORS} in the field, but the image file has {length} bytes"
            files = scene(legacy(revision), length)
            yield failing(
                "SIZ-006",
                f"{revision}-image-{length}",
                comment,
                files,
                revision=revision,
                flags=("boundary",),
            )
        yield passing(
            "SIZ-007",
            f"{revision}-512",
            "one sector",
            scene(legacy(revision, size=512), 512),
            revision=revision,
        )
        for size in (1, 511, 513):
            comment = f"{size} bytes, in the field and of the image file, are no whole sectors"
            files = scene(legacy(revision, size=size), size)
            yield failing(
                "SIZ-007", f"{revision}-{size}", comment, files, revision=revision, flags=("boundary",)
            )
    yield passing("SIZ-007", "v4-0", "no sector at all", scene(legacy("v4", size=0), 0), revision="v4")
    swapped = v10().write(8, struct.pack(">I", 1))
    yield failing(
        "NAM-006",
        "v10-version-swapped",
        "a v10 file whose version was written in big endian reads as v6: its image file has no name",
        scene(swapped),
        also=("NAM-009", "HDR-005"),
        flags=("swapped",),
    )
