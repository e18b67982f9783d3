"""What comes of calls that may fail."""

from __future__ import annotations

from addcow_spec.errors import StorageError

__all__ = ["outcomes"]


def outcomes(call, times):
    """Which of so many calls fail."""
    failed = []
    for number in range(times):
        try:
            call()
        except StorageError:
            failed.append(number)
    return failed
