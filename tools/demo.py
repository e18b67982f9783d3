"""Shows addcow-check at work: on images made here, good and broken, or on one of yours.

Usage: ``demo.py [IMAGE]``, most simply as ``make demo`` or ``make demo IMAGE=path``.

The images lie over a file of this machine that is named, not copied. Exit status 0 where each image had the
answer that it should have; with IMAGE, the status of addcow-check.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from addcow_spec.codec import build_header
from addcow_spec.geometry import Geometry
from addcow_spec.model import Features, HeaderV4, HeaderV6, HeaderV10, Revision

if TYPE_CHECKING:
    from addcow_spec.model import Header

CHECK = Path(sys.executable).with_name("addcow-check")
STATUSES = {
    0: "no error found",
    1: "the check could not be completed",
    2: "the image has errors",
    63: "not an add-cow image",
    64: "wrong usage",
}

BACKING = os.fsencode(Path(sys.executable).resolve())
IMAGE = b"disk.raw"
OTHER_IMAGE = b"other.raw"
# Larger than the backing file; the last cluster is short, and seven bits of the last byte stand for nothing.
DISK = Geometry(Revision.V10, (100 << 20) + 512)
# The disk of which a padded v4 file and an exact v6 file have the same length.
SMALL_IMAGE = b"small.raw"
SMALL = Geometry(Revision.V6, 4 << 20)


class Sample(NamedTuple):
    """An image to check: its name, what it shows, the exit status that it must give, and its bytes."""

    name: str
    title: str
    status: int
    content: bytes


def v10(
    *,
    backing: bytes = BACKING,
    image: bytes = IMAGE,
    features: int = Features.BACKING_FILE | Features.BACKING_FORMAT_NO_PROBE,
) -> bytes:
    """A v10 header; the names follow one another at the start of the reserved field."""
    start = HeaderV10.RESERVED_OFFSET
    names = backing + image
    return build_header(
        HeaderV10(
            backing_filename_offset=start if backing else 0,
            backing_filename_size=len(backing),
            image_filename_offset=start + len(backing),
            image_filename_size=len(image),
            features=Features(features),
            reserved=names.ljust(HeaderV10.LENGTH - start, b"\0"),
        )
    )


def legacy(revision: Revision, *, backing: bytes = BACKING, image: bytes = IMAGE, size: int) -> bytes:
    """A header of v4 or v6."""
    names = (backing.ljust(1024, b"\0"), image.ljust(1024, b"\0"))
    header: Header = HeaderV4(*names, size)
    if revision is Revision.V6:
        header = HeaderV6(*names, size, bytes(HeaderV6.LENGTH - HeaderV4.LENGTH))
    return build_header(header)


def bitmap(geometry: Geometry, every: int) -> bytes:
    """A bitmap with the bit of each ``every``-th unit set, the bits of no unit clear."""
    bits = bytearray(geometry.bitmap_size)
    for unit in range(every - 1, geometry.units, every):
        bits[unit // 8] |= 1 << unit % 8
    return bytes(bits)


def samples() -> list[Sample]:
    """The images, good ones first."""
    some, every = bitmap(DISK, 3), bitmap(DISK, 1)
    sectors = bitmap(Geometry(Revision.V6, DISK.virtual_size), 5)
    size = DISK.virtual_size
    padded = legacy(Revision.V4, backing=b"", image=SMALL_IMAGE, size=SMALL.virtual_size)
    probed = Features.BACKING_FILE
    there = v10(backing=b"back.add-cow", features=probed)
    back = v10(backing=b"cycle.add-cow", image=OTHER_IMAGE, features=probed)
    hostile = b"../\x1b[2J\x1b[31mnothing here\n"
    return [
        Sample("v10.add-cow", "revision v10, a third of the disk written", 0, v10() + some),
        Sample("v6.add-cow", "revision v6, one bit a sector", 0, legacy(Revision.V6, size=size) + sectors),
        Sample("v4.add-cow", "revision v4, the shorter header", 0, legacy(Revision.V4, size=size) + sectors),
        Sample("thick.add-cow", "every cluster written: the raw image is the disk", 0, v10() + every),
        Sample(
            "ambiguous.add-cow",
            "v4 padded to whole sectors, or v6: the length fits both",
            0,
            padded.ljust(SMALL.bitmap_end, b"\0"),
        ),
        Sample("short-bitmap.add-cow", "the file was cut short", 2, v10() + some[:-4]),
        Sample(
            "flags.add-cow", "feature bits: unknown, and at odds with the names", 2, v10(features=0x6) + some
        ),
        Sample(
            "trailing-bits.add-cow",
            "a bit beyond the end of the disk, and bytes beyond the end of the bitmap",
            2,
            v10() + some[:-1] + bytes([some[-1] | DISK.trailing_mask]) + b"left over",
        ),
        Sample("missing.add-cow", "the image file is gone", 2, v10(image=b"gone.raw") + some),
        Sample("cycle.add-cow", "a backing file that leads back", 2, there + some),
        Sample("back.add-cow", "the other half of the cycle", 2, back + some),
        Sample(
            "version.add-cow", "a version from the future", 2, b"ADD_COW\xff\x02\0\0\0".ljust(4096, b"\0")
        ),
        Sample(
            "hostile.add-cow", "a name that would like to own the terminal", 2, v10(backing=hostile) + some
        ),
        Sample("letter.txt", "no add-cow file at all", 63, b"Dear reader, this is a letter.\n"),
    ]


def check(image: str) -> int:
    """The exit status of addcow-check, whose report goes straight to the terminal."""
    sys.stdout.flush()
    return subprocess.run([CHECK, "--", image], check=False).returncode


def demonstrate() -> int:
    """Make the samples, check each, and say whether all went as it should."""
    made = samples()
    wrong = []
    with tempfile.TemporaryDirectory(prefix="add-cow-demo-") as directory:
        os.chdir(directory)
        for name, geometry in ((IMAGE, DISK), (OTHER_IMAGE, DISK), (SMALL_IMAGE, SMALL)):
            Path(os.fsdecode(name)).touch()
            os.truncate(name, geometry.virtual_size)
        for sample in made:
            Path(sample.name).write_bytes(sample.content)
        for sample in made:
            print(f"\n=== {sample.name}: {sample.title}")
            status = check(sample.name)
            expected = "as it should be" if status == sample.status else f"but {sample.status} was expected"
            print(f"--- exit status {status} ({STATUSES.get(status, 'unknown')}), {expected}")
            if status != sample.status:
                wrong.append(sample.name)
        os.chdir("/")
    print()
    if wrong:
        print(f"The demonstration failed: unexpected answers for {', '.join(wrong)}.")
        return 1
    print(
        f"{len(made)} images checked, each with the answer that it should have. Yours: make demo IMAGE=path"
    )
    return 0


def main() -> int:
    """Run the demonstration, or check the one image that the command line names."""
    match sys.argv[1:]:
        case []:
            return demonstrate()
        case [image]:
            status = check(image)
            print(f"--- addcow-check: exit status {status} ({STATUSES.get(status, 'unknown')})")
            return status
        case _:
            print("usage: demo.py [IMAGE]", file=sys.stderr)
            return 64


if __name__ == "__main__":
    sys.exit(main())
