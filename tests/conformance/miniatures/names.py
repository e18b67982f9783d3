"""Wrong about the stored names, and about where they lead."""

import os

from addcow_ref.memory import MemoryFiles
from addcow_ref.storage import OpenReason
from addcow_spec.errors import BackingChainError
from tests.conformance.miniatures._header import Header
from tests.conformance.miniatures._right import Opener
from tests.conformance.miniatures._table import breaks

_WRAPPED = 1 << 32


@breaks("ACW-NAM-001")
class EndOfANameWrapsAround(Header):
    """Whoever adds offset and size in a uint32_t, in C, and compares the sum."""

    def name(self, place, size):
        end = (place + size) % _WRAPPED
        return self.data[place:end] if place + size >= _WRAPPED else super().name(place, size)


@breaks("ACW-NAM-001")
class NameMayLieInTheFields(Header):
    """Whoever checks where a name ends, and not where it begins."""

    def name(self, place, size):
        return self.data[place : place + size] if 0 < place < 36 else super().name(place, size)


@breaks("ACW-NAM-002")
class NameMayStartAt4095(Header):
    """Whoever asks that a name fits, and has not read the review."""

    unchecked = frozenset({"ACW-NAM-002"})


@breaks("ACW-NAM-003")
class NameMayFillTheReservedField(Header):
    """Whoever asks that a name fits, and takes "less than" for "at most"."""

    unchecked = frozenset({"ACW-NAM-003"})


@breaks("ACW-NAM-004")
class BackingSizeMayStandAlone(Header):
    """Whoever reads in the text that the size is undefined without a backing file."""

    unchecked = frozenset({"ACW-NAM-004"})


@breaks("ACW-NAM-005")
class BackingNameMayBeEmpty(Header):
    """Whoever takes an empty name for no backing file, as in v6."""

    unchecked = frozenset({"ACW-NAM-005"})


@breaks("ACW-NAM-007")
class NameEndsAtItsNul(Header):
    """Whoever hands the name to open(2) as it is."""

    unchecked = frozenset({"ACW-NAM-007"})

    def name(self, place, size):
        found = super().name(place, size)
        return found and found.partition(b"\0")[0]


@breaks("ACW-NAM-009")
class FullNameFieldIsReadOn(Header):
    """Whoever uses strlen on a field of 1,024 bytes that need not end in a NUL."""

    def field(self, offset):
        return self.data[offset:].partition(b"\0")[0]


@breaks("ACW-NAM-009")
class FullNameFieldLosesItsLastByte(Header):
    """Whoever copies the field by snprintf, as v6's driver did."""

    def field(self, offset):
        return self.data[offset : offset + 1023].partition(b"\0")[0]


def _on_disk(file):
    """Whether a storage is a file that the system knows: only there are links and working directories."""
    return os.path.lexists(file.path)


@breaks("ACW-NAM-010")
class NamesStartAtTheWorkingDirectory(Opener):
    """Whoever hands the name to open(2) as it is, as the author of v10 first meant to."""

    def path_of(self, file, name):
        return os.path.abspath(name) if _on_disk(file) else name


@breaks("ACW-NAM-010")
class NamesStartAtTheLinksTarget(Opener):
    """Whoever resolves the path of the add-cow file first, to be on the safe side."""

    def path_of(self, file, name):
        linked = os.path.islink(file.path)
        return os.path.join(os.path.dirname(os.path.realpath(file.path)), name) if linked else name


@breaks("ACW-ENV-001")
class MissingImageFileIsMade(Opener):
    """Whoever opens files with O_CREAT throughout."""

    def not_opened(self, file, name, failed, missing):
        if (failed.reason, missing) == (OpenReason.ABSENT, "ACW-ENV-001") and _on_disk(file):
            with open(failed.path, "xb"):
                return file.open(name)
        return super().not_opened(file, name, failed, missing)


@breaks("ACW-ENV-002")
class MissingBackingFileIsNone(Opener):
    """Whoever thinks of zeros as a sensible answer where a file is not to be had."""

    def open_backing(self, file, header):
        try:
            return super().open_backing(file, header)
        except BackingChainError as error:
            if error.rule == "ACW-ENV-002":
                return None
            raise


@breaks("ACW-ENV-003")
class FifoIsOpened(Opener):
    """Whoever opens a name before looking at what it leads to; it is empty here, so that nothing waits."""

    def not_opened(self, file, name, failed, missing):
        if failed.reason is OpenReason.IRREGULAR and not os.path.isdir(failed.path):
            return MemoryFiles().create(name)
        return super().not_opened(file, name, failed, missing)
