"""Feature bits, and the probing that NO_PROBE forbids (ACW-FEA-001 to 003, ACW-CHN-003)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vectorgen._cases import Case, failing, passing, scene
from vectorgen._files import File
from vectorgen._images import DISK, SECTORS, legacy, qcow2, v10

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["cases"]

_FORMATS = {
    "vmdk": (0, b"KDMV"),
    "vhdx": (0, b"vhdxfile"),
    "qed": (0, b"QED\0"),
    "vdi": (0x40, b"\x7f\x10\xda\xbe"),
    "luks": (0, b"LUKS\xba\xbe"),
    "vhd": (0, b"conectix"),
    "parallels": (0, b"WithoutFreeSpace"),
    "parallels-extended": (0, b"WithouFreSpacExt"),
}
_NEARLY = {
    "qcow2-3-bytes": File(3, b"QFI"),
    "qcow2-at-1": File(DISK).write(1, b"QFI\xfb"),
    "qcow2-other-byte": File(DISK, b"QFI\xfa"),
    "add-cow-7-bytes": File(7, b"ADD_COW"),
    "vdi-at-3f": File(DISK).write(0x3F, b"\x7f\x10\xda\xbe"),
    "vdi-3-bytes": File(0x43).write(0x40, b"\x7f\x10\xda"),
    "luks-5-bytes": File(5, b"LUKS\xba"),
    "vhdx-7-bytes": File(7, b"vhdxfil"),
    "empty": File(0),
    "zeros": File(DISK),
}


def cases() -> Iterator[Case]:
    """All of them."""
    yield from _bits()
    yield from _probed()


def _bits() -> Iterator[Case]:
    backed = b"base.raw"
    for features, backing, name in ((0, b"", "none"), (1, backed, "backing"), (3, backed, "no-probe")):
        files = scene(v10(backing=backing, features=features), base=DISK)
        for rule in ("FEA-001", "FEA-002", "FEA-003"):
            yield passing(rule, f"v10-{name}", f"features 0x{features:x}", files)
    yield failing("FEA-001", "v10-set", "BACKING_FILE without a backing file", scene(v10(features=1)))
    files = scene(v10(features=3))
    yield failing("FEA-001", "v10-both-set", "BACKING_FILE and NO_PROBE without a backing file", files)
    files = scene(v10(backing=backed, features=0), base=DISK)
    yield failing("FEA-001", "v10-clear", "a backing file without BACKING_FILE", files)
    files = scene(v10(features=2))
    yield failing("FEA-002", "v10-alone", "NO_PROBE without BACKING_FILE and without a backing file", files)
    files = scene(v10(backing=backed, features=2), base=DISK)
    comment = "NO_PROBE without BACKING_FILE, though there is a backing file"
    yield failing("FEA-002", "v10-with-backing", comment, files, also=("FEA-001",))
    for bit in (2, 3, 7, 8, 31, 32, 62, 63):
        files = scene(v10(features=1 << bit))
        yield failing("FEA-003", f"v10-bit-{bit}", f"bit {bit} alone", files, flags=("unknown-feature",))
    files = scene(v10(backing=backed, features=(1 << 64) - 1), base=DISK)
    yield failing("FEA-003", "v10-all-bits", "every bit", files, flags=("unknown-feature",))


def _probed() -> Iterator[Case]:
    inner = v10(image=b"disk2.raw")
    contents: dict[str, File] = {
        "qcow2": qcow2(),
        "add-cow": inner,
        **{name: File(DISK).write(offset, magic) for name, (offset, magic) in _FORMATS.items()},
    }
    for name, base in contents.items():
        comment = f"the backing file's content is that of a {name} file, and the header leaves it to a probe"
        files = scene(v10(backing=b"base.raw", features=1), base=base) | {b"disk2.raw": File(DISK)}
        yield failing("CHN-003", f"v10-{name}", comment, files, flags=("probe",))
        files = scene(v10(backing=b"base.raw", features=3), base=base) | {b"disk2.raw": File(DISK)}
        comment = f"NO_PROBE: the backing file is raw, though its content is that of a {name} file"
        yield passing("CHN-003", f"v10-{name}-no-probe", comment, files)
    for name, base in _NEARLY.items():
        files = scene(v10(backing=b"base.raw", features=1), base=base)
        comment = "the backing file's content is that of no known format"
        yield passing("CHN-003", f"v10-{name}", comment, files, flags=("boundary",))
    for revision in ("v4", "v6"):
        header = legacy(revision, backing=b"base.raw", size=64 * 512)
        files = scene(header, 64 * 512, base=qcow2())
        comment = f"{revision} has no way to state the format of a backing file"
        yield failing("CHN-003", f"{revision}-qcow2", comment, files, revision=revision, flags=("probe",))
        files = scene(legacy(revision, backing=b"base.raw"), SECTORS, base=SECTORS)
        yield passing("CHN-003", f"{revision}-raw", "a raw backing file", files, revision=revision)
