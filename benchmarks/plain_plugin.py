"""The least that an nbdkit plugin in Python can be: requests on a raw file. A peer of `bench_ref.py`.

Parameters: ``file``, and ``keep=1`` to keep the states of nbdkit's threads, as the engine's plugin does.
"""

# ruff: noqa: A001, ARG001, D103, FBT001, PLW0603 - the shape is nbdkit's
from __future__ import annotations

import ctypes
import os
import threading

import nbdkit

API_VERSION = 2

_path = ""
_keep = False
_file = -1
_here = threading.local()


def thread_model() -> int:
    return nbdkit.THREAD_MODEL_PARALLEL


def config(key: str, value: str) -> None:
    global _path, _keep
    if key == "keep":
        _keep = value == "1"
    else:
        _path = value


def get_ready() -> None:
    global _file
    _file = os.open(_path, os.O_RDWR)


def open(readonly: bool) -> int:
    return 1


def get_size(handle: int) -> int:
    return os.fstat(_file).st_size


def can_multi_conn(handle: int) -> bool:
    return True


def can_fua(handle: int) -> int:
    return nbdkit.FUA_EMULATE


def pread(handle: int, buffer: memoryview, offset: int, flags: int) -> None:
    if _keep:
        _keep_state()
    if os.preadv(_file, (buffer,), offset) != len(buffer):
        raise EOFError


def pwrite(handle: int, buffer: memoryview, offset: int, flags: int) -> None:
    if _keep:
        _keep_state()
    if os.pwritev(_file, (buffer,), offset) != len(buffer):
        raise EOFError


def flush(handle: int, flags: int) -> None:
    os.fdatasync(_file)


def _keep_state() -> None:
    if not hasattr(_here, "kept"):
        _here.kept = True
        ctypes.pythonapi.PyGILState_Ensure()
