"""Lengths of image and backing file against each other (ACW-SIZ-001 to 005)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vectorgen._cases import Case, failing, passing, scene
from vectorgen._images import CLUSTER, DISK, SECTOR, SECTORS, legacy, qcow2, v10

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["cases"]

_MUST = ("must-accept",)


def cases() -> Iterator[Case]:
    """All of them."""
    yield from _against_backing()
    yield from _short_unit()
    yield from _whole_sectors()
    yield from _equal_as_written()


def _against_backing() -> Iterator[Case]:
    for length in (0, SECTOR, DISK - CLUSTER, DISK - 1, DISK):
        comment = f"an image file of {DISK} bytes over a backing file of {length}"
        files = scene(v10(backing=b"base.raw"), base=length)
        yield passing("SIZ-001", f"v10-backing-{length}", comment, files, flags=_MUST)
    for length in (DISK + 1, DISK + SECTOR, 4 * DISK):
        comment = f"an image file of {DISK} bytes over a backing file of {length}"
        files = scene(v10(backing=b"base.raw"), base=length)
        yield passing("SIZ-002", f"v10-backing-{length}", comment, files, flags=_MUST)
    files = scene(v10(size=0, backing=b"base.raw"), 0, base=DISK)
    yield passing("SIZ-002", "v10-image-0", "an empty image file over a backing file", files, flags=_MUST)
    files = scene(legacy("v4", backing=b"base.raw"), SECTORS, base=SECTOR)
    comment = "v4: an image file that is longer than its backing file"
    yield passing("SIZ-001", "v4-backing-512", comment, files, revision="v4", flags=_MUST)
    files = scene(legacy("v6", backing=b"base.raw"), SECTORS, base=SECTOR)
    comment = "v6: its text asks for equal lengths, the review struck that"
    yield passing(
        "SIZ-001", "v6-backing-512", comment, files, revision="v6", flags=_MUST, as_written=("SIZ-005",)
    )


def _short_unit() -> Iterator[Case]:
    for size in (SECTOR, CLUSTER - SECTOR, CLUSTER + SECTOR, 8 * CLUSTER + SECTOR):
        comment = f"a disk of {size} bytes: its last cluster is short, and has a bit that is set"
        bits = bytes((size // CLUSTER) // 8) + bytes([1 << (size // CLUSTER) % 8])
        full: tuple[str, ...] = ("BMP-004",) if size < CLUSTER else ()
        files = scene(v10(size=size, bits=bits), size)
        yield passing("SIZ-003", f"v10-{size}", comment, files, also=full, flags=_MUST)


def _whole_sectors() -> Iterator[Case]:
    for size in (0, SECTOR, CLUSTER + SECTOR):
        files = scene(v10(size=size), size)
        yield passing("SIZ-004", f"v10-{size}", f"an image file of {size} bytes", files, flags=("boundary",))
    for size in (1, 511, 513, CLUSTER - 1, CLUSTER + 1):
        files = scene(v10(size=size), size)
        comment = f"an image file of {size} bytes: no whole sectors"
        yield failing("SIZ-004", f"v10-{size}", comment, files, flags=("boundary",))


def _equal_as_written() -> Iterator[Case]:
    header = legacy("v6", backing=b"base.raw")
    yield passing("SIZ-005", "v6-equal", "equal lengths", scene(header, SECTORS, base=SECTORS), revision="v6")
    for length in (0, SECTORS - 1, SECTORS + 1):
        comment = f"an image file of {SECTORS} bytes over a backing file of {length}"
        files = scene(header, SECTORS, base=length)
        yield failing("SIZ-005", f"v6-backing-{length}", comment, files, revision="v6", flags=("boundary",))
    files = scene(legacy("v6"), SECTORS)
    yield passing("SIZ-005", "v6-no-backing", "no backing file to compare with", files, revision="v6")
    files = scene(legacy("v4", backing=b"base.raw"), SECTORS, base=SECTOR)
    yield passing("SIZ-005", "v4-shorter", "v4 asks nothing of the kind", files, revision="v4")
    for size, build, slug in ((SECTORS, passing, "equal"), (64 * SECTOR, failing, "longer")):
        files = scene(header, SECTORS, base=qcow2(size=size))
        comment = "the size of a qcow2 backing file is that of its disk, not of the file"
        yield build(
            "SIZ-005", f"v6-qcow2-{slug}", comment, files, also=("CHN-003",), revision="v6", flags=("probe",)
        )
