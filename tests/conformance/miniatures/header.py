"""Wrong about the fields of the header."""
# ruff: noqa: ARG002 - what a fault overlooks is often an argument

from addcow_spec.model import Revision
from tests.conformance.miniatures._header import LAYOUTS, Header
from tests.conformance.miniatures._right import Opener
from tests.conformance.miniatures._table import breaks


@breaks("ACW-HDR-001")
class MagicIsNotLookedAt(Header):
    """Whoever trusts the name of the file, or the caller, to say what format it has."""

    unchecked = frozenset({"ACW-HDR-001"})


@breaks("ACW-HDR-001")
class MagicIsText(Header):
    """Whoever compares the magic as a C string, and leaves out the byte that is no letter."""

    def require(self, rule, holds):
        super().require(rule, holds or (rule == "ACW-HDR-001" and self.data.startswith(b"ADD_COW")))


@breaks("ACW-HDR-002")
class VersionIsNotLookedAt(Header):
    """Whoever has known one version only."""

    unchecked = frozenset({"ACW-HDR-002"})


@breaks("ACW-HDR-002")
class BigEndianV10(Header):
    """Whoever comes from v6, or from qcow2, where all numbers are big endian."""

    layouts = {**LAYOUTS, Revision.V10: LAYOUTS[Revision.V10]._replace(order="big")}  # noqa: RUF012 - a constant


@breaks("ACW-HDR-003")
class ShortHeaderIsFilledUp(Header):
    """Whoever reads a block of zeros past the end of a file, as block layers do."""

    unchecked = frozenset({"ACW-HDR-003"})


@breaks("ACW-BMP-001")
class BitmapStartsAtTheLastByteOfTheHeader(Header):
    """Whoever takes "starts at the 4096th byte" literally, and counts from one."""

    layouts = {  # noqa: RUF012 - a constant
        revision: layout._replace(length=layout.length - (revision is not Revision.V4))
        for revision, layout in LAYOUTS.items()
    }


@breaks("ACW-BMP-001")
class V6HeaderHasNoReservedField(Header):
    """Whoever takes the size of the fields that have a meaning for that of the header."""

    layouts = {**LAYOUTS, Revision.V6: LAYOUTS[Revision.V4]}  # noqa: RUF012 - a constant


@breaks("ACW-FEA-001")
class BackingFlagIsNotLookedAt(Header):
    """Whoever finds the name of a backing file, and needs no flag to believe it."""

    unchecked = frozenset({"ACW-FEA-001"})


@breaks("ACW-FEA-002")
class NoProbeMayStandAlone(Header):
    """Whoever looks at the flag only once there is a backing file."""

    unchecked = frozenset({"ACW-FEA-002"})


@breaks("ACW-FEA-003")
class UnknownFeaturesAreIgnored(Header):
    """Whoever tests for the flags that they know, and for no other."""

    unchecked = frozenset({"ACW-FEA-003"})


@breaks("ACW-CHN-003")
class NoProbeIsForgotten(Header):
    """Whoever has one function to open a backing file, and it probes."""

    def __init__(self, data, revision):
        super().__init__(data, revision)
        self.raw = False


@breaks("ACW-SIZ-006")
class SizeFieldIsNotLookedAt(Opener):
    """Whoever asks the image file how long it is, and sees no use in the field."""

    def size_of(self, header, length):
        return length


@breaks("ACW-SIZ-006")
class SizeFieldIsBelieved(Opener):
    """Whoever takes everything from the header, as the drivers of v4 and v6 did."""

    def size_of(self, header, length):
        return length if header.size is None else header.size


@breaks("ACW-SIZ-007")
class OddSizeFieldIsTaken(Header):
    """Whoever counts bytes, and never meets a disk that is no whole number of sectors."""

    unchecked = frozenset({"ACW-SIZ-007"})
