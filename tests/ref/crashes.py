"""What can be on disk after a loss of power: the log of a `RecordingStorage`, replayed in part."""

from __future__ import annotations

from itertools import product
from random import Random

from addcow_ref import open_image
from addcow_ref.memory import MemoryFiles
from addcow_ref.testing import SyncEvent, TruncateEvent, WriteEvent
from tests.ref.scenes import SECTOR

__all__ = ["Crashes", "sectors"]

_ALL_SUBSETS = 5


def sectors(data):
    return [data[at : at + SECTOR] for at in range(0, len(data), SECTOR)]


class Crashes:
    """Crash states of the writable files of a scene, which was recorded by ``log``.

    Args:
        scene: the files as they are before the first event.
        log: the log, which may grow afterwards.
    """

    def __init__(self, scene, log):
        self._scene = scene
        self._log = log
        names = [name for name in (b"x", b"img", b"base") if scene.has(name)]
        self._before = {name: scene.get(name) for name in names}
        self._names = {scene.identity(name): name for name in (b"x", b"img")}

    def states(self, cut, *, seed=0):
        """File contents, by name, that a loss of power after ``cut`` events can leave.

        Synced events are there. Of the others any may be missing: all subsets where there are few, else none,
        all, each one missing, each one alone, and some subsets of their sectors.
        """
        kept, loose = [], []
        events = self._log[:cut]
        for number, event in enumerate(events):
            if isinstance(event, SyncEvent):
                continue
            synced = SyncEvent(event.file) in events[number:]
            kept.append((number, event))
            if not synced:
                loose.append(number)
        for missing in _subsets(loose):
            yield self._apply(event for number, event in kept if number not in missing)
        random = Random(seed + cut)  # noqa: S311 - chooses states to try
        for _ in range(2 if any(isinstance(self._log[number], WriteEvent) for number in loose) else 0):
            pieces = []
            for number, event in kept:
                if number not in loose:
                    pieces.append(event)
                else:
                    pieces += [piece for piece in _pieces(event) if random.random() < 0.5]
            yield self._apply(pieces)

    def _apply(self, events):
        files = {name: bytearray(data) for name, data in self._before.items()}
        for event in events:
            data = files[self._names[event.file]]
            if isinstance(event, TruncateEvent):
                del data[event.length :]
                data.extend(bytes(event.length - len(data)))
                continue
            content = event.data if isinstance(event, WriteEvent) else bytes(event.length)
            data.extend(bytes(max(event.offset - len(data), 0)))
            data[event.offset : event.offset + len(content)] = content
        return files

    def read(self, state):
        """The disk that an opener finds in a state."""
        files = MemoryFiles(state)
        with open_image(files.open(b"x"), revision=self._scene.revision) as image:
            return image.read(0, image.size)


def _subsets(numbers):
    if len(numbers) <= _ALL_SUBSETS:
        for keep in product((False, True), repeat=len(numbers)):
            yield {number for number, kept in zip(numbers, keep, strict=True) if not kept}
        return
    yield from (set(numbers), set())
    yield from ({number} for number in numbers)
    yield from (set(numbers) - {number} for number in numbers)


def _pieces(event):
    """An event cut into the sectors of the file, each of which is written whole or not at all."""
    if not isinstance(event, WriteEvent):
        return [event]
    cuts = [
        event.offset,
        *range((event.offset // SECTOR + 1) * SECTOR, event.offset + len(event.data), SECTOR),
    ]
    ends = [*cuts[1:], event.offset + len(event.data)]
    return [
        WriteEvent(event.file, start, event.data[start - event.offset : end - event.offset])
        for start, end in zip(cuts, ends, strict=True)
    ]
