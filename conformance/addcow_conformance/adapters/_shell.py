"""Words as a POSIX shell has them, whatever bytes they are made of."""

from __future__ import annotations

import os
import shlex

__all__ = ["shell_word"]

# What means nothing between quotes, and nothing to printf.
_PLAIN = frozenset(range(32, 127)) - frozenset(b"'%\\")


def shell_word(word: bytes | str) -> str:
    """The word, quoted; what cannot be shown is in octal, as a terminal might obey it, and a file lose it.

    A shell cannot have a newline at the end of such a word, and drops it.
    """
    text = os.fsdecode(word)
    if text.isprintable():
        return shlex.quote(text)
    octal = (chr(byte) if byte in _PLAIN else f"\\{byte:03o}" for byte in os.fsencode(word))
    return f"\"$(printf -- '{''.join(octal)}')\""
