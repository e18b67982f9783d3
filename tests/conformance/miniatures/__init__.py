"""Implementations that are wrong on purpose, each in one point that people get wrong; and one that is right.

`RIGHT` is a small implementation from `spec/` alone, made of five parts: header, bitmap, image, opener and
creator. A miniature is `RIGHT` with one part that is wrong. Each is a target by its name, for example
``python:tests.conformance.miniatures:MostSignificantBitFirst``; the table `MINIATURES` has them all.
"""

from tests.conformance.miniatures import (  # noqa: F401 - each fills the table
    bitmap,
    chain,
    creating,
    durability,
    header,
    names,
    reading,
    resizing,
    sharing,
    streaming,
    writing,
)
from tests.conformance.miniatures._table import MINIATURES, RIGHT

__all__ = ["MINIATURES", "RIGHT"]


def __getattr__(name):
    if name in MINIATURES:
        return MINIATURES[name]
    raise AttributeError(f"there is no miniature {name}")
