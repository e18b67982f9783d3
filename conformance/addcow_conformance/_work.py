"""What work for an executor is like, and what it fails by where there is nobody to do it."""

from __future__ import annotations

from typing import NamedTuple

from addcow_spec.errors import AddCowError

__all__ = ["ClusterError", "Work"]


class ClusterError(AddCowError):
    """A cluster cannot be reached, or has no workers that can do what is asked. The text is one line."""


class Work(NamedTuple):
    """What work is like.

    Attributes:
        finish: whether processes finish what they are at where an exception ends the work; else they are
            killed.
        start: how processes start; see `_workers.pool`.
        seconds: that a call may take on a cluster; None where calls see to that themselves.
        absence: seconds that a cluster may be without workers; None for any time.
        directory: the working directory of calls on a cluster; None where no relative path matters.
    """

    finish: bool = True
    start: str = "fork"
    seconds: float | None = 3600.0
    absence: float | None = 60.0
    directory: bytes | None = None
