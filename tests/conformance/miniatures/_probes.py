"""Small things to try on an implementation, by the rule that they are about; each ends in one word.

The right implementation and a miniature that give different words are told apart.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections import defaultdict
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

from addcow_conformance.powerloss import FAMILIES, Effort, Trial
from addcow_conformance.programs import (
    Backing,
    BackingKind,
    Disk,
    Fault,
    Flush,
    Kill,
    Race,
    Read,
    Reopen,
    Resize,
    Session,
    Stream,
    Violation,
    Write,
    Zeroes,
)
from addcow_conformance.suite import load_vectors, materialize
from addcow_ref import FileStorage
from addcow_ref.memory import MemoryFiles
from addcow_ref.testing import Wrapper
from addcow_spec.errors import ImageError, ImageInUse, UsageError
from addcow_spec.model import Revision
from tests.conformance.miniatures._header import Header

VECTORS = load_vectors(Path(__file__).parents[3] / "corpora" / "vectors")
_MANY = 2000
_LARGE = 64 << 30


class Probe(NamedTuple):
    """Something to try: its name, and a function from an implementation to a word."""

    name: str
    run: object


# --- vectors


class Endless(BaseException):
    """A chain has been followed further than any that there is."""


class Counted(Wrapper):
    """A storage that counts the files that are opened through it, and bears no more than many."""

    def __init__(self, storage, count=None):
        super().__init__(storage)
        self.count = count if count is not None else [0]

    def open(self, name, *, writable=False):
        self.count[0] += 1
        if self.count[0] > _MANY:
            raise Endless
        return Counted(self.storage.open(name, writable=writable), self.count)


def snapshot(root):
    """All files below a directory: mode, size and content."""
    found = {}
    for directory, _, names in os.walk(root):
        for path in (Path(directory, name) for name in names):
            status = path.lstat()
            small = path.is_file() and status.st_size < 1 << 20
            found[path] = status.st_mode, status.st_size, status.st_mtime_ns, small and path.read_bytes()
    return found


def opened(implementation, scene):
    """The digest of what the disk shows; ImageError where it is refused."""
    file = Counted(FileStorage.open_path(scene.image, confine=scene.confine))
    image = implementation.open_image(file, writable=False, revision=scene.take_as, cache_size=4096)
    start = image.read(0, min(image.size, 1 << 20))
    end = image.read(max(image.size - 512, 0), min(image.size, 512))
    image.close()
    return hashlib.sha256(b"%d" % image.size + start + end).hexdigest()


def try_vector(vector, implementation):
    """What an implementation makes of the files of a vector: ``changed`` if they are others afterwards."""
    before_directory = os.getcwd()
    with tempfile.TemporaryDirectory() as directory:
        scene = materialize(vector, directory)
        os.chdir(os.fsdecode(scene.cwd))
        before = snapshot(directory)
        try:
            word = opened(implementation, scene)
        except ImageError as error:
            word = error.rule
        except Endless:
            word = "endless"
        except Exception as error:  # noqa: BLE001 - a crash is an outcome of a miniature
            word = type(error).__name__
        finally:
            os.chdir(before_directory)
        return word if snapshot(directory) == before else "changed"


# --- programs


def disks(revision):
    """Four units and a sector over nothing, over a raw file that ends in a unit, longer, and over a chain."""
    unit = Disk(revision).unit_size
    size = 4 * unit + 512
    yield Disk(revision, size)
    yield Disk(revision, size, Backing(BackingKind.RAW, unit + unit // 2))
    yield Disk(revision, size, Backing(BackingKind.RAW, size + unit))
    yield Disk(revision, size, Backing(BackingKind.CHAIN, 3 * unit))


def _faults(before, *operations, calls=10):
    return [(*before, Fault(after), *operations) for after in range(calls)]


# For each rule programs, by the unit and the size of the disk.
PROGRAMS = {
    "ACW-SIZ-001": lambda u, n: [(Read(0, n), Write(u, 9), Flush())],
    "ACW-SIZ-002": lambda u, n: [(Read(0, n), Write(u, 9), Flush())],
    "ACW-SIZ-003": lambda _, n: [(Write(n - 1, 1), Flush())],
    "ACW-SIZ-007": lambda _, n: [(Resize(n + 1),)],
    "ACW-DYN-001": lambda u, n: [(Read(0, n), Write(u, u), Read(0, n), Zeroes(2 * u, u), Flush())],
    "ACW-DYN-002": lambda u, n: [
        (Write(0, 0), Write(0, u), Write(2 * u + 1, u // 2), Flush(), Write(0, n)),
        (Zeroes(u, u), Flush()),
    ],
    "ACW-DYN-003": lambda u, _: [(Write(u // 2, u), Write(5, 9), Zeroes(2 * u + 9, u))],
    "ACW-DYN-004": lambda u, _: [
        (Read(0, 9), Write(5, 9), Write(0, u), Flush()),
        (Reopen(writable=False), Read(0, u), Write(0, 9), Stream(0), Stream()),
    ],
    "ACW-DYN-005": lambda u, _: [
        (Write(0, u), Flush(), Kill()),
        (Write(5, 9, fua=True), Kill()),
        (Write(0, u), Reopen(), Kill()),
        *_faults([Write(0, u)], Flush(), Flush(), Kill()),
    ],
    "ACW-DYN-006": lambda u, _: [
        (Race(first, second, pause), Flush(), Kill())
        for first, second in (
            (Write(0, u // 4), Write(u // 2, u // 4, 2)),
            (Write(0, u), Write(2 * u, u, 2)),
            (Stream(), Write(u + 5, 100, 2)),
        )
        for pause in range(4)
    ],
    "ACW-DYN-007": lambda _, n: [(Read(n - 1, 2),), (Write(n - 1, 2),), (Zeroes(n, 1),), (Write(n + 9, 9),)],
    "ACW-DYN-011": lambda u, n: [
        (Write(0, n), Resize(u), Resize(n), Flush()),
        (Resize(40 * u), Write(33 * u, u), Resize(u), Resize(40 * u), Flush()),
        (Resize(n + 512), Kill()),
        *_faults([Write(0, n)], Resize(2 * n), Reopen(), Write(n - 9, 9)),
    ],
    "ACW-DYN-012": lambda u, _: [
        (Write(u, u), Stream()),
        (Stream(1), Kill(), Stream()),
        (Write(0, u), Stream(0)),
    ],
    "ACW-DYN-013": lambda _, n: [(Resize(2 * n), Reopen())],
}


def try_program(disk, operations, implementation):
    """The rule that a session finds to be broken, empty where none is."""
    try:
        with Session(disk, implementation) as session:
            session.run(operations)
    except Violation as violation:
        return violation.rule
    return ""


# --- losses of power

_FAMILIES = {family.name: family for family in FAMILIES}
_EFFORT = Effort(seed=0, bound=64, samples=32)
_PAGES = _FAMILIES["v6-pages"].alphabet
POWER_LOSSES = {
    "ACW-DYN-005": [
        *(
            (name, (operation, Flush()))
            for name in ("v6", "v10")
            for operation in _FAMILIES[name].alphabet[:2]
        ),
        ("v6", ()),
        *(("v10", (operation,)) for operation in _FAMILIES["v10"].alphabet if isinstance(operation, Resize)),
        ("v6-pages", (_PAGES[0], _PAGES[3])),
        ("v6-pages", (_PAGES[0], _PAGES[3], Kill(), Flush())),
    ],
}


def try_power_loss(name, operations, implementation):
    """The rule that what is left breaks, empty where none is."""
    family = _FAMILIES[name]
    found = Trial(family.disk, implementation, _EFFORT, family.alphabet).run(operations)
    return found.rule if found else ""


# --- creating, locks and memory


def _made(implementation, revision=Revision.V10, size=1 << 20):
    """Files of an image without a backing file."""
    files = MemoryFiles()
    files.create(b"disk.raw").truncate(size)
    file = files.create(b"disk.add-cow")
    implementation.create_image(file, b"disk.raw", revision=revision)
    file.close()
    return files


def tell_name(implementation):
    """What an image in a directory of its own says that its image file is called."""
    files = MemoryFiles({b"images/disk.raw": bytes(512)})
    file = files.create(b"images/disk.add-cow")
    implementation.create_image(file, b"disk.raw", revision=Revision.V10)
    file.close()
    try:
        image = _open(implementation, files.open(b"images/disk.add-cow"), writable=False)
    except ImageError as error:
        return error.rule
    return image.image_file.decode()


def create_over(implementation):
    """Create where there are bytes already."""
    files = MemoryFiles({b"disk.raw": bytes(512), b"disk.add-cow": b"mine"})
    try:
        implementation.create_image(
            files.open(b"disk.add-cow", writable=True), b"disk.raw", revision=Revision.V10
        )
    except UsageError as error:
        return error.rule
    return "overwritten"


def create_without(missing, implementation):
    """Create where a file is missing, in a directory: the rule, and what is left."""
    with tempfile.TemporaryDirectory() as directory:
        names = {b"disk.raw", b"base.raw"} - {missing}
        for name in (*names, b"disk.add-cow"):
            Path(os.fsdecode(os.path.join(os.fsencode(directory), name))).touch()
        file = FileStorage.open_path(os.path.join(os.fsencode(directory), b"disk.add-cow"), writable=True)
        try:
            implementation.create_image(
                file, b"disk.raw", backing_file=b"base.raw", backing_format=None, revision=Revision.V10
            )
            word = "made"
        except ImageError as error:
            word = error.rule
        left = file.length()
        file.close()
        return f"{word} {left} {len(os.listdir(directory))}"


def _open(implementation, file, *, writable, revision=Revision.V10):
    return implementation.open_image(file, writable=writable, revision=revision, cache_size=4 << 20)


def open_twice(path, first, second, implementation):
    """Open an image where it, or its image file alone, is in use: whether that can be."""
    files = _made(implementation)
    file = files.open(path, writable=first)
    if path == b"disk.raw":
        file.lock(exclusive=first)
    else:
        _open(implementation, file, writable=first)
    try:
        _open(implementation, files.open(b"disk.add-cow", writable=second), writable=second)
    except ImageInUse as error:
        return error.rule
    return "opened"


def open_chain(layers, implementation):
    """Open a chain of so many layers, a raw file the last: a word of what it shows, or the rule."""
    files = MemoryFiles({b"base.raw": b"base".ljust(512, b"\0")})
    name = b"base.raw"
    for number in range(layers - 1):
        image, below, name = b"%d.raw" % number, name, b"%d.add-cow" % number
        files.create(image).truncate(512)
        header = Header.build(Revision.V10, image, below, raw=False, size=512)
        files.create(name).write(0, header, b"\0")
    try:
        return _open(implementation, files.open(name), writable=False).read(0, 4).decode()
    except ImageError as error:
        return error.rule


class Metered(Wrapper):
    """A storage that counts the bytes that are read from it."""

    read = 0

    def open(self, name, *, writable=False):
        return self.storage.open(name, writable=writable)

    def read_into(self, offset, buffer):
        self.read += len(buffer)
        super().read_into(offset, buffer)


def open_large(implementation):
    """Open a disk of 64 GiB in sectors, and read a byte: whether more than a MiB was read for that."""
    files = _made(implementation, Revision.V6, _LARGE)
    file = Metered(files.open(b"disk.add-cow", writable=True))
    _open(implementation, file, writable=True, revision=Revision.V6).read(_LARGE // 2, 1)
    return "much" if file.read > 1 << 20 else "little"


def go_round(implementation):
    """Look at all pages of a bitmap that is larger than the cache, twice: whether they are read again."""
    unit = 512
    files = _made(implementation, Revision.V6, 4096 * 8 * unit * 64)
    file = Metered(files.open(b"disk.add-cow", writable=True))
    image = implementation.open_image(file, writable=True, revision=Revision.V6, cache_size=4096)
    reads = []
    for _ in range(2):
        before = file.read
        for page in range(64):
            image.read(page * 4096 * 8 * unit, 1)
        reads.append(file.read - before)
    return "again" if reads[1] else "kept"


SINGLE = {
    "ACW-CHN-004": [Probe(f"{layers} layers", partial(open_chain, layers)) for layers in (200, 201)],
    "ACW-DYN-008": [Probe("a large disk", open_large), Probe("a small cache", go_round)],
    "ACW-DYN-010": [
        Probe("information", tell_name),
        Probe("an existing file", create_over),
        Probe("no image file", partial(create_without, b"disk.raw")),
        Probe("no backing file", partial(create_without, b"base.raw")),
        *(
            Probe(f"create {disk}", partial(try_program, disk, (Reopen(),)))
            for revision in Revision
            for disk in disks(revision)
        ),
    ],
    "ACW-DYN-014": [
        Probe(f"{path.decode()} {first} {second}", partial(open_twice, path, first, second))
        for path in (b"disk.add-cow", b"disk.raw")
        for first in (False, True)
        for second in (False, True)
    ],
}


@cache
def probes():
    """All probes, by rule."""
    found = defaultdict(list, {rule: list(single) for rule, single in SINGLE.items()})
    for vector in VECTORS:
        found[vector.rule].append(Probe(f"vector {vector.id}", partial(try_vector, vector)))
    for rule, programs in PROGRAMS.items():
        for disk in (disk for revision in Revision for disk in disks(revision)):
            for operations in programs(disk.unit_size, disk.size):
                found[rule].append(Probe(f"{disk} {operations}", partial(try_program, disk, operations)))
    for rule, losses in POWER_LOSSES.items():
        for name, operations in losses:
            found[rule].append(Probe(f"power {name} {operations}", partial(try_power_loss, name, operations)))
    return found
