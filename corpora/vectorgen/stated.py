"""Images whose revision the user states: nothing is told from the file then (ACW-HDR-001 to 005, BMP)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vectorgen._cases import Case, Options, failing, passing, scene
from vectorgen._files import File
from vectorgen._images import FOUR_MIB, SECTOR, SECTORS, SECTORS_8000, legacy, v10

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["cases"]


def _stated(revision: str, *flags: str) -> Options:
    """The revision is what the user says it is."""
    return {"revision": revision, "take_as": revision, "flags": flags}


def cases() -> Iterator[Case]:
    """All of them."""
    yield from _wrong()
    yield from _short_header()
    yield from _reserved()
    yield from _silenced()
    yield from _short_bitmap()
    yield from _end_of_bitmap()
    yield from _other_layers()


def _wrong() -> Iterator[Case]:
    wrong = scene(legacy("v6").write(7, b"\xfe"), SECTORS)
    yield failing("HDR-001", "v6-stated-byte-7-wrong", "last byte of the magic", wrong, **_stated("v6"))
    for meant, taken in (("v4", "v10"), ("v6", "v10"), ("v10", "v4"), ("v10", "v6")):
        files = scene(v10()) if meant == "v10" else scene(legacy(meant), SECTORS)
        comment = f"a {meant} file, and the user says {taken}: the version has the other byte order"
        slug = f"{meant}-stated-{taken}"
        yield failing("HDR-002", slug, comment, files, revision=meant, take_as=taken)
    comment = "a v10 file, and the user says so"
    yield passing("HDR-002", "v10-stated-v10", comment, scene(v10()), take_as="v10")


def _short_header() -> Iterator[Case]:
    for field in (8, 12, 1036, 2060, 2068, 2560):
        for length in (field - 1, field, field + 1):
            if 8 <= length < 2560:
                files = scene(legacy("v6").resize(length), SECTORS)
                comment = f"cut to {length} bytes, at the end of the field that ends at {field} or beside it"
                yield failing(
                    "HDR-003",
                    f"v6-stated-length-{length}",
                    comment,
                    files,
                    **_stated("v6", "boundary", "truncation"),
                )
    files = scene(legacy("v6", size=0), 0)
    comment = "a v6 header over a disk of 0 bytes, which has no bitmap"
    yield passing("HDR-003", "v6-stated-length-2560", comment, files, **_stated("v6", "boundary"))


def _reserved() -> Iterator[Case]:
    for at in (2068, 2559):
        files = scene(legacy("v6").write(at, b"\x01"), SECTORS)
        comment = f"byte {at} is not zero; without a word of the user the file is v4"
        yield failing("HDR-004", f"v6-stated-byte-{at}", comment, files, **_stated("v6", "boundary"))
    files = scene(legacy("v6").write(2068, b"\xff" * 492), SECTORS)
    yield failing(
        "HDR-004", "v6-stated-every-byte", "every byte is 0xff: one finding", files, **_stated("v6")
    )
    files = scene(legacy("v4", size=FOUR_MIB, bits=b"\xff" * 492), FOUR_MIB)
    yield passing("HDR-004", "v4-stated-every-byte", "v4 has its bitmap there", files, **_stated("v4"))


def _silenced() -> Iterator[Case]:
    for taken in ("v4", "v6"):
        files = scene(legacy("v6", size=FOUR_MIB), FOUR_MIB)
        comment = f"the length fits both revisions, and the user says {taken}"
        yield passing("HDR-005", f"both-stated-{taken}", comment, files, **_stated(taken))
        files = scene(legacy("v6").resize(3000), SECTORS)
        comment = f"the length fits neither revision, and the user says {taken}"
        yield passing("HDR-005", f"neither-stated-{taken}", comment, files, **_stated(taken))


def _short_bitmap() -> Iterator[Case]:
    for length in (2560, 2561, 3067, 3068, 3069, 3071, 3072, 3073, 3559):
        files = scene(legacy("v6", size=SECTORS_8000).resize(length), SECTORS_8000)
        comment = f"{length} of the 3,560 bytes are left, some of which would do for v4"
        yield failing(
            "BMP-001", f"v6-stated-length-{length}", comment, files, **_stated("v6", "boundary", "truncation")
        )
    for length in (2068, 2559, 2560, 3067):
        files = scene(legacy("v4", size=SECTORS_8000).resize(length), SECTORS_8000)
        comment = f"{length} of the 3,068 bytes are left"
        yield failing(
            "BMP-001", f"v4-stated-length-{length}", comment, files, **_stated("v4", "boundary", "truncation")
        )
    for taken, length in (("v4", 3068), ("v6", 3560)):
        files = scene(legacy(taken, size=SECTORS_8000), SECTORS_8000)
        comment = f"all of the {length} bytes"
        yield passing(
            "BMP-001", f"{taken}-stated-length-{length}", comment, files, **_stated(taken, "boundary")
        )
    comment = "a whole v4 file, and the user says v6"
    files = scene(legacy("v4", size=SECTORS_8000), SECTORS_8000)
    yield failing("BMP-001", "v4-stated-v6", comment, files, revision="v4", take_as="v6")


def _end_of_bitmap() -> Iterator[Case]:
    size = FOUR_MIB - SECTOR  # one trailing bit in the last byte: v4's is at 3091, v6's at 3583
    for taken, at in (("v4", 3091), ("v6", 3583)):
        files = scene(legacy("v6", size=size).write(at, b"\x80"), size)
        comment = f"a trailing bit of {taken} is set, which would be evidence for the other revision"
        yield failing("BMP-002", f"{taken}-stated-trailing-bit", comment, files, **_stated(taken))
    for taken, end in (("v4", 3068), ("v6", 3560)):
        files = scene(legacy(taken, size=SECTORS_8000).resize(4000), SECTORS_8000)
        comment = "zeros up to byte 4000"
        yield passing("BMP-003", f"{taken}-stated-zeros", comment, files, **_stated(taken, "tail"))
        files = scene(legacy(taken, size=SECTORS_8000).write(3999, b"\x01"), SECTORS_8000)
        comment = f"a byte is appended, {3999 - end} bytes after the bitmap"
        yield failing("BMP-003", f"{taken}-stated-far", comment, files, **_stated(taken, "tail"))
    files = scene(legacy("v6", size=SECTORS_8000, bits=b"\x01" * 1000), SECTORS_8000)
    comment = "a whole v6 file, and the user says v4: the end of its bitmap is left over"
    yield failing("BMP-003", "v6-stated-v4", comment, files, revision="v6", take_as="v4", flags=("tail",))


def _other_layers() -> Iterator[Case]:
    files = scene(legacy("v6", backing=b"2.add-cow"), SECTORS)
    files |= {b"2.add-cow": v10(b"disk2.raw", size=SECTORS), b"disk2.raw": File(SECTORS)}
    comment = "v6 is stated for the image alone: its backing file is told to be v10"
    yield passing(
        "HDR-002", "v6-stated-over-v10", comment, files, also=("CHN-003",), **_stated("v6", "probe")
    )
    files = scene(legacy("v6", backing=b"2.add-cow", size=FOUR_MIB), FOUR_MIB)
    files |= {b"2.add-cow": legacy("v6", b"disk2.raw", size=FOUR_MIB), b"disk2.raw": File(FOUR_MIB)}
    comment = "v6 is stated for the image alone: of its backing file it is a guess"
    yield failing("HDR-005", "v6-stated-over-v6", comment, files, also=("CHN-003",), **_stated("v6", "probe"))
