"""Zeros: filling buffers with them, and seeing them."""

from __future__ import annotations

__all__ = ["HOLE_GRAIN", "fill_zeroes", "is_zero"]

# The least length that a hole is made for, in bytes: no file system has smaller ones.
HOLE_GRAIN = 4096

_ZEROES = bytes(64 << 10)


def fill_zeroes(view: memoryview) -> None:
    """Fill the bytes of ``view`` with zeros, without a second buffer of its size."""
    for start in range(0, len(view), len(_ZEROES)):
        part = view[start : start + len(_ZEROES)]
        part[:] = _ZEROES[: len(part)]


def is_zero(view: memoryview) -> bool:
    """Whether all bytes of ``view`` are zero; an empty one counts as such."""
    if view and view[0]:
        return False
    for start in range(0, len(view), len(_ZEROES)):
        part = view[start : start + len(_ZEROES)]
        if part.tobytes() != _ZEROES[: len(part)]:
            return False
    return True
