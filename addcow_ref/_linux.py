"""System calls of Linux that Python does not offer."""

from __future__ import annotations

import ctypes
import os
from functools import cache

__all__ = ["PUNCH_HOLE", "ZERO_RANGE", "fallocate"]

_KEEP_SIZE = 0x01
PUNCH_HOLE = 0x02 | _KEEP_SIZE
ZERO_RANGE = 0x10 | _KEEP_SIZE


@cache
def _fallocate() -> ctypes._NamedFuncPointer:
    function = ctypes.CDLL(None, use_errno=True).fallocate64
    function.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
    return function


def fallocate(descriptor: int, mode: int, offset: int, length: int) -> None:
    """Deallocate or zero a range of a file, whose length stays.

    Raises:
        OSError: it failed, or the file system cannot do it (EOPNOTSUPP).
    """
    while _fallocate()(descriptor, mode, offset, length):
        code = ctypes.get_errno()
        if code != 4:  # EINTR
            raise OSError(code, os.strerror(code))
