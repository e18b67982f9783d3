"""Files that stand twice in a chain, cycles, and chains that are too long (ACW-CHN-001, 002 and 004)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vectorgen._cases import ADDCOW, Case, Files, failing, passing, scene
from vectorgen._files import File, hard_link, symlink
from vectorgen._images import BACKING_FORMAT, CLUSTER, DISK, SECTORS, extension, legacy, qcow2, v10

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["cases"]

_RAW = b"disk.raw"
_BASE = b"base.raw"
_PROBED = ("CHN-003",)
_LIMIT = 200


def cases() -> Iterator[Case]:
    """All of them."""
    yield from _distinct()
    yield from _same()
    yield from _same_in_chain()
    yield from _acyclic()
    yield from _cycles()
    yield from _not_followed()
    yield from _entered_once()
    yield from _broken_layers()
    yield from _length()


def _distinct() -> Iterator[Case]:
    yield passing("CHN-001", "v10-distinct", "three files", scene(v10(backing=_BASE), base=DISK))
    files = scene(v10(backing=_BASE), base=File(DISK, b"same")) | {_RAW: File(DISK, b"same")}
    yield passing("CHN-001", "v10-equal-content", "two files with equal content", files)
    for revision in ("v4", "v6"):
        files = scene(legacy(revision, backing=_BASE), SECTORS, base=SECTORS)
        yield passing("CHN-001", f"{revision}-distinct", "three files", files, revision=revision)


def _same() -> Iterator[Case]:
    # The add-cow file is its own image file: a disk of 4,608 bytes, one cluster.
    own = v10(ADDCOW, size=CLUSTER).resize(4608)
    yield failing("CHN-001", "v10-image-is-add-cow", "the image names itself as image file", {ADDCOW: own})
    linked: Files = {ADDCOW: v10(b"link", size=CLUSTER).resize(4608)}
    for slug, link, flag in (
        ("symlink", symlink(ADDCOW), "symlink"),
        ("hard-link", hard_link(ADDCOW), "hard-link"),
    ):
        comment = f"the image file's name is a {slug.replace('-', ' ')} to the add-cow file"
        yield failing(
            "CHN-001", f"v10-image-is-add-cow-by-{slug}", comment, linked | {b"link": link}, flags=(flag,)
        )
    for features, slug in ((3, "no-probe"), (1, "probe")):
        files = scene(v10(backing=ADDCOW, features=features))
        comment = "the image names itself as backing file"
        yield failing("CHN-001", f"v10-backing-is-add-cow-{slug}", comment, files)
    for slug, link, flag in (
        ("symlink", symlink(_RAW), "symlink"),
        ("hard-link", hard_link(_RAW), "hard-link"),
    ):
        files = scene(v10(backing=_BASE)) | {_BASE: link}
        comment = f"the backing file is a {slug.replace('-', ' ')} to the image file"
        yield failing("CHN-001", f"v10-backing-is-image-by-{slug}", comment, files, flags=(flag,))
    files = scene(v10(backing=b"./disk.raw"))
    yield failing("CHN-001", "v10-backing-is-image", "one file, named in two ways", files)
    for revision in ("v4", "v6"):
        files = scene(legacy(revision, backing=_RAW), SECTORS)
        comment = "one name twice"
        yield failing("CHN-001", f"{revision}-backing-is-image", comment, files, revision=revision)
    triple = v10(ADDCOW, b"./" + ADDCOW, size=CLUSTER).resize(4608)
    comment = "all three are one file: the image file repeats it, and so does the backing file"
    yield failing("CHN-001", "v10-all-one", comment, {ADDCOW: triple}, also=("CHN-001",))


def _same_in_chain() -> Iterator[Case]:
    files = scene(v10(backing=b"b.add-cow", features=1)) | {b"b.add-cow": v10()}
    comment = "two add-cow files of a chain share an image file"
    yield failing("CHN-001", "v10-image-shared", comment, files, also=_PROBED, flags=("probe",))
    files = scene(v10(backing=b"b.add-cow", features=1)) | {
        b"b.add-cow": v10(b"disk2.raw", _RAW),
        b"disk2.raw": File(DISK),
    }
    comment = "the image file of the first layer is the backing file of the second"
    yield failing("CHN-001", "v10-image-is-lower-backing", comment, files, also=_PROBED, flags=("probe",))
    files = scene(v10(backing=b"b.add-cow", features=1)) | {
        b"b.add-cow": v10(b"disk2.raw", b"b.add-cow", features=1)
    }
    files[b"disk2.raw"] = File(DISK)
    comment = "the second layer names itself as backing file"
    yield failing("CHN-001", "v10-lower-is-own-backing", comment, files, also=_PROBED, flags=("probe",))


def _layer(index: int, backing: bytes = b"", features: int = 1) -> Files:
    """An add-cow file named by its index, over an image file of its own."""
    image = b"disk%d.raw" % index
    return {
        b"%d.add-cow" % index: v10(image, backing, features=features if backing else 0),
        image: File(DISK),
    }


def _acyclic() -> Iterator[Case]:
    files = scene(v10(backing=b"2.add-cow", features=1)) | _layer(2, b"3.add-cow") | _layer(3, _BASE, 3)
    files[_BASE] = File(DISK)
    comment = "three add-cow files and a raw file"
    flags = ("probe",)
    yield passing("CHN-002", "v10-three-layers", comment, files, also=_PROBED * 2, flags=flags)
    files = scene(v10(backing=b"2.qcow2", features=1)) | {b"2.qcow2": qcow2(backing=b"3.add-cow")} | _layer(3)
    comment = "add-cow over qcow2 over add-cow"
    yield passing("CHN-002", "v10-through-qcow2", comment, files, also=_PROBED * 2, flags=flags)


def _cycles() -> Iterator[Case]:
    flags = ("cycle", "probe")
    top = scene(v10(backing=b"2.add-cow", features=1))
    files = top | _layer(2, ADDCOW)
    yield failing("CHN-002", "v10-ring-of-two", "A over B over A", files, also=_PROBED, flags=flags)
    files = top | _layer(2, b"link") | {b"link": symlink(ADDCOW)}
    comment = "A over B over a symbolic link to A"
    yield failing(
        "CHN-002", "v10-ring-of-two-by-symlink", comment, files, also=_PROBED, flags=(*flags, "symlink")
    )
    files = top | _layer(2, b"link") | {b"link": hard_link(ADDCOW)}
    comment = "A over B over a hard link to A"
    yield failing(
        "CHN-002", "v10-ring-of-two-by-hard-link", comment, files, also=_PROBED, flags=(*flags, "hard-link")
    )
    files = top | _layer(2, b"3.add-cow") | _layer(3, ADDCOW)
    yield failing(
        "CHN-002", "v10-ring-of-three", "A over B over C over A", files, also=_PROBED * 2, flags=flags
    )
    files = top | _layer(2, b"3.add-cow") | _layer(3, b"2.add-cow")
    yield failing("CHN-002", "v10-lower-ring", "A over B over C over B", files, also=_PROBED * 2, flags=flags)
    top = scene(v10(backing=b"2.qcow2", features=1))
    files = top | {b"2.qcow2": qcow2(backing=ADDCOW)}
    yield failing(
        "CHN-002", "v10-ring-through-qcow2", "A over a qcow2 file over A", files, also=_PROBED, flags=flags
    )
    stated = extension(BACKING_FORMAT, b"qcow2")
    files = top | {
        b"2.qcow2": qcow2(backing=b"3.qcow2", extensions=stated),
        b"3.qcow2": qcow2(backing=b"2.qcow2", extensions=stated),
    }
    yield failing(
        "CHN-002", "v10-ring-of-qcow2", "A over two qcow2 files in a ring", files, also=_PROBED, flags=flags
    )
    files = top | {b"2.qcow2": qcow2(backing=b"2.qcow2", extensions=stated)}
    comment = "A over a qcow2 file that is its own backing file"
    yield failing("CHN-002", "v10-qcow2-own-backing", comment, files, also=_PROBED, flags=flags)
    files = scene(legacy("v6", backing=b"2.add-cow"), SECTORS)
    files |= {b"2.add-cow": legacy("v6", b"disk2.raw", ADDCOW), b"disk2.raw": File(SECTORS)}
    yield failing(
        "CHN-002", "v6-ring-of-two", "A over B over A", files, also=_PROBED, revision="v6", flags=flags
    )
    files = scene(legacy("v4", backing=b"2.add-cow"), SECTORS)
    files |= {b"2.add-cow": legacy("v4", b"disk2.raw", ADDCOW), b"disk2.raw": File(SECTORS)}
    yield failing(
        "CHN-002", "v4-ring-of-two", "A over B over A", files, also=_PROBED, revision="v4", flags=flags
    )


def _not_followed() -> Iterator[Case]:
    """A file stands twice, and where it stands again it is not followed: no cycle."""
    for form in (b"raw", b"vmdk"):
        stated = extension(BACKING_FORMAT, form)
        name = form.decode()
        for whom, backing in (("top", ADDCOW), ("itself", b"2.qcow2")):
            files = scene(v10(backing=b"2.qcow2", features=1))
            files[b"2.qcow2"] = qcow2(backing=backing, extensions=stated)
            comment = f"A over a qcow2 file that names {whom}, and states that it is {name}"
            slug = f"v10-qcow2-names-{whom}-as-{name}"
            yield failing("CHN-001", slug, comment, files, also=_PROBED, flags=("probe",))


def _entered_once() -> Iterator[Case]:
    """The image file of the first layer is its backing file too; its length is that of the disk."""
    stated = extension(BACKING_FORMAT, b"raw")
    for rule, slug, shared, also, what in (
        ("CHN-001", "qcow2", qcow2(), (), "has no backing file"),
        ("CHN-002", "qcow2-names-itself", qcow2(backing=b"2"), ("CHN-001",), "names itself"),
        (
            "CHN-001",
            "qcow2-names-itself-as-raw",
            qcow2(backing=b"2", extensions=stated),
            ("CHN-001",),
            "names itself as raw",
        ),
        ("CHN-002", "qcow2-names-top", qcow2(backing=ADDCOW), ("CHN-001",), "names the top"),
        ("CHN-001", "add-cow", v10(b"disk2.raw").resize(4608), (), "has no backing file"),
        (
            "CHN-001",
            "add-cow-names-itself",
            v10(b"disk2.raw", b"2", features=1).resize(4608),
            ("CHN-001",),
            "names itself",
        ),
    ):
        files: Files = {ADDCOW: v10(b"2", b"2", size=shared.size, features=1), b"2": shared}
        files[b"disk2.raw"] = File(DISK)
        comment = f"the image file is the backing file too; it is entered once, and {what}"
        flags = ("cycle", "probe") if rule == "CHN-002" else ("probe",)
        yield failing(
            rule, f"v10-image-and-backing-{slug}", comment, files, also=(*also, *_PROBED), flags=flags
        )


def _broken_layers() -> Iterator[Case]:
    for rule, slug, lower, comment in (
        ("HDR-002", "version-2", v10(b"disk2.raw").write(8, b"\2"), "its version is 2"),
        ("HDR-003", "header-short", v10(b"disk2.raw").resize(4095), "its header is cut short"),
        ("HDR-003", "magic-only", v10(b"disk2.raw").resize(8), "it has nothing but the magic"),
        ("BMP-001", "bitmap-short", v10(b"disk2.raw").resize(4096), "its bitmap is missing"),
        ("BMP-002", "trailing-bit", v10(b"disk2.raw", bits=b"\x08"), "it has a trailing bit set"),
        ("BMP-004", "full", v10(b"disk2.raw", bits=b"\x07"), "every bit of it is set"),
        ("NAM-006", "no-image", v10(b""), "it names no image file"),
        ("ENV-001", "image-absent", v10(b"disk3.raw"), "its image file does not exist"),
        ("ENV-002", "backing-absent", v10(b"disk2.raw", b"base2.raw"), "its backing file does not exist"),
        ("FEA-003", "feature", v10(b"disk2.raw", features=4), "it has an unknown feature bit"),
    ):
        files = scene(v10(backing=b"lower.add-cow", features=1)) | {
            b"lower.add-cow": lower,
            b"disk2.raw": File(DISK),
        }
        text = f"the backing file is an add-cow file, and {comment}"
        yield failing(rule, f"v10-lower-{slug}", text, files, also=_PROBED, flags=("probe",))
    old = legacy("v6", b"disk2.raw", size=DISK)
    files = scene(v10(backing=b"2.add-cow", features=1)) | {b"2.add-cow": old, b"disk2.raw": File(DISK)}
    comment = "a v10 file over a v6 file"
    flags = ("probe",)
    yield passing("HDR-002", "v10-over-v6", comment, files, also=_PROBED, flags=flags)
    deep: Files = {
        ADDCOW: v10(backing=b"lower/2.add-cow", features=1),
        _RAW: File(DISK),
        b"lower/2.add-cow": v10(),
        b"lower/disk.raw": File(DISK),
    }
    comment = "the names of the second layer start at its own directory"
    yield passing("NAM-010", "v10-lower-directory", comment, deep, also=_PROBED, flags=flags)


def _length() -> Iterator[Case]:
    """Layer 1 is the image, the last one a raw file, those between qcow2 files of 72 bytes and a name."""
    stated = {name: extension(BACKING_FORMAT, name) for name in (b"qcow2", b"raw")}
    for layers, build in ((_LIMIT, passing), (_LIMIT + 1, failing)):
        files = scene(v10(backing=b"2", features=1))
        for index in range(2, layers):
            kind = b"raw" if index == layers - 1 else b"qcow2"
            header = qcow2(
                2,
                backing=b"%d" % (index + 1),
                extensions=stated[kind],
                size=0,
                l1_table_offset=0,
                refcount_table_offset=0,
            )
            files[b"%d" % index] = header.resize(112)
        files[b"%d" % layers] = File(512)
        comment = f"{layers} layers: the image, {layers - 2} qcow2 files, a raw file"
        flags = ("boundary", "deep-chain", "probe")
        yield build("CHN-004", f"v10-{layers}-layers", comment, files, also=_PROBED, flags=flags)
