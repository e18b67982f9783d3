"""Mutations of bytes that know nothing: libFuzzer's own where it runs, else a few of the same kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

__all__ = ["mutate_bytes", "use"]

_LONGEST_PIECE = 16
_native: Callable[[bytes, int], bytes] | None = None


def use(native: Callable[[bytes, int], bytes]) -> None:
    """Let libFuzzer, which runs now, mutate; outside of a run its function would end the process."""
    global _native  # noqa: PLW0603 - a process has one libFuzzer
    _native = native


def mutate_bytes(data: bytes, max_size: int, dice: Random) -> bytes:
    """Change bytes; at most ``max_size`` of them are left.

    libFuzzer's mutations know the dictionary, and what was compared with what.
    """
    if _native and data:
        return _native(data, max_size)
    changed = bytearray(data)
    at = dice.randrange(len(changed) + 1)
    piece = dice.randbytes(dice.randrange(1, _LONGEST_PIECE + 1))
    match dice.randrange(5):
        case 0:
            changed[at:at] = piece
        case 1:
            del changed[at : at + len(piece)]
        case 2:
            changed[at : at + 1] = piece[:1]
        case 3:
            changed[at : at + 1] = bytes(byte ^ 1 << dice.randrange(8) for byte in changed[at : at + 1])
        case _:
            changed[at : at + len(piece)] = piece
    return bytes(changed[:max_size])
