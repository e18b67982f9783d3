"""The processes below a process. They are nobody's children here, and still their end can be waited for."""

from __future__ import annotations

import os
import select
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["all_ended", "descendants"]


@contextmanager
def descendants(leader: int) -> Iterator[Sequence[int]]:
    """Descriptors of the processes below the leader of a process group, as far as they are in the group.

    Args:
        leader: process id of the leader, which is not reaped.
    """
    found: list[int] = []
    try:
        _collect(leader, leader, found)
        yield found
    finally:
        for descriptor in found:
            os.close(descriptor)


def _collect(group: int, process: int, found: list[int]) -> None:
    with suppress(OSError):  # it has ended meanwhile
        for task in os.listdir(f"/proc/{process}/task"):
            with open(f"/proc/{process}/task/{task}/children", "rb") as file:
                children = file.read().split()
            for child in map(int, children):
                _collect(group, child, found)
                with suppress(OSError):
                    if os.getpgid(child) == group:
                        found.append(os.pidfd_open(child))


def all_ended(descriptors: Sequence[int], seconds: float) -> bool:
    """Whether all of these processes end within so many seconds."""
    until = time.monotonic() + seconds
    for descriptor in descriptors:
        # A descriptor of a process can be read when it has ended, and its files are closed.
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        if not poll.poll(max(until - time.monotonic(), 0) * 1000):
            return False
    return True
