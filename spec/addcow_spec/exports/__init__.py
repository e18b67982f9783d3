"""Descriptions of the format for other tools, made from the grammar: Kaitai Struct, libmagic, libFuzzer.

They are kept in `spec/exports` for those who have no Python. ``python -m addcow_spec.exports`` writes them,
``--check`` tells whether they are current.
"""

from typing import Final

from addcow_spec.exports._dictionary import boundaries, dictionary
from addcow_spec.exports._kaitai import kaitai
from addcow_spec.exports._magic import magic

__all__ = ["boundaries", "exports"]

_NOTICE: Final = "# Made from addcow_spec.grammar by `python -m addcow_spec.exports`; do not edit.\n"


def exports() -> dict[str, str]:
    """The text of every export by the name of its file."""
    texts = {**kaitai(), "add-cow.magic": magic(), "add-cow.dict": dictionary()}
    return {name: _NOTICE + text for name, text in texts.items()}
