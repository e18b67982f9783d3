"""Names in an image: where they lead from, whatever directory the opener is in."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from addcow_conformance.programs import (
    Backing,
    BackingKind,
    Disk,
    Flush,
    Read,
    Reopen,
    Via,
    Violation,
    Write,
)
from addcow_conformance.suite._case import Bench, Case
from addcow_conformance.suite._made import create, open_made, put
from addcow_spec.errors import AdapterError, AddCowError
from addcow_spec.geometry import SECTOR_SIZE
from addcow_spec.model import Revision

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["cases"]

_RULE = "ACW-NAM-010"
_SIZE = 4 * SECTOR_SIZE


def cases() -> Iterator[Case]:
    """The ways to an image, for each revision."""
    for revision in Revision:
        yield Case(
            _RULE, revision, "from-another-directory", "opened by a relative path, from elsewhere", _directory
        )
        yield Case(_RULE, revision, "through-a-symlink", "opened through a symbolic link beside it", _symlink)
        yield Case(
            _RULE,
            revision,
            "decoys-in-the-working-directory",
            "files of the same names where the opener is are not taken",
            _decoys,
        )


def _via(bench: Bench, via: Via) -> None:
    operations = (
        Write(5, 10),
        Reopen(via=via),
        Read(0, _SIZE),
        Write(700, 9),
        Flush(),
        Reopen(writable=False, via=via),
    )
    bench.run(Disk(bench.revision, _SIZE, Backing(BackingKind.RAW, 3 * SECTOR_SIZE)), operations)


def _directory(bench: Bench) -> None:
    if bench.external:
        bench.need("directory")
    _via(bench, Via.DIRECTORY)


def _symlink(bench: Bench) -> None:
    _via(bench, Via.SYMLINK)


def _decoys(bench: Bench) -> None:
    if bench.external:
        bench.need("directory")
    root = bench.folder()
    here, there = os.path.join(root, b"here"), os.path.join(root, b"there")
    for directory, byte in ((there, b"r"), (here, b"w")):
        os.mkdir(directory)
        put(os.path.join(directory, b"disk.raw"), byte * _SIZE)
        put(os.path.join(directory, b"base.raw"), byte * 3 * SECTOR_SIZE)
    put(os.path.join(there, b"disk.add-cow"), b"")
    relative = b"../there/disk.add-cow"
    with bench.inside(here):
        error = create(bench, relative, b"disk.raw", b"base.raw")
        if error is not None:
            raise Violation(_RULE, f"files beside the image are not found: {error}")
        try:
            image = open_made(bench, relative, writable=False)
            try:
                data = image.read(0, _SIZE)
            finally:
                image.close()
        except AdapterError:
            raise
        except AddCowError as error:
            raise Violation(_RULE, f"files beside the image are not found: {error}") from error
    expected = b"r" * 3 * SECTOR_SIZE + bytes(SECTOR_SIZE)
    if data != expected:
        wrong = next((at for at in range(_SIZE) if data[at : at + 1] != expected[at : at + 1]), 0)
        difference = wrong, expected[wrong : wrong + 32], data[wrong : wrong + 32]
        raise Violation(_RULE, "the bytes are those of another file", difference)
