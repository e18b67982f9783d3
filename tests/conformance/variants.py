"""The engine with one fault of durability each: what the explorer of power losses has to see.

Each class is a target, named as `python:tests.conformance.variants:NAME`.
"""

from __future__ import annotations

import addcow_ref
from addcow_ref.testing import FaultPlan, FaultyStorage

__all__ = [
    "BitsFirst",
    "ForgetsOldBits",
    "GrowsImageFirst",
    "HeaderFirst",
    "LyingSync",
    "NoBarrierOnEviction",
    "OneFileFlush",
    "target",
]


def target(variant):
    """The name of a variant, as `load_target` wants it."""
    return f"python:{__name__}:{variant.__name__}"


class _Variant:
    create_image = staticmethod(addcow_ref.create_image)

    @classmethod
    def open_image(cls, storage, **options):
        image = addcow_ref.open_image(storage, **options)
        cls.spoil(image, image._disk)
        return image


class BitsFirst(_Variant):
    """Flushes the bits before the data that they vouch for."""

    @staticmethod
    def spoil(_image, disk):
        def make_durable():
            disk.bitmap.write_back()
            disk.sync_bits()
            disk.sync_data()

        disk.bitmap._barrier = lambda: None
        disk.make_durable = make_durable


class NoBarrierOnEviction(_Variant):
    """Flushes in order, and lets a changed page leave the cache without a barrier."""

    @staticmethod
    def spoil(_image, disk):
        def make_durable():
            disk.sync_data()
            disk.bitmap.write_back()
            disk.sync_bits()

        disk.bitmap._barrier = lambda: None
        disk.make_durable = make_durable


class LyingSync:
    """On a storage whose sync says that it is done, and did nothing."""

    create_image = staticmethod(addcow_ref.create_image)

    @staticmethod
    def open_image(storage, **options):
        plan = FaultPlan()
        plan.lying_sync = True
        return addcow_ref.open_image(FaultyStorage(storage, plan), **options)


class OneFileFlush(_Variant):
    """A flush that makes the data durable, and the bits not."""

    @staticmethod
    def spoil(_image, disk):
        disk.sync_bits = lambda: None


class ForgetsOldBits(_Variant):
    """Syncs the bits that it has written itself, and not those that a killed process wrote."""

    @staticmethod
    def spoil(_image, disk):
        disk.bitmap.unsynced = False


class HeaderFirst:
    """Creates an image by its header, and makes the file as long as the bitmap asks for afterwards."""

    open_image = staticmethod(addcow_ref.open_image)

    @staticmethod
    def create_image(storage, *arguments, **options):
        write, truncate = storage.write, storage.truncate
        lengths = []

        def write_first(offset, *buffers):
            write(offset, *buffers)
            truncate(lengths.pop())

        storage.truncate, storage.write = lengths.append, write_first
        addcow_ref.create_image(storage, *arguments, **options)


class GrowsImageFirst(_Variant):
    """Makes the image file longer before the bitmap is."""

    @staticmethod
    def spoil(image, disk):
        resize = image.resize

        def grow(size):
            if size > image.size:
                disk.image_file.truncate(size)
            resize(size)

        image.resize = grow
