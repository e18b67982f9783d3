"""A target with planted bugs that are found at once, and nothing of add-cow in it."""

from __future__ import annotations

import json
import os
import tempfile

from addcow_fuzz._environment import REACHED
from addcow_fuzz.invariants import Finding

__all__ = ["COUNTED", "TOKENS", "check_one", "explain"]

TOKENS = {"fake:-:first:a", "fake:-:first:b", "strict:-:-:indexerror"}

COUNTED = {"fake: started": 1, "fake: never": 0}

if path := os.environ.get(REACHED):
    with open(path, "w", encoding="utf-8") as file:
        json.dump(COUNTED, file)
    tempfile.mkdtemp(prefix="addcow-left-")  # as one does that is killed


def check_one(data):
    """An 'a' or 'b' in the first place is a bug, and an 'e' in the second."""
    first = data[:1]
    if first == b"a":
        raise Finding("fake", "an a", operation="first", site="a")
    if first == b"b":
        raise Finding("fake", "a b", operation="first", site="b")
    if data[1:2] == b"e":
        raise IndexError("an e")


def explain(data):
    """The bytes as numbers."""
    return list(data)
