"""Implementations that are wrong in one point each: thin wrappers around the reference engine.

Every scenario has the operations that show the point, and the rule that a session has to name. They are in
`wrong_targets_requests.py` and `wrong_targets_files.py`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import addcow_ref
from addcow_conformance.programs import Backing, BackingKind, Disk, Operation

__all__ = [
    "BACKED",
    "CHAIN",
    "CLUSTER",
    "LARGE",
    "MIB",
    "QCOW2",
    "RAW",
    "SCENARIOS",
    "Passing",
    "Scenario",
    "Target",
    "part",
    "raw_of",
    "scenario",
    "wrong_image",
]

MIB = 1 << 20
CLUSTER = 65536
RAW = b"disk.raw"


class Scenario(NamedTuple):
    name: str
    rule: str
    disk: Disk
    operations: tuple[Operation, ...]
    target: Callable[[], Target]


SCENARIOS = []


class Passing:
    """An image that passes everything on to the engine's."""

    def __init__(self, real, storage):
        self.real = real
        self.storage = storage

    def __getattr__(self, name):
        return getattr(self.real, name)


class Target:
    """The engine, whose images, storages and calls may be wrapped."""

    def __init__(self, image=Passing, *, create=None, opened=None, storage=None):
        self.image = image
        self.create = create
        self.opened = opened
        self.storage = storage

    def create_image(self, target, image_file, **options):
        if self.create:
            self.create(target, partial(addcow_ref.create_image, target, image_file, **options))
        else:
            addcow_ref.create_image(target, image_file, **options)

    def open_image(self, target, **options):
        target = self.storage(target) if self.storage else target
        if self.opened:
            return self.opened(target, partial(addcow_ref.open_image, target, **options), options)
        return self.image(addcow_ref.open_image(target, **options), target)


def scenario(rule, *operations, disk=None, **parts):
    """Take a class of images, or the one wrong function of a target."""

    def take(wrong):
        kind = next(iter(parts), "image")
        name = re.sub("([A-Z])", r" \1", wrong.__name__).replace("_", " ").strip().lower()
        target = partial(Target, wrong) if kind == "image" else partial(Target, **{kind: wrong})
        SCENARIOS.append(Scenario(name, rule, disk or Disk(size=3 * CLUSTER), operations, target))
        return wrong

    return take


def wrong_image(rule, *operations, disk=None, **methods):
    """An image with other methods: each is given the image and what the method was given."""
    name = methods.pop("name")
    image = type(name, (Passing,), methods)
    SCENARIOS.append(Scenario(name, rule, disk or Disk(size=3 * CLUSTER), operations, partial(Target, image)))


def raw_of(image, name=RAW):
    return image.storage.open(name, writable=True)


def part(image):
    """Write under a clear bit, where no read sees it."""
    raw = raw_of(image)
    raw.write(2 * CLUSTER, b"?")
    raw.close()


BACKED = Disk(size=3 * CLUSTER, backing=Backing(BackingKind.RAW, 3 * CLUSTER))
CHAIN = Disk(size=4 * CLUSTER, backing=Backing(BackingKind.CHAIN, 4 * CLUSTER))
QCOW2 = Disk(size=CLUSTER, backing=Backing(BackingKind.QCOW2, CLUSTER))
LARGE = Disk(size=8 * MIB)
