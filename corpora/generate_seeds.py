"""Make the seeds of the fuzz targets, or with ``--check`` tell whether they are what this program makes.

Usage: ``python corpora/generate_seeds.py [--check]``. Exit status 1 where ``--check`` finds a difference.
What `qemu-img` made lies beside them, with names that begin with ``qemu-``; `record_qcow2.py` makes that.
"""

from __future__ import annotations

import argparse
import struct
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from addcow_fuzz._files import InputFiles
from addcow_fuzz._packing import name_of, unpack
from addcow_fuzz.templates import TEMPLATES, qcow2

if TYPE_CHECKING:
    from collections.abc import Iterator

SEEDS = Path(__file__).parent / "seeds"

_FILES = ("image", "chain", "repair")
_HEADERS = ("header", "roundtrip")
# Longer ones slow down all that they are mutated to.
_LONGEST, _LONGEST_HEADER = 8 << 10, 4096

_RECIPES = {
    "plain": b"\0a x|b|c\nf b\nf c",
    "links": b"\2a sub/x|y|../sub/z\nl sub/y|../b\nf b\nh sub/z|b\nl sub/z|../sub/w\nf sub/w",
    "loop": b"\0a x|b|l\nf b\nl l|m\nl m|l",
    "stack": b"\1a x|b|sub/y\nf b\na sub/y|c|../z\nf sub/c\nf z",
    "cycle": b"\0a x|b|l\nf b\nl l|x",
    "odd": b"\4a x|d|p\nd d\np p\nf sub/b",
    "cwd": b"\4a x|b\nf sub/b",
    "outside": b"\2a sub/x|b|../c\nf sub/b\nf c",
}


def _operations(head: bytes, *operations: tuple[int, int, int, int]) -> bytes:
    return head + b"".join(struct.pack("<BBHH", *operation) for operation in operations)


_CACHES = {
    "one-page": _operations(b"\0\3\0\0", (0, 0, 5, 9), (2, 0, 0, 40000), (5, 0, 0, 0), (4, 0, 0, 0)),
    "evicting": _operations(b"\5\1\0\7", *((0, page, 32760, 16) for page in range(6)), (2, 0, 0, 65535)),
    "failing": _operations(b"\5\0\1\1", (0, 1, 0, 7), (6, 0, 2, 1), (0, 2, 0, 7), (5, 0, 0, 0), (0, 3, 1, 1)),
}


def seeds() -> Iterator[tuple[str, bytes]]:
    """Path below the directory of seeds, and bytes, of each."""
    for template in TEMPLATES.values():
        if len(template.data) > _LONGEST:
            continue
        for target in _FILES:
            yield f"{target}/{template.name}", template.data
        # In one group of formats, as all of them take long.
        group = len(template.name) % 3 + 1
        yield f"report/{template.name}", bytes([template.data[0] | group << 6]) + template.data[1:]
        if not template.refused:
            files = InputFiles(unpack(template.data).records)
            header = files.read(name_of(0), 0, min(files.length(name_of(0)), _LONGEST_HEADER))
            for target in _HEADERS:
                yield f"{target}/{template.name}", header
    for version in (2, 3):
        for backing in (b"", name_of(1)):
            files = InputFiles(qcow2(0, version=version, backing=backing))
            data = files.read(name_of(0), 0, files.length(name_of(0)))
            name = f"v{version}{'-backed' if backing else ''}"
            yield f"qcow2/{name}", data
            for target in _HEADERS:
                yield f"{target}/qcow2-{name}", data[:512]
    yield from ((f"resolve/{name}", data) for name, data in _RECIPES.items())
    yield from ((f"cache/{name}", data) for name, data in _CACHES.items())


def main() -> int:
    """Run the program; returns its exit status."""
    parser = argparse.ArgumentParser(description="Make the seeds in corpora/seeds.")
    parser.add_argument("--check", action="store_true", help="change nothing; fail where the files differ")
    check = parser.parse_args().check
    made = dict(seeds())
    targets = {path.partition("/")[0] for path in made}
    there = {
        f"{target}/{path.name}": path.read_bytes()
        for target in targets
        for path in (SEEDS / target).glob("*")
        if not path.name.startswith("qemu-")
    }
    differing = sorted(path for path in made.keys() | there.keys() if made.get(path) != there.get(path))
    for path in differing:
        if check:
            print(f"{path}: not what corpora/generate_seeds.py makes")
        elif path in made:
            (SEEDS / path).parent.mkdir(parents=True, exist_ok=True)
            (SEEDS / path).write_bytes(made[path])
        else:
            (SEEDS / path).unlink()
    print(f"{len(made)} seeds, {len(differing)} {'differ' if check else 'written or removed'}")
    return 1 if check and differing else 0


if __name__ == "__main__":
    sys.exit(main())
