"""A variant of the engine as a program: `python -m tests.system.traced_program NAME`.

NAME is a class of `tests.conformance.variants`, or one of those below. One page of the bitmap is kept.
"""

from __future__ import annotations

import mmap
import os
import sys

import addcow_ref
from addcow_conformance.adapters.reference import ReferenceProgram
from addcow_conformance.protocol import serve
from addcow_ref import FileStorage
from addcow_ref.testing import RecordingStorage
from addcow_spec.model import Revision
from tests.conformance import variants


class Right:
    """The engine as it is."""

    create_image = staticmethod(addcow_ref.create_image)
    open_image = staticmethod(addcow_ref.open_image)


class Mapped(Right):
    """Has the image file in its memory, and could write to it without a word."""

    @staticmethod
    def open_image(storage, **options):
        with open(os.path.join(os.path.dirname(storage.path), b"disk.raw"), "r+b") as file:
            Mapped.memory = mmap.mmap(file.fileno(), 0)
        return addcow_ref.open_image(storage, **options)


class UnsyncedCreation(Right):
    """A new image is in the kernel's memory alone."""

    @staticmethod
    def create_image(storage, *arguments, **options):
        storage.sync = lambda: None
        addcow_ref.create_image(storage, *arguments, **options)


class UnsyncedDraft(UnsyncedCreation):
    """A new image gets its name before it is durable."""

    draft = ".new"


class SyncedDraft(Right):
    """A new image gets its name when it is durable."""

    draft = ".new"


def opened(path, *, writable):
    """The file; a variant may put its own methods in the place of the storage's."""
    return RecordingStorage(FileStorage.open_path(os.fsencode(path), writable=writable), [])


class Program(ReferenceProgram):
    def __init__(self, variant):
        super().__init__()
        self.variant = variant

    def _create(self, asked):
        path = asked["path"] + getattr(self.variant, "draft", "")
        with open(path, "xb"):
            pass
        storage = opened(path, writable=True)
        self.variant.create_image(
            storage,
            os.fsencode(asked["image_file"]),
            backing_file=None if asked["backing_file"] is None else os.fsencode(asked["backing_file"]),
            backing_format=asked["backing_format"],
            revision=Revision(asked["revision"]),
        )
        storage.close()
        if path != asked["path"]:
            os.rename(path, asked["path"])
        return {}

    def _open(self, asked):
        self._image = self.variant.open_image(
            opened(asked["path"], writable=asked["writable"]),
            writable=asked["writable"],
            revision=Revision(asked["revision"]),
            cache_size=4096,
        )
        return {"size": self._image.size}


if __name__ == "__main__":
    name = sys.argv[1]
    program = Program(globals().get(name) or getattr(variants, name))
    serve(program.handlers, sys.stdin.buffer, sys.stdout.buffer)
