"""A target with planted bugs that are found at once, and nothing of add-cow in it."""

from __future__ import annotations

from addcow_fuzz.invariants import Finding

__all__ = ["TOKENS", "check_one", "explain"]

TOKENS = {"fake:-:first:a", "fake:-:first:b", "strict:-:-:indexerror"}


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
