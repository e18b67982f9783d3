"""The reference engine behind the protocol: ``python -m addcow_conformance.adapters.reference``."""

from __future__ import annotations

import os
import sys
from base64 import b64decode, b64encode
from itertools import count
from typing import TYPE_CHECKING

import addcow_ref
from addcow_conformance.protocol import CAPABILITIES, VERSION, Message, serve
from addcow_spec import __version__
from addcow_spec.errors import ProtocolViolation, StorageError, UsageError
from addcow_spec.model import Revision

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["ReferenceProgram", "main"]

# Extents in one answer; a line has room for more.
_EXTENTS = 20_000
# Time and again a stream asks whether to stop; it is stopped when it has asked so often.
_ASKED = 2
_CANNOT_SPEAK = 2


class ReferenceProgram:
    """The engine, with one image open at most.

    Attributes:
        handlers: what answers each kind of request.
    """

    def __init__(self) -> None:
        self._image: addcow_ref.Image | None = None
        self.handlers: dict[str, Callable[[Message], Message]] = {
            "start": self._start,
            "create": self._create,
            "open": self._open,
            "read": self._read,
            "write": self._write,
            "zeroes": self._zeroes,
            "flush": self._flush,
            "extents": self._extents,
            "info": self._info,
            "resize": self._resize,
            "stream": self._stream,
            "close": self._close,
        }

    @property
    def image(self) -> addcow_ref.Image:
        """The opened image.

        Raises:
            StorageError: none is open, which is the asker's mistake and no refusal.
        """
        if self._image is None:
            raise StorageError("no image is open")
        return self._image

    def _start(self, _: Message) -> Message:
        return {
            "protocol": VERSION,
            "name": "addcow_ref",
            "version": __version__,
            "language": "Python",
            "homepage": "",
            "issues": "",
            "revisions": list(map(str, Revision)),
            "capabilities": [word for word in CAPABILITIES if word != "kill"],
        }

    @staticmethod
    def _create(asked: Message) -> Message:
        addcow_ref.create_image(
            asked["path"],
            asked["image_file"],
            backing_file=asked["backing_file"],
            backing_format=asked["backing_format"],
            revision=Revision(asked["revision"]),
        )
        return {}

    def _open(self, asked: Message) -> Message:
        if self._image is not None:
            raise StorageError("an image is open already")
        if asked["directory"] is not None:
            os.chdir(asked["directory"])
        self._image = addcow_ref.open_image(
            asked["path"], writable=asked["writable"], revision=Revision(asked["revision"])
        )
        return {"size": self._image.size}

    def _read(self, asked: Message) -> Message:
        return {"data": b64encode(self.image.read(asked["offset"], asked["length"])).decode()}

    def _write(self, asked: Message) -> Message:
        self.image.write(asked["offset"], b64decode(asked["data"]), fua=asked["fua"])
        return {}

    def _zeroes(self, asked: Message) -> Message:
        self.image.write_zeroes(asked["offset"], asked["length"], unmap=asked["unmap"], fua=asked["fua"])
        return {}

    def _flush(self, _: Message) -> Message:
        self.image.flush()
        return {}

    def _extents(self, asked: Message) -> Message:
        found = self.image.extents(asked["offset"], asked["length"])
        names = ("start", "length", "depth", "present", "zero")
        return {
            "extents": [
                {name: getattr(extent, name) for name in names}
                for extent, _ in zip(found, range(_EXTENTS), strict=False)
            ]
        }

    def _info(self, _: Message) -> Message:
        image = self.image
        return {
            "size": image.size,
            "revision": str(image.revision),
            "image_file": os.fsdecode(image.image_file),
            "backing_file": None if image.backing_file is None else os.fsdecode(image.backing_file),
        }

    def _resize(self, asked: Message) -> Message:
        self.image.resize(asked["size"])
        return {"size": self.image.size}

    def _stream(self, asked: Message) -> Message:
        times, most = count(), _ASKED if asked["length"] else 0
        stop = None if asked["length"] is None else lambda: next(times) >= most
        return {"complete": self.image.stream(stop=stop)}

    def _close(self, _: Message) -> Message:
        image, self._image = self.image, None
        image.close()
        return {}


def main() -> int:
    """Answer requests from standard input until it ends; the exit status."""
    try:
        serve(ReferenceProgram().handlers, sys.stdin.buffer, sys.stdout.buffer)
    except (ProtocolViolation, UsageError) as error:
        print(error, file=sys.stderr)
        return _CANNOT_SPEAK
    return 0


if __name__ == "__main__":
    sys.exit(main())
