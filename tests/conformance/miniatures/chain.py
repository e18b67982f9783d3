"""Wrong about the files of a backing chain, and about their sizes."""

import sys

from addcow_ref.storage import OpenFailed
from addcow_spec.errors import InvalidImage
from tests.conformance.miniatures._image import Raw
from tests.conformance.miniatures._right import Opener, probe
from tests.conformance.miniatures._table import breaks


@breaks("ACW-CHN-001")
class FileMayHaveTwoParts(Opener):
    """Whoever compares names, if anything, and not files."""

    def take(self, file, rule):
        if rule != "ACW-CHN-001":
            super().take(file, rule)
        self.seen.add(file.identity)


@breaks("ACW-CHN-002")
class CycleIsFollowedForEver(Opener):
    """Whoever counts the layers of a chain before opening it, and takes for granted that it ends."""

    def open(self, file, revision=None, **how):
        if not self.layers:
            self.count(file, revision)
        return super().open(file, revision, **how)

    def count(self, file, revision):
        layers, below = 1, file
        while below is not None:
            header = self.read_header(below, revision if layers == 1 else None)
            above, below = below, self.next(below, header)
            layers += 1
            if above is not file:
                above.close()
        return layers

    def next(self, file, header):
        try:
            below = file.open(header.backing) if header.backing and not header.raw else None
        except OpenFailed:
            return None
        if below is not None and probe(below) != "add-cow":
            below.close()
            return None
        return below


@breaks("ACW-CHN-002")
class CycleOverflowsTheStack(CycleIsFollowedForEver):
    """Whoever does the same by a function that calls itself."""

    def count(self, file, revision):
        below = self.next(file, self.read_header(file, revision))
        if below is None:
            return 1
        layers = 1 + self.count(below, None)
        below.close()
        return layers


@breaks("ACW-CHN-004")
class ChainHasNoLimit(Opener):
    """Whoever has never seen a chain of more than five."""

    most_layers = sys.maxsize


@breaks("ACW-DYN-001")
class BackingFileIsAlwaysRaw(Opener):
    """Whoever has raw backing files only, and reads any other as one."""

    def open_backing(self, file, header):
        header.raw = True
        return super().open_backing(file, header)


@breaks("ACW-SIZ-001")
class LongerImageIsRefused(Opener):
    """Whoever keeps to the text of v6: image file and backing file have the same size."""

    def open(self, file, revision=None, **how):
        image = super().open(file, revision, **how)
        if isinstance(image.backing, Raw) and image.backing.size < image.size:
            raise InvalidImage("the backing file is too short", rule="ACW-SIZ-005")
        return image


@breaks("ACW-SIZ-002")
class ShorterImageIsRefused(Opener):
    """Whoever cannot think of a disk that hides a part of what it stands on."""

    def open(self, file, revision=None, **how):
        image = super().open(file, revision, **how)
        if isinstance(image.backing, Raw) and image.backing.size > image.size:
            raise InvalidImage("the image file is too short", rule="ACW-SIZ-005")
        return image
