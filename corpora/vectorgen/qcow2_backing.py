"""qcow2 backing files, good and bad (ACW-QC2-001 to 016).

An add-cow header cannot state that its backing file is a qcow2 file, so every such image is probed and has
the finding ACW-CHN-003 too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vectorgen._cases import Case, Files, number, passing, scene
from vectorgen._files import File
from vectorgen._images import BACKING_FORMAT, DISK, FEATURE_NAMES, SECTOR, extension, qcow2, v10
from vectorgen.names import long_name

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["cases"]

_BOUNDARY = ("boundary",)
_UNKNOWN = 0x12345678
_STATED = {kind: extension(BACKING_FORMAT, kind) for kind in (b"raw", b"qcow2")}


def cases() -> Iterator[Case]:
    """All of them."""
    yield from _format_and_version()
    yield from _header_length()
    yield from _geometry()
    yield from _features()
    yield from _extensions()
    yield from _feature_names()
    yield from _backing_name()
    yield from _backing_chain()
    yield from _tables()


def _passing(
    rule: str,
    slug: str,
    comment: str,
    base: File,
    beside: Files | None = None,
    *,
    also: tuple[str, ...] = (),
    flags: tuple[str, ...] = (),
) -> Case:
    """A v10 image over ``base`` that keeps the rule; ``beside`` are more files."""
    files = scene(v10(backing=b"base.qcow2", features=1)) | {b"base.qcow2": base} | (beside or {})
    return passing(rule, slug, comment, files, also=("CHN-003", *also), flags=("probe", *flags))


def _failing(
    rule: str,
    slug: str,
    comment: str,
    base: File,
    beside: Files | None = None,
    *,
    flags: tuple[str, ...] = (),
) -> Case:
    """The same for an image that breaks the rule."""
    return _passing(rule, slug, comment, base, beside, also=(rule,), flags=flags)


def _format_and_version() -> Iterator[Case]:
    outer = qcow2(backing=b"inner", extensions=_STATED[b"qcow2"])
    comment = "the backing file's backing file is stated to be qcow2, and is"
    yield _passing("QC2-001", "stated-and-true", comment, outer, {b"inner": qcow2()})
    for slug, inner in (
        ("zeros", File(DISK)),
        ("empty", File(0)),
        ("3-bytes", File(3, b"QFI")),
        ("last-byte", qcow2().write(3, b"\xfa")),
        ("add-cow", v10()),
    ):
        comment = f"the backing file's backing file is stated to be qcow2, and is not: {slug}"
        yield _failing("QC2-001", f"stated-{slug}", comment, outer, {b"inner": inner})
    for version in (2, 3):
        yield _passing("QC2-002", f"version-{version}", "nothing is allocated", qcow2(version))
    for version in (0, 1, 4, 0x02000000, 0xFFFFFFFF):
        base = qcow2().write(4, version.to_bytes(4, "big"))
        yield _failing(
            "QC2-002", f"version-{number(version)}", f"version 0x{version:x}", base, flags=_BOUNDARY
        )


def _bare(version: int, length: int, header_length: int = 104) -> File:
    """A file that is cut to ``length`` bytes, of a disk of 0 bytes, which needs no table."""
    base = qcow2(version, size=0, l1_table_offset=0, refcount_table_offset=0, header_length=header_length)
    return base.resize(length)


def _header_length() -> Iterator[Case]:
    flags = ("boundary", "truncation")
    for version, whole, lengths in ((2, 72, (4, 7, 8, 71)), (3, 104, (71, 72, 103))):
        yield _passing(
            "QC2-003", f"v{version}-{whole}-bytes", "the header alone", _bare(version, whole), flags=flags
        )
        for length in lengths:
            comment = f"cut to {length} bytes of a header of {whole}"
            yield _failing(
                "QC2-003", f"v{version}-{length}-bytes", comment, _bare(version, length), flags=flags
            )
    for length in (104, 112, 512):
        base = qcow2(header_length=length)
        yield _passing("QC2-003", f"header-length-{length}", "clusters of 512 bytes", base, flags=_BOUNDARY)
    for length in (0, 72, 103, 513, 520, 0xFFFFFFFF):
        base = qcow2(header_length=length)
        slug = f"header-length-{number(length)}"
        yield _failing("QC2-003", slug, "clusters of 512 bytes", base, flags=_BOUNDARY)
    base = _bare(3, 128, header_length=128)
    yield _passing(
        "QC2-003", "header-fills-file", "header_length is the file's length", base, flags=_BOUNDARY
    )
    base = _bare(3, 127, header_length=128)
    yield _failing("QC2-003", "header-beyond-file", "header_length is one more than the file's length", base)


def _geometry() -> Iterator[Case]:
    for bits in (9, 10, 16, 21):
        base = qcow2(cluster_bits=bits, size=1 << 20)
        yield _passing("QC2-004", f"bits-{bits}", f"clusters of {1 << bits} bytes", base, flags=_BOUNDARY)
    for stated in (0, 8, 22, 64, 0xFFFFFFFF):
        base = qcow2().write(20, stated.to_bytes(4, "big"))
        yield _failing("QC2-004", f"bits-{number(stated)}", f"cluster_bits {stated}", base, flags=_BOUNDARY)
    for order in (0, 3, 4, 6):
        base = qcow2(refcount_order=order)
        yield _passing("QC2-006", f"order-{order}", f"refcounts of {1 << order} bits", base, flags=_BOUNDARY)
    for order in (7, 16, 0xFFFFFFFF):
        base = qcow2().write(96, order.to_bytes(4, "big"))
        yield _failing("QC2-006", f"order-{number(order)}", f"refcount_order {order}", base, flags=_BOUNDARY)
    for version in (2, 3):
        yield _passing("QC2-012", f"v{version}-plain", "crypt_method 0", qcow2(version))
        for method in (1, 2, 0xFFFFFFFF):
            base = qcow2(version, crypt_method=method)
            yield _failing("QC2-012", f"v{version}-method-{number(method)}", f"crypt_method {method}", base)


def _features() -> Iterator[Case]:
    yield _passing("QC2-005", "none", "no incompatible feature", qcow2())
    yield _passing("QC2-011", "clean", "neither dirty nor corrupt", qcow2())
    for bit in (2, 3, 4, 31, 32, 63):
        base = qcow2(incompatible=1 << bit)
        flags = ("unknown-feature",)
        yield _failing("QC2-005", f"bit-{bit}", f"incompatible feature bit {bit}", base, flags=flags)
    table = extension(FEATURE_NAMES, b"\0\x07" + b"seven".ljust(46, b"\0"))
    base = qcow2(incompatible=1 << 7, extensions=table)
    comment = "incompatible feature bit 7, which the feature name table calls seven"
    yield _failing("QC2-005", "named", comment, base, flags=("unknown-feature",))
    for bit, name in ((0, "dirty"), (1, "corrupt")):
        yield _failing("QC2-011", name, f"incompatible feature bit {bit}", qcow2(incompatible=1 << bit))
    for bit in (0, 1, 63):
        base = qcow2(compatible=1 << bit)
        flags = ("must-accept",)
        yield _passing("QC2-015", f"compatible-{bit}", f"compatible feature bit {bit}", base, flags=flags)
        base = qcow2(autoclear=1 << bit)
        comment = f"autoclear feature bit {bit}: a reader leaves it"
        yield _passing("QC2-016", f"autoclear-{bit}", comment, base, flags=flags)


def _extensions() -> Iterator[Case]:
    unknown = extension(_UNKNOWN, b"what is this")
    for version in (2, 3):
        base = qcow2(version, extensions=unknown)
        comment = "an extension of a type that nobody knows"
        yield _passing("QC2-015", f"v{version}-extension", comment, base, flags=("must-accept",))
        start = 72 if version == 2 else 104
        room = 512 - start - 8
        base = qcow2(version, extensions=extension(_UNKNOWN, bytes(room)))
        comment = "an extension that fills the first cluster"
        yield _passing("QC2-007", f"v{version}-fills-cluster", comment, base, flags=_BOUNDARY)
        base = qcow2(version, extensions=extension(_UNKNOWN, b"", length=room + 1))
        comment = "an extension that reaches one byte beyond the first cluster"
        yield _failing("QC2-007", f"v{version}-beyond-cluster", comment, base, flags=_BOUNDARY)
    for length in (0x7FFFFFFF, 0xFFFFFFF9, 0xFFFFFFFF):
        base = qcow2(extensions=extension(_UNKNOWN, b"", length=length))
        comment = f"an extension of {length} bytes"
        yield _failing("QC2-007", f"length-{number(length)}", comment, base, flags=("wrap",))
    for gap, build, slug in (
        (0, _passing, "up-to-name"),
        (-1, _failing, "into-name"),
        (-8, _failing, "over-name"),
    ):
        base = _named(136 + gap, b"raw.disk", extensions=_STATED[b"raw"] + extension(_UNKNOWN, b"8 bytes!"))
        comment = "an extension that ends where the backing file's name begins, or later"
        yield build("QC2-007", slug, comment, base, {b"raw.disk": File(DISK)}, flags=_BOUNDARY)
    short = _bare(3, 104 + 16).write(104, extension(_UNKNOWN, b"8 bytes!"))
    yield _passing(
        "QC2-007", "up-to-end-of-file", "an extension that ends with the file", short, flags=_BOUNDARY
    )
    short = _bare(3, 104 + 16).write(104, extension(_UNKNOWN, b"8 bytes!", length=9))
    yield _failing("QC2-007", "beyond-end-of-file", "an extension that needs more than the file has", short)
    padded = _bare(3, 104 + 15).write(104, extension(_UNKNOWN, b"7 bytes", padding=False))
    yield _failing("QC2-007", "padding-missing", "the file ends before the extension's padding", padded)
    # The first one is long: the tests give the start of each file to a parser that has no such limit, and
    # for it the header has to end there.
    for count, build in ((1024, _passing), (1025, _failing)):
        types = b"".join(extension(0x10000 + index, b"") for index in range(count - 1))
        base = qcow2(cluster_bits=17, extensions=extension(_UNKNOWN, bytes(1 << 16)) + types)
        comment = f"{count:,} extensions of as many types, all but one without data"
        yield build("QC2-007", f"{count}-extensions", comment, base, flags=_BOUNDARY)
    other = extension(_UNKNOWN + 1, b"other")
    yield _passing("QC2-008", "two-types", "two extensions of two types", qcow2(extensions=unknown + other))
    for version in (2, 3):
        base = qcow2(version, extensions=unknown + unknown)
        yield _failing("QC2-008", f"v{version}-unknown-twice", "an unknown type twice", base)
    base = qcow2(extensions=unknown + other + extension(_UNKNOWN, b""))
    yield _failing("QC2-008", "not-adjacent", "one type twice, another between", base)
    after = qcow2(extensions=unknown + bytes(8) + unknown)
    yield _passing(
        "QC2-008", "after-end", "the second one stands behind the end marker", after, flags=_BOUNDARY
    )
    base = qcow2(extensions=_STATED[b"raw"] * 2, backing=b"base2.raw")
    comment = "the backing format twice"
    yield _failing("QC2-008", "format-twice", comment, base, {b"base2.raw": File(DISK)})


def _feature_names() -> Iterator[Case]:
    def entry(kind: int, bit: int) -> bytes:
        return bytes([kind, bit]) + b"a feature".ljust(46, b"\0")

    for slug, data, comment in (
        ("empty", b"", "no entry"),
        ("one", entry(0, 0), "one entry"),
        ("last-values", entry(2, 63) + entry(1, 0), "type 2 and bit 63"),
        ("full-name", b"\0\0" + b"n" * 46, "a name of 46 bytes, without NUL"),
    ):
        base = qcow2(extensions=extension(FEATURE_NAMES, data))
        yield _passing("QC2-009", slug, comment, base, flags=_BOUNDARY)
    for slug, data, comment in (
        ("47-bytes", entry(0, 0)[:47], "47 bytes make no entry"),
        ("49-bytes", entry(0, 0) + b"\0", "an entry and a byte"),
        ("type-3", entry(3, 0), "type 3"),
        ("bit-64", entry(0, 64), "bit 64"),
        ("type-255", entry(255, 0), "type 255"),
    ):
        base = qcow2(extensions=extension(FEATURE_NAMES, data))
        yield _failing("QC2-009", slug, comment, base, flags=_BOUNDARY)
    named = b"".join(bytes([kind, bit]) + b"n".ljust(46, b"\0") for kind in range(3) for bit in range(64))
    for slug, data, build, comment in (
        ("192-entries", named, _passing, "a name for each bit of the three bitmaps"),
        ("193-entries", named + entry(0, 0), _failing, "one entry more than there are bits"),
        ("193-entries-type-3", named + entry(3, 0), _failing, "one entry too many, which is not looked at"),
    ):
        base = qcow2(cluster_bits=14, extensions=extension(FEATURE_NAMES, data))
        yield build("QC2-009", slug, comment, base, flags=_BOUNDARY)
    base = qcow2(2, extensions=extension(FEATURE_NAMES, entry(3, 0)))
    yield _failing("QC2-009", "v2-type-3", "type 3, in version 2", base)


def _named(offset: int, name: bytes, extensions: bytes = b"") -> File:
    """A qcow2 file whose backing file's name lies at ``offset``."""
    base = qcow2(extensions=extensions, backing_file_offset=offset, backing_file_size=len(name))
    return base.write(offset, name)


