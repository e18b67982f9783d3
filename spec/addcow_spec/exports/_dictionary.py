"""The grammar as a dictionary for libFuzzer and AFL: bytes that mutations would seldom find by chance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from addcow_spec.codec import QCOW2_CLUSTER_BITS
from addcow_spec.geometry import CLUSTER_SIZE, SECTOR_SIZE
from addcow_spec.grammar import (
    ADDCOW_V4,
    ADDCOW_V6,
    ADDCOW_V10,
    QCOW2_V2,
    QCOW2_V3_FIELDS,
)
from addcow_spec.model import MAGIC, QCOW2_MAGIC, ExtensionType

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from addcow_spec.grammar import Field, Layout

__all__ = ["boundaries", "dictionary"]


class _Token(NamedTuple):
    name: str
    value: bytes


_BITS: Final = QCOW2_CLUSTER_BITS
_RESERVED: Final = ADDCOW_V10.field("reserved")
_NAME_OFFSETS: Final = (
    _RESERVED.offset - 1,
    _RESERVED.offset,
    *range(ADDCOW_V10.end - 2, ADDCOW_V10.end + 1),
)
# The last one makes offset plus size wrap to 0 in 32 bits, from the first byte that a name may have.
_NAME_SIZES: Final = (1, *range(_RESERVED.size - 1, _RESERVED.size + 2), 2**32 - _RESERVED.offset)
_DISK_SIZES: Final = tuple(
    unit + step
    for unit in (SECTOR_SIZE, 8 * SECTOR_SIZE, CLUSTER_SIZE, 8 * CLUSTER_SIZE)
    for step in (-1, 0, 1)
)

# Values at and around the limits that the format sets, by field. Those of the width come on top.
_BOUNDARIES: Final[dict[tuple[str, str], tuple[int, ...]]] = {
    ("addcow_v10", "version"): (0, 1, 2),
    ("addcow_v10", "backing_filename_offset"): _NAME_OFFSETS,
    ("addcow_v10", "backing_filename_size"): _NAME_SIZES,
    ("addcow_v10", "image_filename_offset"): _NAME_OFFSETS,
    ("addcow_v10", "image_filename_size"): _NAME_SIZES,
    ("addcow_v10", "features"): (0, 1, 2, 3, 4, 1 << 32, 1 << 63),
    ("addcow_v4", "version"): (0, 1, 2),
    ("addcow_v4", "size"): (*_DISK_SIZES, 2**63 - SECTOR_SIZE, 2**64 - SECTOR_SIZE),
    ("qcow2_header_v2", "version"): (1, 2, 3, 4),
    ("qcow2_header_v2", "backing_file_offset"): (QCOW2_V2.end, QCOW2_V3_FIELDS.end, 2**64 - 1024),
    ("qcow2_header_v2", "backing_file_size"): (1023, 1024),
    ("qcow2_header_v2", "cluster_bits"): (_BITS.start - 1, _BITS.start, _BITS.stop - 1, _BITS.stop, 63, 64),
    ("qcow2_header_v2", "crypt_method"): (1, 2, 3),
    ("qcow2_header_v3", "incompatible_features"): tuple(1 << bit for bit in range(6)),
    ("qcow2_header_v3", "refcount_order"): (4, 6, 7),
    ("qcow2_header_v3", "header_length"): tuple(QCOW2_V3_FIELDS.end + step for step in (-1, 0, 1, 8)),
}

_NAMES: Final = (
    b"./",
    b"../",
    b"//",
    b"/dev/full",
    b"/dev/stdin",
    b"/proc/self/mem",
    b"/proc/self/fd/0",
    b"nbd:",
    b"nbd://localhost",
    b"http://",
    b"file:",
    b"json:{",
    b"fat:rw:",
    b"\n",
    b"\x1b[2J",
    b"]]>",
    b"<!--",
    b"\xff\xfe",
    "\N{RIGHT-TO-LEFT OVERRIDE}".encode(),
    b"\xed\xa0\x80",
    b"raw\0",
    b"qcow2",
)


def dictionary() -> str:
    """The text of the dictionary: no value twice, under the name that it has first."""
    seen: set[bytes] = set()
    lines: list[str] = []
    for title, tokens in _groups():
        fresh = {value: name for name, value in tokens if value not in seen}
        if fresh:
            seen |= fresh.keys()
            lines += ["", f"# {title}", *(_entry(name, value) for value, name in fresh.items())]
    return "\n".join([*lines, ""])


def boundaries(layout: Layout, field: Field) -> tuple[int, ...]:
    """The values of an integer field at and around the limits of the format, then those of its width."""
    sign = 1 << (field.size * 8 - 1)
    known = (value for _, value in field.enum)
    return (*_BOUNDARIES.get((layout.name, field.name), ()), *known, sign - 1, sign, 2 * sign - 1)


def _entry(name: str, value: bytes) -> str:
    text = "".join(
        chr(byte) if 0x20 <= byte < 0x7F and byte not in b'"\\' else f"\\x{byte:02x}" for byte in value
    )
    return f'{name}="{text}"'


def _groups() -> Iterator[tuple[str, Iterable[_Token]]]:
    yield "magics", [_Token("magic_add_cow", MAGIC), _Token("magic_qcow2", QCOW2_MAGIC)]
    for layout in (ADDCOW_V10, ADDCOW_V4, ADDCOW_V6, QCOW2_V2, QCOW2_V3_FIELDS):
        for field in layout.fields:
            if field.byte_order:
                yield f"{layout.name}.{field.name}: {field.doc}", _integers(layout, field)
    types = [_Token(f"extension_{kind.name.lower()}", kind.to_bytes(4, "big")) for kind in ExtensionType]
    yield "types of qcow2 header extensions", types
    yield "names", [_Token(f"name_{index}", name) for index, name in enumerate(_NAMES)]


def _integers(layout: Layout, field: Field) -> Iterator[_Token]:
    order: Literal["little", "big"] = "little" if field.byte_order == "le" else "big"
    for value in boundaries(layout, field):
        yield _Token(f"u{field.size}{field.byte_order}_{value:#x}", value.to_bytes(field.size, order))
