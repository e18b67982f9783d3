"""A disk with some units written, and what it reads at other sizes."""

from __future__ import annotations

from functools import lru_cache

from addcow_spec.geometry import Geometry
from addcow_spec.model import Revision
from tests.ref.qcow2_images import content as words
from tests.ref.scenes import UNIT

__all__ = ["HARMLESS", "Disk", "bytes_of", "content"]

# What a disk of odd length and one that was cut a moment ago draw, and what keeps nobody from using them.
HARMLESS = {"ACW-SIZ-004", "ACW-BMP-003"}

content = lru_cache(64)(words)


def bytes_of(size, revision):
    """Units, and bytes besides where the revision can have them, as bytes."""
    units, more = size
    return units * UNIT[revision] + (more if revision is Revision.V10 else 0)


class Disk:
    """A scene's image with some units written, and what it reads."""

    def __init__(self, scene, revision, size, base, written):
        self.scene, self.revision, self.size = scene, revision, size
        self.base = None if base is None else content(base, 2)
        self.unit = UNIT[revision]
        self.units = Geometry(revision, size).units
        self.set = {unit for unit in written if unit < self.units}
        scene.create(content(size, 3), self.base, revision=revision, overwrite=True)
        self.reads = bytearray(self.below(0, size))
        with scene.open() as image:
            for unit in self.set:
                start, end = unit * self.unit, min((unit + 1) * self.unit, size)
                image.write(start, content(size, 4)[start:end])
                self.reads[start:end] = content(size, 4)[start:end]

    def below(self, start, end):
        return (self.base or b"")[start:end].ljust(end - start, b"\0")

    def resized(self, size):
        """What the disk reads when it has another size."""
        if size <= self.size:
            return bytes(self.reads[:size])
        rest = min(self.units * self.unit, size)
        if self.units - 1 in self.set:
            return bytes(self.reads) + bytes(rest - self.size) + self.below(rest, size)
        return bytes(self.reads) + self.below(self.size, size)

    def bits(self, size):
        units = Geometry(self.revision, size).units
        return {unit for unit in self.set if unit < units}

    def check(self, size, *, harmless=HARMLESS):
        """The files are those of a sound image of ``size`` bytes, that reads as it should."""
        scene = self.scene
        assert scene.size() == size
        if self.revision is not Revision.V10:
            assert scene.stored_size() == size
        assert scene.bits() == self.bits(size)
        assert set(scene.findings()) <= harmless
        with scene.open(writable=False) as image:
            assert image.size == size
            assert image.units == Geometry(self.revision, size).units
            assert image.read(0, size) == self.resized(size)
