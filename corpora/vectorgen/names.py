"""Where names lie and what they hold (ACW-NAM-001 to 009)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vectorgen._cases import ADDCOW, Case, Files, failing, number, passing, scene
from vectorgen._files import File
from vectorgen._images import DISK, SECTORS, Name, legacy, v10

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["cases", "long_name"]

_BOUNDARY = ("boundary",)
_WRAP = ("boundary", "wrap")
_LONG = ("boundary", "long-name")
_RAW = b"disk.raw"


def cases() -> Iterator[Case]:
    """All of them."""
    yield from _range()
    yield from _offset()
    yield from _size()
    yield from _presence()
    yield from _content()
    yield from _overlap()
    yield from _legacy_names()


def long_name(length: int, file: bytes = _RAW) -> bytes:
    """A name of ``length`` bytes that leads to ``file`` through the same directory again and again."""
    spare = length - len(file)
    return b"./" * (spare // 2) + b"/" * (spare % 2) + file


def _range() -> Iterator[Case]:
    for offset, size, where in ((36, 8, "start"), (4088, 8, "end"), (2000, 8, "middle")):
        files = scene(v10(Name(_RAW, offset)))
        comment = f"a name of {size} bytes at {offset}"
        yield passing("NAM-001", f"v10-image-at-{where}", comment, files, flags=_BOUNDARY)
    files = scene(v10(_RAW, Name(b"base.raw", 4088)), base=DISK)
    yield passing(
        "NAM-001", "v10-backing-at-end", "the backing file's name ends at 4096", files, flags=_BOUNDARY
    )
    for offset, size in (
        (1, 8),
        (35, 1),
        (35, 8),
        (35, 4061),
        (36, 4061),
        (37, 4060),
        (4089, 8),
        (4094, 3),
        (4095, 2),
        (4096, 1),
        (4097, 1),
    ):
        yield from _out_of_range(offset, size, _BOUNDARY)
    for offset, size in (
        (0xFFFFFFFF, 1),
        (0xFFFFFFFF, 37),
        (0xFFFFFFF0, 0x40),
        (36, 0xFFFFFFFF),
        (0x80000000, 0x80000030),
        (0xFFFFFFFF, 0xFFFFFFFF),
    ):
        yield from _out_of_range(offset, size, _WRAP)


def _out_of_range(offset: int, size: int, flags: tuple[str, ...]) -> Iterator[Case]:
    slug = f"{number(offset)}-{number(size)}"
    comment = f"a name of {size} bytes at {offset}"
    files = scene(v10(Name(offset=offset, size=size)))
    yield failing("NAM-001", f"v10-image-{slug}", comment, files, flags=flags)
    files = scene(v10(_RAW, Name(offset=offset, size=size)))
    yield failing("NAM-001", f"v10-backing-{slug}", comment, files, flags=flags)


def _offset() -> Iterator[Case]:
    for offset, name in ((36, _RAW), (4094, b"d"), (4094, b"dd")):
        files: Files = {ADDCOW: v10(Name(name, offset)), name: File(DISK)}
        comment = f"a name of {len(name)} bytes at {offset}"
        yield passing("NAM-002", f"v10-image-{offset}-{len(name)}", comment, files, flags=_BOUNDARY)
    files = {ADDCOW: v10(Name(b"d", 4095)), b"d": File(DISK)}
    comment = "a name of 1 byte at 4095: it lies in the reserved field, but the review ends offsets at 4094"
    yield failing("NAM-002", "v10-image-4095", comment, files, flags=_BOUNDARY)
    files = {ADDCOW: v10(_RAW, Name(b"b", 4095)), _RAW: File(DISK), b"b": File(DISK)}
    yield failing("NAM-002", "v10-backing-4095", comment, files, flags=_BOUNDARY)
    files = {ADDCOW: v10(_RAW, Name(b"b", 4094)), _RAW: File(DISK), b"b": File(DISK)}
    yield passing("NAM-002", "v10-backing-4094", "a name of 1 byte at 4094", files, flags=_BOUNDARY)
    files = {ADDCOW: v10(Name(b"d", 4095))}
    comment = "the name at 4095 counts all the same: its file does not exist"
    yield failing("NAM-002", "v10-image-4095-absent", comment, files, also=("ENV-001",))


def _size() -> Iterator[Case]:
    files: Files = {ADDCOW: v10(b"d"), b"d": File(DISK)}
    yield passing("NAM-003", "v10-image-1", "a name of 1 byte", files, flags=_BOUNDARY)
    for size in (4058, 4059):
        for offset in (36, 4096 - size):
            comment = f"a name of {size} bytes at {offset}"
            files = scene(v10(Name(long_name(size), offset)))
            yield passing("NAM-003", f"v10-image-{offset}-{size}", comment, files, flags=_LONG)
    comment = "a name of 4,060 bytes fills the reserved field, but the review ends sizes at 4,059"
    files = scene(v10(long_name(4060)))
    yield failing("NAM-003", "v10-image-4060", comment, files, flags=_LONG)
    comment = "the longest backing file's name that leaves room for an image file's name"
    files = {ADDCOW: v10(Name(b"d", 36), Name(long_name(4059, b"base.raw"), 37)), b"d": File(DISK)}
    files[b"base.raw"] = File(DISK)
    yield passing("NAM-003", "v10-backing-4059", comment, files, flags=_LONG)
    header = v10(Name(offset=4094, size=2), Name(long_name(4060, b"base.rw"), 36))
    files = {ADDCOW: header, b"rw": File(DISK), b"base.rw": File(DISK)}
    comment = "a backing file's name of 4,060 bytes leaves no room: the image file's name is its end"
    flags = (*_LONG, "overlapping-names")
    yield failing("NAM-003", "v10-backing-4060", comment, files, also=("NAM-008",), flags=flags)


def _presence() -> Iterator[Case]:
    yield passing("NAM-004", "v10-no-backing", "backing offset and size are 0", scene(v10()))
    for size in (1, 8, 0xFFFFFFFF):
        files = scene(v10(_RAW, Name(offset=0, size=size)))
        yield failing("NAM-004", f"v10-size-{number(size)}", f"backing offset 0, backing size {size}", files)
    files = {ADDCOW: v10(_RAW, b"b"), _RAW: File(DISK), b"b": File(DISK)}
    yield passing("NAM-005", "v10-size-1", "backing size 1", files, flags=_BOUNDARY)
    for offset in (36, 44, 4094):
        files = scene(v10(_RAW, Name(offset=offset, size=0)))
        yield failing("NAM-005", f"v10-offset-{offset}", f"backing offset {offset}, backing size 0", files)
    for offset, rule in ((35, "NAM-001"), (4097, "NAM-001"), (4095, "NAM-002"), (4096, "NAM-002")):
        files = scene(v10(_RAW, Name(offset=offset, size=0)))
        comment = f"backing offset {offset}, which is out of range, and backing size 0"
        yield failing("NAM-005", f"v10-offset-{offset}", comment, files, also=(rule,), flags=_BOUNDARY)
    yield passing("NAM-006", "v10-present", "offset and size are not 0", scene(v10()))
    for offset, size in ((0, 0), (0, 8), (36, 0), (35, 0), (0xFFFFFFFF, 0), (0, 0xFFFFFFFF)):
        files = scene(v10(Name(offset=offset, size=size)))
        comment = f"image offset {offset}, image size {size}"
        yield failing("NAM-006", f"v10-{number(offset)}-{number(size)}", comment, files)
    for revision in ("v4", "v6"):
        files = scene(legacy(revision), SECTORS)
        yield passing("NAM-006", f"{revision}-present", "the field has a name", files, revision=revision)
        files = scene(legacy(revision, b""), SECTORS)
        yield failing("NAM-006", f"{revision}-empty", "the field is zero", files, revision=revision)
        files = scene(legacy(revision, b"", b"base.raw"), SECTORS, base=SECTORS)
        yield failing(
            "NAM-006",
            f"{revision}-only-backing",
            "only the backing file has a name",
            files,
            revision=revision,
        )


def _content() -> Iterator[Case]:
    yield passing("NAM-007", "v10-none", "names without NUL", scene(v10(_RAW, b"base.raw"), base=DISK))
    files = scene(v10(Name(_RAW, 36, 8)))
    comment = "the byte after the name is 0, and does not belong to it"
    yield passing("NAM-007", "v10-nul-after", comment, files, flags=_BOUNDARY)
    for slug, text in (
        ("first", b"\0disk.raw"),
        ("middle", b"disk\0.raw"),
        ("last", b"disk.raw\0"),
        ("only", b"\0"),
    ):
        files = scene(v10(text)) | {b"disk": File(DISK)}
        yield failing("NAM-007", f"v10-image-{slug}", f"a NUL in the image file's name: {slug}", files)
        files = scene(v10(_RAW, text.replace(b"disk", b"base")), base=DISK)
        yield failing("NAM-007", f"v10-backing-{slug}", f"a NUL in the backing file's name: {slug}", files)


def _overlap() -> Iterator[Case]:
    def files(image: Name, backing: Name, text: bytes = b"") -> Files:
        file = v10(image, backing)
        return {ADDCOW: file.write(36, text) if text else file}

    def named(*names: bytes) -> Files:
        return {name: File(DISK) for name in names}

    touching = files(Name(_RAW, 36), Name(b"base.raw", 44)) | named(_RAW, b"base.raw")
    yield passing(
        "NAM-008", "v10-touching", "one name begins where the other ends", touching, flags=_BOUNDARY
    )
    touching = files(Name(_RAW, 44), Name(b"base.raw", 36)) | named(_RAW, b"base.raw")
    yield passing("NAM-008", "v10-touching-swapped", "the same, backing first", touching, flags=_BOUNDARY)
    for slug, image, backing, comment in (
        (
            "one-byte",
            Name(b"disk.raw", 36),
            Name(b"wx", 43),
            "the last byte of one is the first of the other",
        ),
        ("suffix", Name(b"disk.raw", 41), Name(b"base-disk.raw", 36), "the image file's name ends the other"),
        ("prefix", Name(b"disk", 36), Name(b"disk.base", 36), "the image file's name begins the other"),
        ("inside", Name(b"disk", 40), Name(b"old-disk.raw", 36), "the image file's name is in the other"),
    ):
        overlapping = files(image, backing) | named(image.text, backing.text)
        flags = ("overlapping-names",)
        yield failing("NAM-008", f"v10-{slug}", comment, overlapping, flags=flags)
    same = files(Name(_RAW, 36), Name(_RAW, 36)) | named(_RAW)
    comment = "both names are the same bytes, so they are the same file too"
    yield failing("NAM-008", "v10-same", comment, same, also=("CHN-001",), flags=("overlapping-names",))


def _legacy_names() -> Iterator[Case]:
    for revision in ("v4", "v6"):
        files = scene(legacy(revision, backing=b"base.raw"), SECTORS, base=SECTORS)
        yield passing("NAM-009", f"{revision}-padded", "zeros after both names", files, revision=revision)
        for length in (1022, 1023, 1024):
            comment = f"names of {length} bytes in fields of 1,024"
            header = legacy(revision, long_name(length), long_name(length, b"base.raw"))
            files = scene(header, SECTORS, base=SECTORS)
            yield passing("NAM-009", f"{revision}-{length}", comment, files, revision=revision, flags=_LONG)
        for role, start in (("backing", 12), ("image", 1036)):
            for at in (9, 1023):
                header = legacy(revision, backing=b"base.raw").write(start + at, b"x")
                files = scene(header, SECTORS, base=SECTORS)
                comment = f"byte {at} of the {role} file's field is not zero; its name ends at 8"
                yield failing("NAM-009", f"{revision}-{role}-{at}", comment, files, revision=revision)
        files = scene(legacy(revision, backing=b"\0ase.raw"), SECTORS)
        comment = "the backing file's name is empty, and bytes follow its NUL"
        yield failing("NAM-009", f"{revision}-backing-empty", comment, files, revision=revision)
        files = scene(legacy(revision, b"\0isk.raw"), SECTORS)
        comment = "the image file's name is empty, and bytes follow its NUL"
        yield failing(
            "NAM-006", f"{revision}-nul-first", comment, files, also=("NAM-009",), revision=revision
        )
