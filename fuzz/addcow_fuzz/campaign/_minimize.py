"""Inputs made smaller while they come to the same finding.

This is delta debugging in one process: the token decides, and nothing is left to chance. libFuzzer's
``-minimize_crash`` drops bytes at random, in a new process for each step, and depends on the time it has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["minimized"]


def minimized(data: bytes, same: Callable[[bytes], bool]) -> Iterator[bytes]:
    """Ever smaller inputs that come to the same; nothing where the first one does not.

    The last one loses no byte, and no byte that is not zero becomes zero, without coming to something else.

    Args:
        data: the input.
        same: whether an input comes to the same finding.
    """
    if not same(data):
        return
    yield data
    before = None
    while data != before:
        before = data
        for step in (_shorter, _zeroed):
            for smaller in step(data, same):
                data = smaller
                yield data


def _shorter(data: bytes, same: Callable[[bytes], bool]) -> Iterator[bytes]:
    """Pieces are dropped: halves, quarters, and so on down to bytes; from the end, which is rarely needed."""
    size = len(data)
    while size := size // 2 if size > 1 else 0:
        start = len(data)
        while start > 0:
            start = max(start - size, 0)
            tried = data[:start] + data[start + size :]
            if same(tried):
                data = tried
                yield data
    if len(data) == 1 and same(b""):
        yield b""


def _zeroed(data: bytes, same: Callable[[bytes], bool]) -> Iterator[bytes]:
    for index, byte in enumerate(data):
        tried = data[:index] + b"\0" + data[index + 1 :]
        if byte and same(tried):
            data = tried
            yield data
