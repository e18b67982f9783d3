"""Many items in order, by workers that may die: none is lost, and none is tried for ever."""

from __future__ import annotations

from collections import deque
from concurrent.futures import BrokenExecutor, wait
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from concurrent.futures import Future

    from addcow_conformance._executor import Workers

__all__ = ["spread"]

# Pieces that are given to the workers, for each that they may be at: results that wait for a slow one before
# them take memory.
_AHEAD = 3

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def spread(
    call: Callable[[Sequence[_Item]], Sequence[_Result]],
    items: Iterable[_Item],
    workers: Workers,
    *,
    size: int,
    lost: Callable[[_Item, Exception], _Result],
) -> Iterator[_Result]:
    """The results of items, in their order. Few of the items are given at a time, however many there are.

    When a worker dies, nobody knows what of all that was under way it died of. Each of these is done once
    more, by itself and with nothing beside it, so that the one at fault is known, and given up.

    Args:
        call: gives the results of some items, in order; it can be sent to another process.
        items: the items.
        workers: who calls.
        size: how many items are given at once, 1 or more.
        lost: the result of an item that is given up, from the `BrokenExecutor` or `TimeoutError`.

    Raises:
        Exception: any other that a call raises.
    """
    under_way: deque[tuple[tuple[_Item, ...], Future[Sequence[_Result]]]] = deque()
    left = iter(items)
    try:
        while True:
            while len(under_way) < _AHEAD * workers.width and (some := tuple(islice(left, size))):
                under_way.append((some, workers.executor.submit(call, some)))
            if not under_way:
                return
            some, future = under_way.popleft()
            try:
                results = future.result()
            except (BrokenExecutor, TimeoutError):
                wait([future for _, future in under_way])
                for item in some:
                    yield _alone(call, item, workers, lost)
            else:
                yield from results
    finally:
        for _, future in under_way:
            future.cancel()


def _alone(
    call: Callable[[Sequence[_Item]], Sequence[_Result]],
    item: _Item,
    workers: Workers,
    lost: Callable[[_Item, Exception], _Result],
) -> _Result:
    try:
        return workers.executor.submit(call, (item,)).result()[0]
    except (BrokenExecutor, TimeoutError) as error:
        return lost(item, error)
