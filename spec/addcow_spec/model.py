"""What a header says, as frozen values. Nothing here reads, judges or opens anything."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, IntFlag, StrEnum
from typing import NamedTuple, TypeAlias

__all__ = [
    "MAGIC",
    "QCOW2_MAGIC",
    "VERSION",
    "ExtensionType",
    "FeatureName",
    "Features",
    "Header",
    "HeaderV4",
    "HeaderV6",
    "HeaderV10",
    "Qcow2Extension",
    "Qcow2Header",
    "Revision",
    "Role",
    "Span",
]

MAGIC = b"ADD_COW\xff"
VERSION = 1
QCOW2_MAGIC = b"QFI\xfb"


class Revision(StrEnum):
    """The three posted revisions of the format."""

    V4 = "v4"
    V6 = "v6"
    V10 = "v10"


class Role(StrEnum):
    """What a file is to the add-cow file that names it."""

    IMAGE = "image"
    BACKING = "backing"


class Features(IntFlag):
    """Feature bits of a v10 header; unknown bits are kept."""

    BACKING_FILE = 0x1
    BACKING_FORMAT_NO_PROBE = 0x2


class Span(NamedTuple):
    """A range of bytes in a file: offset and length, both 0 or more."""

    offset: int
    length: int

    @property
    def end(self) -> int:
        """Offset of the first byte after the range."""
        return self.offset + self.length


@dataclass(frozen=True, slots=True)
class HeaderV10:
    """The 4,096-byte header of v10. Integers are unsigned, 32 bits wide (features: 64)."""

    backing_filename_offset: int
    backing_filename_size: int
    image_filename_offset: int
    image_filename_size: int
    features: Features
    reserved: bytes

    RESERVED_OFFSET = 36
    LENGTH = 4096
    revision = Revision.V10

    def name_span(self, role: Role) -> Span:
        """Where the header says the name of ``role`` lies; offset and size may be out of range."""
        if role is Role.IMAGE:
            return Span(self.image_filename_offset, self.image_filename_size)
        return Span(self.backing_filename_offset, self.backing_filename_size)

    def name(self, role: Role) -> bytes | None:
        """The name's bytes; None where there is none or it does not lie inside the reserved field."""
        if role is Role.IMAGE:
            offset, length = self.image_filename_offset, self.image_filename_size
        else:
            offset, length = self.backing_filename_offset, self.backing_filename_size
        if not length or offset < self.RESERVED_OFFSET or offset + length > self.LENGTH:
            return None
        start = offset - self.RESERVED_OFFSET
        return self.reserved[start : start + length]


@dataclass(frozen=True, slots=True)
class HeaderV4:
    """The 2,068-byte header of v4: two 1,024-byte name fields, and the disk's size in bytes."""

    backing_file: bytes
    image_file: bytes
    size: int

    LENGTH = 2068
    revision = Revision.V4

    def name_span(self, role: Role) -> Span:
        """The name itself: its field up to the first NUL, or all 1,024 bytes."""
        offset = 1036 if role is Role.IMAGE else 12
        return Span(offset, len(self._terminated(role)))

    def name_field(self, role: Role) -> bytes:
        """The whole 1,024-byte field of a name."""
        return self.image_file if role is Role.IMAGE else self.backing_file

    def name(self, role: Role) -> bytes | None:
        """The name's bytes, None where it is empty."""
        return self._terminated(role) or None

    def _terminated(self, role: Role) -> bytes:
        return self.name_field(role).partition(b"\0")[0]


@dataclass(frozen=True, slots=True)
class HeaderV6(HeaderV4):
    """The 2,560-byte header of v6: that of v4 and a reserved field that is zero."""

    reserved: bytes

    LENGTH = 2560
    RESERVED_OFFSET = 2068
    revision = Revision.V6


Header: TypeAlias = HeaderV4 | HeaderV6 | HeaderV10


class FeatureName(NamedTuple):
    """An entry of qcow2's feature name table; ``raw_name`` is padded with zeros to 46 bytes."""

    kind: int
    bit: int
    raw_name: bytes

    @property
    def name(self) -> bytes:
        """The name without its padding."""
        return self.raw_name.rstrip(b"\0")


class ExtensionType(IntEnum):
    """Types of qcow2 header extensions that readers of a backing chain look at."""

    BACKING_FORMAT = 0xE2792ACA
    FEATURE_NAMES = 0x6803F857


class Qcow2Extension(NamedTuple):
    """A header extension of qcow2: ``data`` without, ``padding`` with the bytes that fill it up to 8."""

    type: int
    data: bytes
    padding: bytes
    offset: int


class Qcow2Header(NamedTuple):
    """The header of qcow2 version 2 or 3; the fields of version 3 have their defaults in version 2.

    ``additional`` are the header's bytes beyond 104 that ``header_length`` covers; ``end_marker`` is the
    8-byte end of the extension area, empty where the area is full.
    """

    version: int
    backing_file_offset: int
    backing_file_size: int
    cluster_bits: int
    size: int
    crypt_method: int
    l1_size: int
    l1_table_offset: int
    refcount_table_offset: int
    refcount_table_clusters: int
    nb_snapshots: int
    snapshots_offset: int
    incompatible_features: int
    compatible_features: int
    autoclear_features: int
    refcount_order: int
    header_length: int
    additional: bytes
    extensions: tuple[Qcow2Extension, ...]
    end_marker: bytes

    def extension(self, kind: int) -> Qcow2Extension | None:
        """The first extension of that type, or None."""
        return next((e for e in self.extensions if e.type == kind), None)