def _backing_name() -> Iterator[Case]:
    name = b"base2.raw"
    beside: Files = {b"base2.raw": File(DISK)}
    for offset, slug in ((104, "after-header"), (512 - len(name), "end-of-cluster")):
        yield _passing(
            "QC2-010", slug, f"the name lies at {offset}", _named(offset, name), beside, flags=_BOUNDARY
        )
    base = _named(512 - len(name) + 1, name)
    # The L1 table begins where the name goes on: its entry must not matter.
    yield _failing("QC2-010", "beyond-cluster", "the name's last byte is in the second cluster", base, beside)
    for offset in (1, 96, 103):
        base = qcow2(backing_file_offset=offset, backing_file_size=1)
        yield _failing("QC2-010", f"offset-{offset}", "the name begins in the header", base, flags=_BOUNDARY)
    base = qcow2(header_length=112, backing_file_offset=111, backing_file_size=1)
    yield _failing(
        "QC2-010", "in-longer-header", "the name begins in the header's last byte", base, flags=_BOUNDARY
    )
    base = qcow2(2, backing_file_offset=71, backing_file_size=1)
    yield _failing("QC2-010", "v2-offset-71", "the name begins in the header", base, flags=_BOUNDARY)
    for offset, size in ((512, 1), (1 << 32, 8), ((1 << 64) - 1, 1), ((1 << 64) - 8, 16), (200, 0xFFFFFFFF)):
        base = qcow2(backing_file_offset=offset, backing_file_size=size)
        comment = f"a name of {size} bytes at {offset}"
        yield _failing(
            "QC2-010", f"{number(offset)}-{number(size)}", comment, base, flags=("boundary", "wrap")
        )
    base = qcow2(backing_file_offset=200, backing_file_size=0)
    yield _failing("QC2-010", "size-0", "a name of 0 bytes", base, flags=_BOUNDARY)
    comment = "a NUL ends the name"
    yield _passing("QC2-010", "nul-ends-name", comment, _named(200, name + b"\0rest"), beside)
    for slug, text in (("nul-first", b"\0" + name), ("nul-alone", b"\0")):
        comment = "the name starts with a NUL, and is not followed"
        yield _failing("QC2-010", slug, comment, _named(200, text), beside)
    comment = "a NUL after the first byte ends the name"
    base = _named(200, b"b\0" + name)
    yield _passing("QC2-010", "nul-second", comment, base, {b"b": File(DISK)}, flags=_BOUNDARY)
    for cut, build, slug in ((0, _passing, "up-to-end-of-file"), (1, _failing, "beyond-end-of-file")):
        base = qcow2(
            size=0, l1_table_offset=0, refcount_table_offset=0, backing_file_offset=120, backing_file_size=9
        )
        base = base.resize(120).write(120, name).resize(129 - cut)
        comment = f"{9 - cut} of the name's 9 bytes are in the file"
        yield build("QC2-010", slug, comment, base, beside, flags=_BOUNDARY)
    for size, build in ((1, _passing), (1023, _passing), (1024, _failing)):
        long = b"b" if size == 1 else long_name(size, b"b")
        base = qcow2(cluster_bits=12, backing_file_offset=200, backing_file_size=size).write(200, long)
        comment = f"a name of {size} bytes in a cluster of 4,096"
        yield build("QC2-010", f"size-{size}", comment, base, {b"b": File(DISK)}, flags=_BOUNDARY)


