"""Where names lead (ACW-NAM-010 and 011, ACW-ENV-001 to 004)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vectorgen._cases import ADDCOW, Case, Files, Options, failing, passing, scene
from vectorgen._files import DIRECTORY, FIFO, File, symlink
from vectorgen._images import DISK, SECTORS, legacy, v10

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["cases"]

_RAW = b"disk.raw"
_BASE = b"base.raw"
_CWD = ("working-directory",)
_HOSTILE = {
    "not-utf-8": b"disk-\xff\xfe\x80.raw",
    "latin-1": "d\xefsk.raw".encode("latin-1"),
    "lone-surrogate": b"disk-\xed\xa0\x80.raw",
    "escape-sequence": b"\x1b]0;owned\x07\x1b[31mdisk.raw",
    "newline": b"disk.raw\nok: no findings",
    "carriage-return": b"bad.raw\rdisk.raw",
    "bidi": "disk-\u202ewar.raw\u202c".encode(),
    "cdata-end": b"disk]]>.raw",
    "markup": b"<script>alert(1)<\\script>&amp;.raw",
    "backslash": b"disk\\x00.raw",
    "percent": b"disk%2e%00.raw",
    "spaces": b"  disk raw  ",
    "option": b"--help",
    "control": bytes(range(1, 32)),
    "longest": b"d" * 255,
}


def cases() -> Iterator[Case]:
    """All of them."""
    yield from _working_directory()
    yield from _symlinked_image()
    yield from _protocols()
    yield from _existing()
    yield from _absent()
    yield from _special()
    yield from _confined()


def _inside(directory: bytes, files: Files) -> Files:
    return {directory + b"/" + path: file for path, file in files.items()}


def _working_directory() -> Iterator[Case]:
    at: Options = {"image": b"images/" + ADDCOW, "cwd": b"elsewhere", "flags": _CWD}
    here: Files = {b"elsewhere": DIRECTORY}
    good = _inside(b"images", scene(v10(backing=_BASE), base=DISK))
    comment = "the working directory is another one, and empty"
    yield passing("NAM-010", "v10-beside", comment, good | here, **at)
    decoys: Files = {b"elsewhere/disk.raw": File(9 * 65536), b"elsewhere/base.raw": FIFO}
    comment = "files of the same names are in the working directory, and are not the ones that are meant"
    yield passing("NAM-010", "v10-decoys", comment, good | decoys, **at)
    files: Files = {b"images/" + ADDCOW: v10(), b"elsewhere/disk.raw": File(DISK)}
    comment = "the image file is in the working directory only"
    yield failing("NAM-010", "v10-image", comment, files, **(at | {"as_written": ("ENV-001",)}))
    files = {
        b"images/" + ADDCOW: v10(backing=_BASE),
        b"images/disk.raw": File(DISK),
        b"elsewhere/base.raw": File(DISK),
    }
    comment = "the backing file is in the working directory only"
    yield failing("NAM-010", "v10-backing", comment, files, **(at | {"as_written": ("ENV-002",)}))
    for revision in ("v4", "v6"):
        files = {b"images/" + ADDCOW: legacy(revision), b"elsewhere/disk.raw": File(SECTORS)}
        comment = "the image file is in the working directory only"
        more = at | {"revision": revision, "as_written": ("ENV-001",)}
        yield failing("NAM-010", f"{revision}-image", comment, files, **more)
    files = _inside(b"images", {ADDCOW: v10(b"raw/disk.raw"), b"raw/disk.raw": File(DISK)})
    yield passing("NAM-010", "v10-below", "a name with a directory", files | here, **at)
    files = {b"images/" + ADDCOW: v10(b"../raw/disk.raw"), b"raw/disk.raw": File(DISK)}
    yield passing("NAM-010", "v10-above", "a name that leads up and down again", files | here, **at)


def _symlinked_image() -> Iterator[Case]:
    at: Options = {"image": b"links/" + ADDCOW, "flags": ("symlink",)}
    link: Files = {b"links/" + ADDCOW: symlink(b"../images/" + ADDCOW)}
    files: Files = link | {b"images/" + ADDCOW: v10(), b"links/disk.raw": File(DISK)}
    comment = "the image is opened through a symbolic link: its names start at the link's own directory"
    yield passing("NAM-010", "v10-through-link", comment, files, **at)
    files = link | {b"images/" + ADDCOW: v10(), b"images/disk.raw": File(DISK)}
    comment = "the image is opened through a symbolic link, and its image file is beside the link's target"
    yield failing("ENV-001", "v10-beside-link-target", comment, files, **at)
    files = scene(v10(b"link.raw")) | {b"link.raw": symlink(_RAW)}
    comment = "the image file's name is a symbolic link"
    yield passing("ENV-001", "v10-name-is-link", comment, files, flags=("symlink",))
    files = {
        ADDCOW: v10(b"sub/link.raw"),
        b"raw/disk.raw": File(DISK),
        b"sub/link.raw": symlink(b"../raw/disk.raw"),
    }
    comment = "a symbolic link below the image's directory leads up"
    yield passing("ENV-001", "v10-name-is-link-below", comment, files, flags=("symlink",))


def _protocols() -> Iterator[Case]:
    for slug, name in (
        ("nbd", b"nbd:localhost:10809"),
        ("http", b"http://example.org/base.raw"),
        ("file", b"file:base.raw"),
        ("json", b'json:{"driver":"raw"}'),
        ("colon", b":base.raw"),
        ("drive", b"C:base.raw"),
    ):
        files = scene(v10(backing=name), base=DISK)
        comment = f"backing file {name.decode()}"
        yield failing("NAM-011", f"v10-{slug}", comment, files, flags=("protocol",))
    for revision in ("v4", "v6"):
        files = scene(legacy(revision, backing=b"nbd:localhost:10809"), SECTORS)
        yield failing(
            "NAM-011",
            f"{revision}-nbd",
            "backing file nbd:localhost:10809",
            files,
            revision=revision,
            flags=("protocol",),
        )
    for slug, name in (("dot", b"./a:base.raw"), ("directory", b"sub/a:base.raw")):
        files = scene(v10(backing=name)) | {name.removeprefix(b"./"): File(DISK)}
        comment = "the colon comes after a slash: a local path"
        yield passing("NAM-011", f"v10-colon-after-{slug}", comment, files, flags=("boundary", "protocol"))


def _existing() -> Iterator[Case]:
    for slug, name in _HOSTILE.items():
        stored = b"./" + name if b":" in name else name
        files: Files = {ADDCOW: v10(stored), name: File(DISK)}
        comment = "a file of that name exists; the name is safe to open, not to show"
        yield passing("ENV-001", f"v10-{slug}", comment, files, flags=("hostile-name",))
        files = scene(v10(backing=stored)) | {name: File(DISK)}
        yield passing("ENV-002", f"v10-{slug}", comment, files, flags=("hostile-name",))
    for revision in ("v4", "v6"):
        header = legacy(revision, _HOSTILE["not-utf-8"], _HOSTILE["bidi"])
        files = {ADDCOW: header, _HOSTILE["not-utf-8"]: File(SECTORS), _HOSTILE["bidi"]: File(SECTORS)}
        comment = "names that are not UTF-8, or change the direction of text"
        yield passing(
            "ENV-001", f"{revision}-hostile", comment, files, revision=revision, flags=("hostile-name",)
        )
    yield passing("ENV-001", "v10", "the image file exists", scene(v10()))
    yield passing("ENV-002", "v10", "the backing file exists", scene(v10(backing=_BASE), base=DISK))
    yield passing("ENV-003", "v10", "two regular files", scene(v10(backing=_BASE), base=DISK))


def _absent() -> Iterator[Case]:
    for revision in ("v4", "v6", "v10"):
        header = v10() if revision == "v10" else legacy(revision)
        comment = "the image file does not exist"
        yield failing("ENV-001", f"{revision}-absent", comment, {ADDCOW: header}, revision=revision)
        header = v10(backing=_BASE) if revision == "v10" else legacy(revision, backing=_BASE)
        files = scene(header, DISK if revision == "v10" else SECTORS)
        comment = "the backing file does not exist"
        yield failing("ENV-002", f"{revision}-absent", comment, files, revision=revision)
    for slug, name in _HOSTILE.items():
        stored = b"./" + name if b":" in name else name
        comment = "no file has that name; the report shows it, and must not be broken by it"
        yield failing(
            "ENV-001", f"v10-absent-{slug}", comment, {ADDCOW: v10(stored)}, flags=("hostile-name",)
        )
    places: tuple[tuple[str, bytes, Files], ...] = (
        ("dangling-link", b"link.raw", {b"link.raw": symlink(b"nothing.raw")}),
        ("link-to-itself", b"link.raw", {b"link.raw": symlink(b"link.raw")}),
        ("below-a-file", b"file.raw/disk.raw", {b"file.raw": File(DISK)}),
        ("component-256", b"d" * 256, {}),
        ("trailing-slash", b"file.raw/", {b"file.raw": File(DISK)}),
    )
    for slug, name, extra in places:
        files = extra | {ADDCOW: v10(name)}
        yield failing("ENV-001", f"v10-{slug}", "the name leads to nothing", files)
        files = scene(v10(backing=name)) | extra
        yield failing("ENV-002", f"v10-{slug}", "the name leads to nothing", files)


def _special() -> Iterator[Case]:
    below: dict[str, tuple[bytes, Files]] = {
        "directory": (b"special", {b"special": DIRECTORY}),
        "fifo": (b"special", {b"special": FIFO}),
        "link-to-fifo": (b"link", {b"special": FIFO, b"link": symlink(b"special")}),
        "own-directory": (b".", {}),
    }
    system: dict[str, tuple[bytes, Files]] = {
        "null": (b"/dev/null", {}),
        "zero": (b"/dev/zero", {}),
        "proc": (b"/proc/self/status", {}),
        "root": (b"/", {}),
    }
    for slug, (name, extra) in (below | system).items():
        flags = ("absolute-name", "special-file") if slug in system else ("special-file",)
        files: Files = extra | {ADDCOW: v10(name)}
        yield failing("ENV-003", f"v10-image-{slug}", "the image file is no regular file", files, flags=flags)
        files = scene(v10(backing=name)) | extra
        yield failing(
            "ENV-003", f"v10-backing-{slug}", "the backing file is no regular file", files, flags=flags
        )
    for revision in ("v4", "v6"):
        files = scene(legacy(revision, backing=b"special"), SECTORS) | {b"special": FIFO}
        comment = "a reader of the backing file would wait for ever"
        yield failing(
            "ENV-003", f"{revision}-backing-fifo", comment, files, revision=revision, flags=("special-file",)
        )


def _confined() -> Iterator[Case]:
    at: Options = {"image": b"images/" + ADDCOW, "confine": b"images", "flags": ("confined",)}
    disk: Files = {b"images/disk.raw": File(DISK)}

    def files(name: bytes, extra: Files) -> Files:
        return extra | {b"images/" + ADDCOW: v10(name)}

    outside: Files = {b"outside/disk.raw": File(DISK)}
    inside: tuple[tuple[str, bytes, Files, str], ...] = (
        ("beside", _RAW, disk, "beside the image"),
        ("below", b"sub/disk.raw", {b"images/sub/disk.raw": File(DISK)}, "in a directory below"),
        ("out-and-in", b"../images/disk.raw", disk, "out of the directory and in again"),
        ("link-inside", b"link", disk | {b"images/link": symlink(_RAW)}, "a link that stays inside"),
        (
            "link-from-outside",
            b"../link",
            disk | {b"link": symlink(b"images/disk.raw")},
            "a link that leads in",
        ),
        (
            "dots-in-name",
            b"..disk.raw",
            {b"images/..disk.raw": File(DISK)},
            "a name that begins with two dots",
        ),
    )
    for slug, name, extra, comment in inside:
        yield passing("ENV-004", f"v10-{slug}", comment, files(name, extra), **at)
    link_out, way_out = symlink(b"../outside/disk.raw"), symlink(b"../outside")
    escaping: tuple[tuple[str, bytes, Files, str], ...] = (
        ("parent", b"../disk.raw", {_RAW: File(DISK)}, "in the directory above"),
        ("elsewhere", b"../outside/disk.raw", outside, "in another directory"),
        (
            "sibling",
            b"../images-2/disk.raw",
            {b"images-2/disk.raw": File(DISK)},
            "a name with the same beginning",
        ),
        ("link-out", b"link", outside | {b"images/link": link_out}, "a symbolic link that leads out"),
        ("link-to-directory", b"link/disk.raw", outside | {b"images/link": way_out}, "a link on the way"),
        ("absent", b"../nothing.raw", {}, "outside, and absent"),
        ("absolute", b"/dev/null", {}, "an absolute name outside"),
        ("absolute-absent", b"/nonexistent/disk.raw", {}, "an absolute name outside, absent"),
        ("fifo", b"../special", {b"special": FIFO}, "a FIFO outside, which is not even looked at"),
    )
    for slug, name, extra, comment in escaping:
        yield failing("ENV-004", f"v10-{slug}", comment, files(name, extra), **at)
    header = v10(backing=b"../base.raw")
    triple = disk | {b"images/" + ADDCOW: header, _BASE: File(DISK)}
    yield failing("ENV-004", "v10-backing", "the backing file is outside", triple, **at)
    inner = v10(b"../disk2.raw")
    chain = disk | {b"images/" + ADDCOW: v10(backing=b"inner", features=1), b"images/inner": inner}
    chain[b"disk2.raw"] = File(DISK)
    more = at | {"flags": ("confined", "probe")}
    comment = "the backing file is inside, the image file that it names is outside"
    yield failing("ENV-004", "v10-below-the-chain", comment, chain, also=("CHN-003",), **more)
    absent = disk | {b"images/" + ADDCOW: v10(backing=_BASE)}
    yield failing("ENV-002", "v10-confined-absent", "inside, and absent", absent, **at)
    for revision in ("v4", "v6"):
        old: Files = {b"images/" + ADDCOW: legacy(revision, b"../disk.raw"), _RAW: File(SECTORS)}
        more = at | {"revision": revision}
        yield failing("ENV-004", f"{revision}-parent", "in the directory above", old, **more)
