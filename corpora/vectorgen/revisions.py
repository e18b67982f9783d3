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
    comment = "every bit of the v6 reading is set, so it is seen that v6 is taken"
    files = scene(legacy("v6", size=FOUR_MIB, bits=b"\xff" * 1024), FOUR_MIB)
    yield failing("HDR-005", "v6-all-set", comment, files, also=("BMP-004",), revision="v6")


def _by_errors() -> Iterator[Case]:
    size = FOUR_MIB - SECTOR  # one trailing bit in the last byte: v4's is at 3091, v6's at 3583
    flags = ("content-decides",)

    def files(*places: int) -> Files:
        file = legacy("v6", size=size)
        for at in places:
            file.write(at, b"\x80")
        return scene(file, size)

    yield failing(
        "HDR-005",
        "trailing-bit-in-v6",
        "only the v6 reading has a trailing bit set, so v4 is taken, whatever the profile",
        files(3583),
        also=("BMP-003",),
        revision="v4",
        flags=flags,
    )
    comment = "only the v4 reading has a trailing bit set, so v6 is taken"
    yield failing("HDR-005", "trailing-bit-in-v4", comment, files(3091), revision="v6", flags=flags)
    comment = "both readings have a trailing bit set, so v6 is taken"
    both = files(3091, 3583)
    yield failing(
        "HDR-005", "trailing-bit-in-both", comment, both, also=("BMP-002",), revision="v6", flags=flags
    )


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
