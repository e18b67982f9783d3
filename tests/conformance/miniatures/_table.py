"""The table of miniatures, and the decorator that puts one part into it."""

from __future__ import annotations

from dataclasses import replace

from tests.conformance.miniatures._bitmap import Bitmap
from tests.conformance.miniatures._header import Header
from tests.conformance.miniatures._image import Image
from tests.conformance.miniatures._right import Creator, Implementation, Opener

RIGHT = Implementation()
MINIATURES = {}

_PARTS = {"header": Header, "bitmap": Bitmap, "image": Image, "opener": Opener, "creator": Creator}


def breaks(rule):
    """Take a part that is wrong: its name is the miniature's, its docstring says who makes that mistake."""

    def take(part):
        kind = next(kind for kind, right in _PARTS.items() if issubclass(part, right))
        name = part.__name__
        MINIATURES[name] = replace(RIGHT, name=name, rule=rule, who=part.__doc__, **{kind: part})
        return part

    return take