def _backing_chain() -> Iterator[Case]:
    raw = File(DISK, b"QFI\xfb")
    base = qcow2(backing=b"inner", extensions=_STATED[b"raw"])
    comment = "the backing format raw is stated, though the content is that of qcow2: no probe"
    yield _passing("CHN-003", "qcow2-states-raw", comment, base, {b"inner": raw})
    base = qcow2(backing=b"inner", extensions=extension(BACKING_FORMAT, b"add-cow"))
    comment = "the backing format add-cow is stated, and true: no probe"
    beside: Files = {b"inner": v10(b"disk2.raw"), b"disk2.raw": File(DISK)}
    yield _passing("CHN-003", "qcow2-states-add-cow", comment, base, beside)
    base = qcow2(backing=b"inner", extensions=extension(BACKING_FORMAT, b"vmdk"))
    comment = "a backing format that is not read is stated, and the chain ends there: no probe"
    yield _passing("CHN-003", "qcow2-states-vmdk", comment, base, {b"inner": qcow2().resize(100)})
    base = qcow2(backing=b"inner")
    comment = "a qcow2 file over a qcow2 file, the format left to a probe: twice"
    yield _failing("CHN-003", "qcow2-states-nothing", comment, base, {b"inner": qcow2()})
    empty = qcow2(backing=b"inner", extensions=extension(BACKING_FORMAT, b""))
    comment = "an empty backing format, which is none: a qcow2 file over a qcow2 file is probed for twice"
    yield _failing("CHN-003", "qcow2-states-empty", comment, empty, {b"inner": qcow2()})
    yield _failing("ENV-002", "qcow2-backing-absent", "the qcow2 file's backing file does not exist", base)
    base = qcow2(2, backing=b"inner")
    yield _passing(
        "ENV-002",
        "qcow2-backing-raw",
        "a qcow2 file of version 2 over a raw file",
        base,
        {b"inner": File(DISK)},
    )
    base = qcow2(backing=b"nbd:localhost:10809")
    comment = "the qcow2 file's backing file is reached by a protocol"
    yield _failing("NAM-011", "qcow2-nbd", comment, base, flags=("protocol",))


