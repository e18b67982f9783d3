"""The program that makes the vectors: one module for each family of rules.

`_files` and `_images` build bytes, `_cases` says what a vector is, and each other module yields its cases.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vectorgen import (
    bitmap,
    chain,
    features,
    header,
    names,
    qcow2_backing,
    resolution,
    revisions,
    sizes,
    stated,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["vectors"]

_FAMILIES = (header, revisions, stated, bitmap, sizes, names, resolution, features, chain, qcow2_backing)


def vectors() -> Iterator[tuple[str, str]]:
    """The path below ``vectors`` and the text of every vector, each path once.

    Raises:
        ValueError: two cases have the same name.
    """
    seen: set[str] = set()
    for family in _FAMILIES:
        for case in family.cases():
            if case.path in seen:
                raise ValueError(f"{case.path}: two vectors of that name")
            seen.add(case.path)
            yield case.path, case.text()
