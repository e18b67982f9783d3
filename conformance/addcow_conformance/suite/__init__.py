"""The conformance suite: cases for every rule; vectors, and the files that they describe.

A vector is a recipe for a few small files and the verdict that a checker must reach on them. The vectors
are in `corpora/vectors`; `corpora/README.md` explains them.
"""

from addcow_conformance.suite._all import all_cases
from addcow_conformance.suite._case import Bench, Case, Effort
from addcow_conformance.suite._corpus import CORPUS, corpus
from addcow_conformance.suite.cases._choices import FLAGS
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
    "CORPUS",
    "FLAGS",
    "Bench",
    "Case",
    "Directory",
    "Effort",
    "Entry",
    "Fifo",
    "HardLink",
    "Label",
    "RegularFile",
    "Scene",
    "SymbolicLink",
    "Vector",
    "all_cases",
    "corpus",
    "load_vector",
    "load_vectors",
    "materialize",
    "vector_schema",
]
