"""The triple of files that an image is, on a disk or in memory, and a checker's eye on it."""

from __future__ import annotations

import os
from contextlib import contextmanager

from addcow_conformance.checker import CheckOptions, check_image
from addcow_ref import FileStorage, create_image, open_image
from addcow_ref.memory import MemoryFiles
from addcow_ref.storage import OpenFailed
from addcow_ref.testing import FaultPlan, FaultyStorage, RecordingStorage
from addcow_spec.codec import parse_header
from addcow_spec.geometry import Geometry
from addcow_spec.model import Revision
from addcow_spec.rules import Severity, rule

__all__ = ["CLUSTER", "SECTOR", "UNIT", "Scene", "bits_set", "noise"]

SECTOR = 512
CLUSTER = 65536
UNIT = {Revision.V4: SECTOR, Revision.V6: SECTOR, Revision.V10: CLUSTER}


def noise(length, seed=1):
    """Bytes that are not zero, the same for the same seed."""
    return bytes(1 + (seed * 131 + i * 7 + i // 251) % 255 for i in range(min(length, 8192))).ljust(
        length, b"\x55"
    )


def bits_set(addcow, revision, size):
    """The units whose bit is set in the bytes of an add-cow file, read without the engine."""
    start, units = Geometry(revision, size).bitmap_offset, Geometry(revision, size).units
    return {unit for unit in range(units) if addcow[start + unit // 8] >> unit % 8 & 1}


class Scene:
    """Files named x (add-cow), img and base; ``kind`` is "files" or "memory"."""

    def __init__(self, kind, directory):
        self.kind = kind
        self.directory = os.fsencode(directory)
        self.memory = MemoryFiles()
        self.revision = Revision.V10

    def path(self, name=b"x"):
        return os.path.join(self.directory, name)

    def put(self, name, data):
        """Make a file of these bytes; of a number, a hole of that length."""
        if self.kind == "memory":
            with_storage = self.memory.create(name)
            if isinstance(data, int):
                with_storage.truncate(data)
            else:
                with_storage.write(0, data)
            with_storage.close()
        else:
            with open(self.path(name), "wb") as file:
                if isinstance(data, int):
                    file.truncate(data)
                else:
                    file.write(data)

    def get(self, name):
        if self.kind == "memory":
            return self.memory.contents(name)
        with open(self.path(name), "rb") as file:
            return file.read()

    def has(self, name):
        try:
            self.identity(name)
        except (FileNotFoundError, OpenFailed):
            return False
        return True

    def identity(self, name):
        """The file's identity, as storages have it."""
        if self.kind == "memory":
            return self.memory.open(name).identity
        status = os.stat(self.path(name))
        return status.st_dev, status.st_ino

    def create(self, image, base=None, *, revision=Revision.V10, **options):
        """Make img (bytes, or a length of zeros), base and x."""
        self.revision = revision
        self.put(b"img", image)
        if base is not None:
            self.put(b"base", base)
        if base is not None and revision is Revision.V10:
            options.setdefault("backing_format", "raw")
        target = self.memory.create(b"x") if self.kind == "memory" else self.path()
        create_image(
            target, b"img", backing_file=b"base" if base is not None else None, revision=revision, **options
        )
        if self.kind == "memory":
            target.close()
        return self

    def storage(self, *, writable=True):
        """The add-cow file as a storage."""
        if self.kind == "memory":
            return self.memory.open(b"x", writable=writable)
        return FileStorage.open_path(self.path(), writable=writable)

    def open(self, *, writable=True, wrap=lambda storage: storage, **options):
        options.setdefault("revision", self.revision)
        return open_image(wrap(self.storage(writable=writable)), writable=writable, **options)

    def faulty(self, **options):
        """An image over a storage whose faults are armed by the plan that comes with it."""
        plan = FaultPlan()
        return self.open(wrap=lambda storage: FaultyStorage(storage, plan), **options), plan

    def recorded(self, **options):
        """An image over a storage that logs, and its log."""
        log = []
        return self.open(wrap=lambda storage: RecordingStorage(storage, log), **options), log

    def size(self):
        return len(self.get(b"img"))

    def bits(self):
        return bits_set(self.get(b"x"), self.revision, self.size())

    def stored_size(self):
        return parse_header(self.get(b"x"), self.revision).size

    def findings(self):
        """What the checker finds that is no note."""
        if self.kind == "memory":  # the checker reads files
            for name in (b"x", b"img", b"base"):
                if self.has(name):
                    with open(self.path(name), "wb") as file:
                        file.write(self.get(name))
        report = check_image(self.path(), CheckOptions(revision=self.revision))
        assert not report.problem
        levels = ((found.rule, rule(found.rule).severity(report.profile)) for found in report.findings)
        return sorted(found for found, severity in levels if severity is not Severity.NOTE)

    @contextmanager
    def unchanged(self, *names):
        """Every named file keeps its bytes."""
        before = [self.get(name) for name in names]
        yield
        assert [self.get(name) for name in names] == before
