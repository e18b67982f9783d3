"""Stateful models: hypothesis makes up disks and what is done to them, for any implementation.

Hypothesis is needed here and nowhere else in the package: install the extra ``models``.
"""

from addcow_conformance.models._found import explain, keep
from addcow_conformance.models._run import find, measure
from addcow_conformance.reach import Reach

__all__ = ["Reach", "explain", "find", "keep", "measure"]
