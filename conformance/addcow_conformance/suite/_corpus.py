"""The vectors; in a checkout `corpus` is a link to `corpora/vectors`, in a wheel a directory."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from addcow_conformance.suite.vectors import Vector, load_vectors

__all__ = ["CORPUS", "corpus"]

CORPUS = Path(__file__).with_name("corpus")


@lru_cache
def corpus() -> tuple[Vector, ...]:
    """All vectors.

    Raises:
        UsageError: they are not there, or one cannot be read: a fault of the installation.
    """
    return load_vectors(CORPUS)
