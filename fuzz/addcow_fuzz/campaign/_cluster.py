"""Workers of a Dask cluster, on this machine or others, as an executor.

Workers may come and go: Dask gives what a dead one had to another. All of them reach the campaign's folder by
the same path, on a file system that they share, or a pool of objects.
"""

from __future__ import annotations

from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

from addcow_fuzz.campaign._model import SliceFailed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Executor

__all__ = ["cluster"]

_CONNECTING = 20


@contextmanager
def cluster(scheduler: str) -> Iterator[tuple[Executor, int]]:
    """An executor on a cluster, and how many slices it can run at a time at the moment.

    Args:
        scheduler: the address of its scheduler, such as ``tcp://192.0.2.1:8786``.

    Raises:
        SliceFailed: distributed is not installed, or the scheduler does not answer.
    """
    try:
        distributed: Any = import_module("distributed")  # an extra, and typed by halves
    except ImportError as error:
        raise SliceFailed("distributed is not installed: pip install 'add-cow-toolkit[cluster]'") from error
    try:
        client = distributed.Client(scheduler, timeout=_CONNECTING)
    except (OSError, ValueError) as error:
        raise SliceFailed(f"{scheduler}: no scheduler answers: {error}") from error
    with client:
        # A slice is never the same as another one, whatever its arguments are.
        yield client.get_executor(pure=False), max(sum(client.nthreads().values()), 1)
