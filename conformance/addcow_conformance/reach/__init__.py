"""The states of a disk that matter, and how often programs come to them, whoever makes the programs up."""

from addcow_conformance.reach._reach import Reach, states

__all__ = ["Reach", "states"]
