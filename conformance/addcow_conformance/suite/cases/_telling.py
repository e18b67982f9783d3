"""What an image tells of itself, and what it takes of memory."""

from __future__ import annotations

import tracemalloc
from typing import TYPE_CHECKING, Any

from addcow_conformance.programs import Unsupported, Violation
from addcow_conformance.suite._case import Bench, Case
from addcow_conformance.suite._made import make, open_made
from addcow_spec.geometry import Geometry
from addcow_spec.model import Revision

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["cases"]

_MIB = 1 << 20
# A disk whose bitmap is 64 times what its opener may take.
_BITMAP, _ENOUGH = 1 << 31, 32 * _MIB
# Writes so far apart that each has a page of the bitmap of its own.
_WRITES = 4096


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
            "a disk whose bitmap is 2 GiB takes no more memory than a small one",
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
    unit = Geometry(bench.revision, 0).unit_size
    size = min(_BITMAP * 8 * unit, 1 << 43)
    step = size // _WRITES // unit * unit
    path = make(bench, size, 0)
    if not bench.external:
        tracemalloc.start()
    try:
        image = open_made(bench, path, writable=True)
        try:
            for number in range(_WRITES):
                image.write(number * step, b"w")
            image.flush()
            for number in range(0, _WRITES, 64):
                if image.read(number * step, 1) != b"w":
                    raise Violation("ACW-DYN-005", f"what was written at {number * step} is gone")
            taken = _taken(bench)
        finally:
            image.close()
    finally:
        tracemalloc.stop()
    if taken > _ENOUGH:
        raise Violation("ACW-DYN-008", f"{taken // _MIB} MiB are taken, for a cache of 1 MiB")


def _taken(bench: Bench) -> int:
    """Bytes at most since the image was opened; of a process, what it has beyond its program."""
    if not bench.external:
        return tracemalloc.get_traced_memory()[1]
    peaks = [_peak(number) for number in getattr(bench.target, "processes", ())]
    if not peaks:
        raise Unsupported("the adapter does not tell the target's processes")
    return max(peaks)


def _peak(process: int) -> int:
    """Bytes of memory that are the process's own."""
    with open(f"/proc/{process}/status", "rb") as file:
        lines = dict(line.split(b":", 1) for line in file.read().splitlines() if b":" in line)
    return int(lines[b"RssAnon"].split()[0]) << 10
