"""What can be on disk after a loss of power: the log of a recorded scene, on real files or in memory."""

from __future__ import annotations

from random import Random

from addcow_conformance.powerloss import History
from addcow_ref import open_image
from addcow_ref.memory import MemoryFiles
from tests.ref.scenes import SECTOR

__all__ = ["Crashes", "sectors"]


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
        self._before = {name: scene.get(name) for name in (b"x", b"img")}
        self._base = {b"base": scene.get(b"base")} if scene.has(b"base") else {}
        self._names = {scene.identity(name): name for name in self._before}

    def states(self, cut, *, seed=0):
        """Files in memory that a loss of power after ``cut`` events can leave."""
        history = History(self._before, self._names)
        for event in self._log[:cut]:
            history.add(event)
        random = Random(seed + cut)  # noqa: S311 - chooses states to try
        for state in history.states(bound=64, samples=32, random=random):
            files = MemoryFiles(self._base)
            for name in self._before:
                history.put(name, state, files.create(name))
            yield files

    def read(self, files):
        """The disk that an opener finds in a state."""
        with open_image(files.open(b"x"), revision=self._scene.revision) as image:
            return image.read(0, image.size)