def _tables() -> Iterator[Case]:
    per_entry = 64 * SECTOR
    for size in (0, per_entry, per_entry + SECTOR, 64 * per_entry):
        comment = f"a disk of {size} bytes, and as many entries as it needs"
        yield _passing("QC2-013", f"size-{size}", comment, qcow2(size=size), flags=_BOUNDARY)
    for version in (2, 3):
        base = qcow2(version, size=per_entry + SECTOR, l1_size=1)
        comment = "the disk is a sector longer than the L1 table covers"
        yield _failing("QC2-013", f"v{version}-one-entry-short", comment, base, flags=_BOUNDARY)
    for slug, comment, base in (
        ("no-entry", "a disk without an L1 table", qcow2(l1_size=0)),
        ("huge-disk", "a disk of nearly 2**64 bytes", qcow2(size=(1 << 64) - SECTOR, l1_size=1)),
        ("unaligned", "the L1 table is not at a cluster boundary", qcow2(l1_table_offset=520)),
        ("behind-file", "the L1 table is behind the end of the file", qcow2(l1_table_offset=1 << 62)),
        ("l1-too-long", "the L1 table reaches beyond the end of the file", qcow2(l1_size=0xFFFFFFFF)),
    ):
        yield _failing("QC2-013", slug, comment, base)
    for length, build in ((2056, _passing), (2055, _failing)):
        base = qcow2(l1_table_offset=2048).resize(length)
        comment = "an L1 table of 8 bytes at 2048, at the end of the file"
        yield build("QC2-013", f"file-of-{length}", comment, base, flags=_BOUNDARY)
    for version in (2, 3):
        yield _passing("QC2-014", f"v{version}-aligned", "tables at cluster boundaries", qcow2(version))
        base = qcow2(version, refcount_table_offset=1032)
        yield _failing("QC2-014", f"v{version}-refcount-table", "the refcount table is at 1032", base)
    base = qcow2(nb_snapshots=1, snapshots_offset=1544)
    yield _failing("QC2-014", "snapshots", "the snapshot table is at 1544", base)
    base = qcow2(nb_snapshots=0, snapshots_offset=1544)
    comment = "no snapshot, so the offset of their table means nothing"
    yield _passing("QC2-014", "no-snapshots", comment, base, flags=_BOUNDARY)
