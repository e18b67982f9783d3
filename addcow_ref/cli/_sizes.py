"""Numbers of bytes as QEMU's tools take and show them."""

from __future__ import annotations

import math
import re

__all__ = ["LARGEST", "approximate", "exact", "parse_size"]

LARGEST = (1 << 63) - 1

_SUFFIXES = "bkmgtpe"
_DECIMAL = re.compile(rf"\s*\+?([0-9]+)(?:\.([0-9]*))?([{_SUFFIXES}]?)", re.IGNORECASE)
_HEXADECIMAL = re.compile(rf"\s*\+?0x([0-9a-f]+)([{_SUFFIXES}]?)", re.IGNORECASE)
# More digits than the largest size has; Python itself refuses numbers that are far longer.
_DIGITS = 40

_POWERS = ("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")


def parse_size(text: str) -> int:
    """A number of bytes from ``64k``, ``1.5G``, ``0x200`` or ``4096``; suffixes are powers of 1024.

    A fraction needs a suffix, and is rounded down to bytes.

    Raises:
        ValueError: it is no such number.
        OverflowError: it is beyond 2**63 - 1.
    """
    found = _HEXADECIMAL.fullmatch(text)
    digits, fraction, suffix = (found[1], "", found[2]) if found else _decimal(text)
    multiple: int = 1 << 10 * _SUFFIXES.index(suffix.lower() or "b")
    digits, fraction = digits.lstrip("0"), fraction.rstrip("0")[:_DIGITS]
    if fraction and multiple == 1:
        raise ValueError(f"{text} is no whole number of bytes")
    if len(digits) > _DIGITS:
        raise OverflowError(f"{text} is too large")
    size: int = int(digits or "0", 16 if found else 10) * multiple
    size += int(fraction or "0") * multiple // 10 ** len(fraction)
    if size > LARGEST:
        raise OverflowError(f"{text} is too large")
    return size


def _decimal(text: str) -> tuple[str, str, str]:
    found = _DECIMAL.fullmatch(text)
    if not found or not text.isascii():
        raise ValueError(f"{text} is no number of bytes")
    return found[1], found[2] or "", found[3]


def approximate(size: int) -> str:
    """Three digits, as qemu-img shows sizes: ``1.91 MiB``, ``0 B``."""
    power = max((math.frexp(size * 1.024)[1] - 1) // 10, 0)
    return f"{size / (1 << 10 * power):.3g} {_POWERS[power]}B"


def exact(size: float) -> str:
    """Three places, none where they are zeros, as qemu-io shows sizes: ``4 KiB``, ``4.503 KiB``."""
    power = next((power for power in range(6, 0, -1) if size >= 1 << 10 * power), 0)
    number = f"{size / (1 << 10 * power):.3f}" if power else f"{size:f}"
    return f"{number.partition('.000')[0]} {f'{_POWERS[power]}B' if power else 'bytes'}"
