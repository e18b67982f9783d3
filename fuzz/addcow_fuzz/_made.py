"""What a mutator made last, taken apart still: libFuzzer tries it next, and then has it changed again.

To take it apart each time would be a twentieth of an execution.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from addcow_fuzz._packing import Packed, Record, pack, unpack

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["make", "take_apart"]

_last: tuple[bytes, int, tuple[Record, ...]] = (b"", 0, ())


def make(options: int, records: Iterable[Record], max_size: int) -> bytes:
    """The bytes of an input, at most ``max_size`` of them."""
    global _last  # noqa: PLW0603 - a process has one libFuzzer, which has one input at a time
    kept = tuple(records)
    data = pack(options, kept)
    if len(data) > max_size:
        return data[:max_size]
    _last = data, options, kept
    return data


def take_apart(data: bytes) -> Packed:
    """The same as `unpack`; the list is the caller's to change."""
    known, options, records = _last
    return Packed(options, list(records)) if data == known else unpack(data)
