"""Bytes from outside made fit to be shown: the one place that decides what a name may look like."""

from __future__ import annotations

__all__ = ["printable", "quantity"]

_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


def printable(value: bytes) -> str:
    r"""``value`` as one line of printable characters, unambiguous and safe in any output.

    Text that is UTF-8 and printable stays as it is. A backslash is doubled; control characters, line and
    paragraph separators, bidirectional and other format characters become ``\u{...}``, bytes that are not
    UTF-8 become ``\xNN``.
    """
    return value.decode("utf-8", "surrogateescape").translate(_TABLE)


def _shown(code: int) -> str:
    char = chr(code)
    if char == "\\":
        return "\\\\"
    if char.isprintable():
        return char
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    return f"\\u{{{code:x}}}"


class _Table(dict[int, str]):
    """How each character is shown; the ones that no table has are seldom."""

    def __missing__(self, code: int) -> str:
        return _shown(code)


_TABLE = _Table((code, _shown(code)) for code in (*range(256), *range(0xDC80, 0xDD00)))


def quantity(size: int) -> str:
    """A size in bytes as people say it: ``1.5 GiB``; exact bytes below 1 KiB."""
    if size < 1024:
        return f"{size} bytes"
    power = min((size.bit_length() - 1) // 10, len(_UNITS) - 1)
    value = size / (1 << 10 * power)
    return f"{value:.3g} {_UNITS[power]}" if value < 999.5 else f"{value:.0f} {_UNITS[power]}"
