"""Wrong about the bitmap: its extent, its order, and what of it is in memory."""
# ruff: noqa: ARG002 - what a fault overlooks is often an argument

from addcow_spec.model import Revision
from tests.conformance.miniatures._bitmap import PAGE, Bitmap
from tests.conformance.miniatures._header import LAYOUTS, Header
from tests.conformance.miniatures._table import breaks

_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


@breaks("ACW-DYN-002")
class MostSignificantBitFirst(Bitmap):
    """Whoever draws a bitmap as one reads: from left to right."""

    def load(self, index):
        return super().load(index).translate(_REVERSED)

    def store(self, index):
        self.file.write(self.start + index * PAGE, self.pages[index].translate(_REVERSED))


@breaks("ACW-BMP-001")
class SectorForCluster(Header):
    """Whoever reads on in the text of v10, where "sector" is what a bit stands for."""

    layouts = {**LAYOUTS, Revision.V10: LAYOUTS[Revision.V10]._replace(unit=512)}  # noqa: RUF012 - a constant


@breaks("ACW-SIZ-003")
class ShortLastUnitHasNoBit(Header):
    """Whoever divides integers, as the drivers of v4 and v6 did."""

    def units(self, size):
        return size // self.unit


@breaks("ACW-BMP-001")
class MissingBitsAreClear(Header):
    """Whoever reads zeros past the end of a file, as block layers do."""

    unchecked = frozenset({"ACW-BMP-001"})


@breaks("ACW-BMP-002")
class BitsPastTheEndAreNotLookedAt(Header):
    """Whoever never asks for these bits, and so does not care."""

    unchecked = frozenset({"ACW-BMP-002"})


@breaks("ACW-DYN-008")
class WholeBitmapIsInMemory(Bitmap):
    """Whoever tries images of a few gigabytes only, as v6's driver was."""

    def __init__(self, file, start, units, cache_size, barrier):
        pages = -(-units // (8 * PAGE))
        super().__init__(file, start, units, pages * PAGE, barrier)
        for index in range(pages):
            self.page(index)


@breaks("ACW-DYN-008")
class PagesAreNeverGivenBack(Bitmap):
    """Whoever has a cache, and nothing that bounds it."""

    def make_room(self):
        pass


@breaks("ACW-DYN-005")
class LastBytesOfThePageAreNotWritten(Bitmap):
    """Whoever rounds the range of the bitmap to sectors, and rounds its end down, as the drivers did."""

    def store(self, index):
        page = self.pages[index]
        self.file.write(self.start + index * PAGE, page[: len(page) // 512 * 512])
