"""An implementation that is right, from `spec/` alone: what every miniature is but for one part.

It has raw and add-cow backing files; the storages do the rest of the work of a file system.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass

from addcow_ref.storage import OpenFailed, OpenReason
from addcow_spec.errors import BackingChainError, UnsupportedImage, UsageError
from addcow_spec.model import Revision
from tests.conformance.miniatures._bitmap import PAGE, Bitmap
from tests.conformance.miniatures._header import LONGEST, MAGIC, Header, bytes_of
from tests.conformance.miniatures._image import Image, Raw

_REASONS = {OpenReason.IRREGULAR: "ACW-ENV-003", OpenReason.OUTSIDE: "ACW-ENV-004"}
_REQUESTS = ("create", "write", "zeroes", "extents", "resize", "stream", "info", "fua", "parallel")
_FORMATS = {MAGIC: "add-cow", b"QFI\xfb": "qcow2"}


class Opener:
    """Opens one chain, from the top down.

    Args:
        parts: the implementation.
        opened: closes what is opened.
    """

    most_layers = 200

    def __init__(self, parts, opened):
        self.parts = parts
        self.opened = opened
        self.layers = []
        self.seen = set()

    def open(self, file, revision=None, *, writable=False, cache_size=PAGE):
        """The image of an add-cow file."""
        self.layers.append(file.identity)
        self.seen.add(file.identity)
        self.lock(file, exclusive=writable)
        header = self.read_header(file, revision)
        image_file = self.open_named(file, header.image, "ACW-ENV-001", writable=writable)
        self.take(image_file, "ACW-CHN-001")
        self.lock(image_file, exclusive=writable)
        size = self.size_of(header, image_file.length())
        header.judge_bitmap(file, size)
        backing = self.open_backing(file, header)
        how = {"writable": writable, "cache_size": cache_size}
        return self.parts.image(self.parts.bitmap, file, image_file, header, size, backing, **how)

    def read_header(self, file, revision):
        data = bytes_of(file, 0, min(file.length(), LONGEST))
        return self.parts.header(data, revision or self.parts.header.tell(file, data))

    def size_of(self, header, length):
        header.require("ACW-SIZ-006", header.size in {None, length})
        return length

    def open_backing(self, file, header):
        if header.backing is None:
            return None
        if len(self.layers) >= self.most_layers:
            raise BackingChainError("the chain is too long", rule="ACW-CHN-004")
        below = self.open_named(file, header.backing, "ACW-ENV-002")
        kind = "raw" if header.raw else probe(below)
        again = kind != "raw" and below.identity in self.layers and below.identity != file.identity
        self.take(below, "ACW-CHN-002" if again else "ACW-CHN-001")
        if kind == "qcow2":
            raise UnsupportedImage("qcow2 files are not read here", rule="ACW-ENV-002")
        if kind == "add-cow":
            return self.open(below)
        self.lock(below, exclusive=False)
        return Raw(below)

    def open_named(self, file, name, missing, *, writable=False):
        """Open a file that ``file`` names."""
        if b":" in name.partition(b"/")[0]:
            raise UnsupportedImage("a name is no local path", rule="ACW-NAM-011")
        try:
            found = file.open(self.path_of(file, name), writable=writable)
        except OpenFailed as failed:
            found = self.not_opened(file, name, failed, missing)
        self.opened.callback(found.close)
        return found

    def path_of(self, _file, name):
        """What a storage is asked for: it starts at its own directory."""
        return name

    def not_opened(self, _file, _name, failed, missing):
        raise BackingChainError(str(failed), rule=_REASONS.get(failed.reason, missing)) from failed

    def take(self, file, rule):
        """Give a file its part in the chain, its only one."""
        if file.identity in self.seen:
            raise BackingChainError("a file has two parts", rule=rule)
        self.seen.add(file.identity)

    def lock(self, file, *, exclusive):
        file.lock(exclusive=exclusive)


def probe(file):
    """The format that a file's first bytes look like."""
    start = bytes_of(file, 0, min(file.length(), len(MAGIC)))
    return next((name for magic, name in _FORMATS.items() if start.startswith(magic)), "raw")


class Creator:
    """Makes one image in an empty file.

    Args:
        parts: the implementation.
    """

    def __init__(self, parts):
        self.parts = parts

    def create(self, target, revision, image, backing, *, raw):
        self.check_names(revision, image, backing, raw=raw)
        self.check_target(target)
        with ExitStack() as undo:
            undo.callback(self.clean, target)
            size = self.image_length(target, image)
            if revision is not Revision.V10 and size % 512:
                raise UsageError(f"{size} bytes are no whole sectors", rule="ACW-SIZ-007")
            header = self.parts.header.build(revision, image, backing, raw=raw, size=size)
            self.write(target, header, self.parts.header(header, revision).bitmap_end(size))
            with ExitStack() as opened:
                self.parts.opener(self.parts, opened).open(target, revision)
            undo.pop_all()

    def check_names(self, revision, image, backing, *, raw):
        if raw and not (backing and revision is Revision.V10):
            raise UsageError("a backing format can be stated in v10 alone, and for a backing file")
        if not image:
            raise UsageError("an image file is needed", rule="ACW-NAM-006")
        if b"\0" in image + backing:
            raise UsageError("a name holds a NUL", rule="ACW-NAM-007")
        longest = 4059 if revision is Revision.V10 else 1024
        room = revision is not Revision.V10 or (
            len(image) + len(backing) <= 4060 and len(image) <= (4058 if backing else 4059)
        )
        if max(len(image), len(backing)) > longest or not room:
            raise UsageError("the names are too long", rule="ACW-NAM-003")

    def check_target(self, target):
        if target.length():
            raise UsageError("the file is not empty", rule="ACW-DYN-010")

    def image_length(self, target, name):
        with ExitStack() as opened:
            return self.parts.opener(self.parts, opened).open_named(target, name, "ACW-ENV-001").length()

    def write(self, target, header, end):
        """The header last: what has one is complete."""
        target.truncate(end)
        target.sync()
        target.write(0, header)
        target.sync()

    def clean(self, target):
        """What is done where creating fails."""
        target.truncate(0)


@dataclass(frozen=True)
class Implementation:
    """A target, by its parts.

    Attributes:
        name: its name in this package.
        rule: id of the rule that it breaks; empty where it is right.
        who: who makes that mistake.
    """

    name: str = "RIGHT"
    rule: str = ""
    who: str = ""
    header: type[Header] = Header
    bitmap: type[Bitmap] = Bitmap
    image: type[Image] = Image
    opener: type[Opener] = Opener
    creator: type[Creator] = Creator

    # All but qcow2 files.
    abilities = frozenset({*_REQUESTS, "directory", "kill", "backing-add-cow", "storage"})

    def create_image(self, target, image_file, *, backing_file=None, backing_format=None, revision):
        if backing_file is not None and not backing_file:
            raise UsageError("the backing file's name is empty", rule="ACW-NAM-005")
        raw = backing_format is not None
        self.creator(self).create(target, revision, image_file, backing_file or b"", raw=raw)

    def open_image(self, target, *, writable, revision=None, cache_size=PAGE):
        with ExitStack() as opened:
            opened.callback(target.close)
            image = self.opener(self, opened).open(target, revision, writable=writable, cache_size=cache_size)
            image.files = opened.pop_all()
            return image
