"""What is made: images of every size, on every kind of backing file; and what must not be made."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING

from addcow_conformance.checker import CheckOptions, check_image
from addcow_conformance.programs import Backing, BackingKind, Disk, Read, Unsupported, Violation, Write
from addcow_conformance.suite._case import Bench, Case
from addcow_conformance.suite._made import create, put
from addcow_conformance.suite._untouched import untouched
from addcow_spec.geometry import SECTOR_SIZE, Geometry
from addcow_spec.model import Revision
from addcow_spec.rules import Severity
from addcow_spec.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["cases"]

_RULE = "ACW-DYN-010"
_SIZES = (0, 1, 511, 512, 65535, 65536, 65537, 524_288, 524_800, 1_000_000)
_LONGEST = {Revision.V4: 1024, Revision.V6: 1024, Revision.V10: 4059}


def cases() -> Iterator[Case]:
    """What there is to create, for each revision."""
    for revision in Revision:
        for size in _SIZES:
            yield Case(
                _RULE, revision, f"size-{size}", f"a disk of {size} bytes is created", partial(_size, size)
            )
        for kind in BackingKind:
            yield Case(
                _RULE, revision, f"on-{kind}", f"a disk on a backing file: {kind}", partial(_kind, kind)
            )
        yield Case(_RULE, revision, "no-image-file", "nothing is created without an image file", _no_image)
        yield Case(
            _RULE,
            revision,
            "no-backing-file",
            "nothing is created on a backing file that is missing",
            _no_backing,
        )
        yield Case(_RULE, revision, "taken-path", "a file that is in the way stays as it is", _taken)
        for length in (1, 255, _LONGEST[revision]):
            yield Case(
                _RULE,
                revision,
                f"name-of-{length}",
                f"a name of {length} bytes is stored whole",
                partial(_name, length),
            )
        yield Case(
            _RULE,
            revision,
            f"name-of-{_LONGEST[revision] + 1}",
            "a name that does not fit is refused",
            partial(_name, _LONGEST[revision] + 1),
        )


def _size(size: int, bench: Bench) -> None:
    end = (Read(0, size), Write(size - 1, 1)) if size else (Read(0, 0),)
    bench.run(Disk(bench.revision, size, Backing(BackingKind.RAW, 70_000)), end)


def _kind(kind: BackingKind, bench: Bench) -> None:
    unit = Geometry(bench.revision, 0).unit_size
    bench.run(Disk(bench.revision, 4 * unit, Backing(kind, 2 * unit)), (Read(0, 4 * unit),))


def _place(bench: Bench) -> tuple[bytes, bytes]:
    """A directory with an image file, and the path of an empty file in it."""
    root = bench.folder()
    path = os.path.join(root, b"disk.add-cow")
    put(os.path.join(root, b"disk.raw"), b"", 3 * SECTOR_SIZE)
    put(path, b"")
    return root, path


def _no_image(bench: Bench) -> None:
    _refuses(bench, b"absent.raw")


def _no_backing(bench: Bench) -> None:
    _refuses(bench, b"disk.raw", b"absent.raw")


def _refuses(bench: Bench, *names: bytes) -> None:
    """Names of files that are not there are refused, and nothing is left."""
    bench.need("create")
    _, path = _place(bench)
    if create(bench, path, *names) is None:
        raise Violation(_RULE, "an image is created on a file that is missing")
    if os.path.exists(path) and os.path.getsize(path):
        raise Violation(_RULE, "a refusal leaves a file behind")


def _taken(bench: Bench) -> None:
    bench.need("create")
    root, path = _place(bench)
    with open(path, "wb") as file:
        file.write(b"precious")
    with untouched(root, _RULE, "creating over a file that is not empty"):
        refused = create(bench, path, b"disk.raw")
    if refused is None:
        raise Violation(_RULE, "a file that is not empty is taken")


def _name(length: int, bench: Bench) -> None:
    bench.need("create")
    # Slashes make a path as long as one likes, to one file.
    image = b"d" if length == 1 else b"." + b"/" * (length - 2) + b"d"
    root, path = _place(bench)
    os.rename(os.path.join(root, b"disk.raw"), os.path.join(root, b"d"))
    refused = create(bench, path, image)
    fits = length <= _LONGEST[bench.revision]
    if fits and refused is not None:
        if len(os.path.join(root, image)) >= os.pathconf(root, "PC_PATH_MAX"):
            raise Unsupported("the path of the directory here leaves no room for the name in a path")
        raise Violation(_RULE, f"a name of {length} bytes is refused: {refused}")
    if not fits:
        if refused is None:
            raise Violation(_RULE, f"a name of {length} bytes is taken")
        return
    with bench.inside(root):
        report = check_image(b"disk.add-cow", CheckOptions(bench.revision))
    for finding in report.findings:
        if report.severity(finding) is Severity.ERROR:
            raise Violation(finding.rule, f"the checker: {finding}")
    names = {file.name for file in report.files[1:]}
    if names != {image}:
        said = ", ".join(printable(name) for name in names if name) or "nothing"
        raise Violation(_RULE, f"the image file is called {said}, and not {printable(image)}")
