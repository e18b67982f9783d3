"""What an image tells of itself, and what it takes of memory."""

from __future__ import annotations

import os
import tracemalloc
from typing import TYPE_CHECKING, Any

from addcow_conformance.programs import Unsupported, Violation
from addcow_conformance.suite._case import Bench, Case
from addcow_conformance.suite._made import make, open_made
from addcow_spec.geometry import SECTOR_SIZE, Geometry
from addcow_spec.model import Revision

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["cases"]

_MIB = 1 << 20
# Sizes of disks, the largest one first that the file system takes; the bitmaps have 2 GiB in v4 and v6, and
# 2 GiB down to 32 MiB in v10.
_SIZES = {
    Revision.V4: (1 << 43,),
    Revision.V6: (1 << 43,),
    Revision.V10: (1 << 50, 1 << 47, (1 << 44) - _MIB),
}
# What is taken more than for a small disk: 1 MiB of it is the cache that was asked for.
_ENOUGH = 24 * _MIB
# Writes so far apart that each has a page of the bitmap of its own.
_WRITES = 8192


def cases() -> Iterator[Case]:
    """What is told, and what is taken, for each revision."""
    for revision in Revision:
        yield Case(
            "ACW-DYN-010",
            revision,
            "information",
            "size, revision and names are told as they are",
            _information,
        )
        yield Case(
            "ACW-DYN-008",
            revision,
            "memory-on-a-huge-disk",
            "a disk whose bitmap is huge takes no more memory than a small one",
            _memory,
        )


def _information(bench: Bench) -> None:
    bench.need("info")
    unit = Geometry(bench.revision, 0).unit_size
    for below in (2 * unit, 0):
        image = open_made(bench, make(bench, 4 * unit, below), writable=False)
        try:
            told = image.info() if hasattr(image, "info") else _attributes(image)
        finally:
            image.close()
        wanted = {
            "size": 4 * unit,
            "revision": str(bench.revision),
            "image_file": "disk.raw",
            "backing_file": "base.raw" if below else None,
        }
        for name, value in wanted.items():
            if told.get(name) != value:
                raise Violation("ACW-DYN-010", f"{name} is told as {told.get(name)!r}, and not {value!r}")


def _attributes(image: Any) -> dict[str, Any]:  # noqa: ANN401 - see above
    """What a module's image tells in attributes."""
    names = [getattr(image, name, None) for name in ("image_file", "backing_file")]
    image_file, backing_file = (name.decode() if isinstance(name, bytes) else name for name in names)
    revision = str(getattr(image, "revision", ""))
    return {
        "size": image.size,
        "revision": revision,
        "image_file": image_file,
        "backing_file": backing_file or None,
    }


def _memory(bench: Bench) -> None:
    bench.need("write")
    if not bench.external:
        tracemalloc.start()
    try:
        small = _taken(bench, 1 << 20)
        taken = next(filter(None, (_taken(bench, size) for size in _SIZES[bench.revision])), 0)
    finally:
        tracemalloc.stop()
    if not taken:
        raise Unsupported("no file system here takes files of 16 TiB")
    if taken - small > _ENOUGH:
        raise Violation("ACW-DYN-008", f"{(taken - small) // _MIB} MiB are taken, for a cache of 1 MiB")


def _taken(bench: Bench, size: int) -> int:
    """Bytes of memory that are held after writes all over a disk; 0 where it cannot be made.

    Of a module these are the most that were held at a time, of a process those that are its own.
    """
    try:
        path = make(bench, size, 0)
    except OSError:
        return 0
    step = max(size // _WRITES // SECTOR_SIZE, 1) * SECTOR_SIZE
    tracemalloc.reset_peak()
    image = open_made(bench, path, writable=True)
    try:
        leaders = bench.holders()
        places = range(0, size, step)
        for offset in places:
            image.write(offset, b"w")
        image.flush()
        for offset in places[::64]:
            if image.read(offset, 1) != b"w":
                raise Violation("ACW-DYN-005", f"what was written at {offset} is gone")
        if not bench.external:
            return tracemalloc.get_traced_memory()[1]
        return sum(_held(number, leaders) for number in _processes())
    finally:
        image.close()


def _processes() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _held(process: int, leaders: frozenset[int]) -> int:
    """Bytes of memory that are a process's own; 0 for one of another group, and one that has ended since."""
    try:
        if os.getpgid(process) not in leaders:
            return 0
        with open(f"/proc/{process}/status", "rb") as file:
            lines = dict(line.split(b":", 1) for line in file.read().splitlines() if b":" in line)
    except (ProcessLookupError, FileNotFoundError):
        return 0
    return int(lines.get(b"RssAnon", b"0").split()[0]) << 10
