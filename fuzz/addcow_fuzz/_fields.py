"""Mutations of one header, field by field, with the values that the grammar and the format's limits give."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from addcow_spec.exports import boundaries
from addcow_spec.grammar import ADDCOW_V4, ADDCOW_V6, ADDCOW_V10, QCOW2_V2, QCOW2_V3_FIELDS
from addcow_spec.model import MAGIC, QCOW2_MAGIC, ExtensionType

if TYPE_CHECKING:
    from random import Random

    from addcow_spec.grammar import Layout

__all__ = ["insert_extension", "set_field"]


class _Integer(NamedTuple):
    """An integer field, and values worth trying."""

    offset: int
    size: int
    order: Literal["little", "big"]
    values: tuple[int, ...]


def _integers(*layouts: Layout) -> tuple[_Integer, ...]:
    return tuple(
        _Integer(
            field.offset,
            field.size,
            "little" if field.byte_order == "le" else "big",
            boundaries(layout, field),
        )
        for layout in layouts
        for field in layout.fields
        if field.byte_order
    )


_V10, _V6 = _integers(ADDCOW_V10), _integers(ADDCOW_V4, ADDCOW_V6)
_QCOW2 = _integers(QCOW2_V2, QCOW2_V3_FIELDS)
_ANY = (*_V10, *_V6, *_QCOW2)
_STEPS = (-512, -8, -1, 1, 8, 512)
_EXTENSIONS = (*ExtensionType, 0, 1, 0x23852875)


def set_field(header: bytearray, dice: Random) -> None:
    """Give a field of the header another value: one at a limit, one nearby, or one with a bit flipped."""
    field = dice.choice(_fields(header))
    where = slice(field.offset, field.offset + field.size)
    if len(header) < where.stop:
        header.extend(bytes(where.stop - len(header)))
    now = int.from_bytes(header[where], field.order)
    kind = dice.randrange(4)
    if kind == 0:
        value = now + dice.choice(_STEPS)
    elif kind == 1:
        value = now ^ 1 << dice.randrange(8 * field.size)
    else:
        value = dice.choice(field.values)
    header[where] = (value % (1 << 8 * field.size)).to_bytes(field.size, field.order)


def _fields(header: bytearray) -> tuple[_Integer, ...]:
    if header.startswith(QCOW2_MAGIC):
        return _QCOW2
    if header.startswith(MAGIC):
        return _V10 if header[8:9] == b"\1" else _V6
    return _ANY


def insert_extension(header: bytearray, dice: Random) -> None:
    """Put a qcow2 header extension before the first one, with a length that may be wrong."""
    start = 72 if header[4:8] == b"\0\0\0\2" else 104
    data = dice.choice((b"", b"raw", b"qcow2", b"add-cow", bytes(48), dice.randbytes(48)))
    length = dice.choice((len(data), len(data), len(data) + 1, 0xFFFFFFF9))
    kind = dice.choice(_EXTENSIONS)
    header[start:start] = kind.to_bytes(4, "big") + length.to_bytes(4, "big") + data + bytes(-len(data) % 8)
