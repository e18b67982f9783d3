"""Wrong about making an image."""

import os

from addcow_spec.errors import BackingChainError
from addcow_spec.model import Revision
from tests.conformance.miniatures._right import Creator
from tests.conformance.miniatures._table import breaks


@breaks("ACW-DYN-010")
class ExistingFileIsOverwritten(Creator):
    """Whoever creates with O_TRUNC."""

    def check_target(self, target):
        target.truncate(0)


@breaks("ACW-DYN-010")
class HalfAFileIsLeft(Creator):
    """Whoever returns the error from where it is, and cleans nothing up."""

    def clean(self, target):
        pass


@breaks("ACW-DYN-010")
class NoBitmapIsWritten(Creator):
    """Whoever lets the bitmap grow as it is needed."""

    def create(self, target, revision, image, backing, *, raw):
        super().create(target, revision, image, backing, raw=raw)
        target.truncate(self.parts.header.layouts[revision].length)


@breaks("ACW-DYN-010")
class BackingFlagIsNotSet(Creator):
    """Whoever stores the name, and thinks that that says it all."""

    def create(self, target, revision, image, backing, *, raw):
        super().create(target, revision, image, backing, raw=raw)
        if revision is Revision.V10:
            target.write(28, bytes(8))


@breaks("ACW-DYN-010")
class ImageFileIsEmptied(Creator):
    """Whoever cuts the image file to a size option, which is 0 where it is not given, as v6's driver did."""

    def image_length(self, target, name):
        super().image_length(target, name)
        file = target.open(name, writable=True)
        file.truncate(0)
        file.close()
        return 0


@breaks("ACW-DYN-010")
class MissingImageFileIsMadeToo(Creator):
    """Whoever makes whatever is needed for an image."""

    def image_length(self, target, name):
        try:
            return super().image_length(target, name)
        except BackingChainError:
            path = os.path.join(os.path.dirname(target.path), name)
            if not os.path.lexists(target.path) or os.path.lexists(path):
                raise
            with open(path, "xb"):
                return 0


@breaks("ACW-DYN-005")
class HeaderIsWrittenFirst(Creator):
    """Whoever writes a file from its beginning to its end."""

    def write(self, target, header, end):
        target.write(0, header)
        target.sync()
        target.truncate(end)
        target.sync()
