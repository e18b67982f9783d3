"""The conformance suite: vectors, and the files that they describe.

A vector is a recipe for a few small files and the verdict that a checker must reach on them. The vectors
are in `corpora/vectors`; `corpora/README.md` explains them.
"""

from addcow_conformance.suite.vectors import (
    Directory,
    Entry,
    Fifo,
    HardLink,
    Label,
    RegularFile,
    Scene,
    SymbolicLink,
    Vector,
    load_vector,
    load_vectors,
    materialize,
    vector_schema,
)

__all__ = [
    "Directory",
    "Entry",
    "Fifo",
    "HardLink",
    "Label",
    "RegularFile",
    "Scene",
    "SymbolicLink",
    "Vector",
    "load_vector",
    "load_vectors",
    "materialize",
    "vector_schema",
]
