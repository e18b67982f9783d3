"""A storage that tells of each call, and threads that never hang a test."""

from __future__ import annotations

import os
import threading

__all__ = ["PATIENCE", "Crew", "Stop", "hooked"]

# Seconds until a wait counts as a hang; nothing that works comes near it.
PATIENCE = 10


def hooked(scene, hook, **options):
    """An image whose storages tell the hook of their calls, those of opening left out."""
    hooks = []

    def tell(*call):
        for each in hooks:
            each(*call)

    image = scene.open(wrap=lambda storage: _HookedStorage(storage, tell), **options)
    hooks.append(hook)
    return image


class _HookedStorage:
    """A storage that calls ``hook(operation, name, offset)`` before each of its calls."""

    def __init__(self, storage, hook):
        self._storage = storage
        self._hook = hook

    def __getattr__(self, name):
        return getattr(self._storage, name)

    def _tell(self, operation, offset=0):
        self._hook(operation, os.path.basename(self._storage.path), offset)

    def read_into(self, offset, buffer):
        self._tell("read", offset)
        self._storage.read_into(offset, buffer)

    def write(self, offset, *buffers):
        self._tell("write", offset)
        self._storage.write(offset, *buffers)

    def write_zeroes(self, offset, length, *, unmap=True):
        self._tell("zeroes", offset)
        self._storage.write_zeroes(offset, length, unmap=unmap)

    def sync(self):
        self._tell("sync")
        self._storage.sync()

    def close(self):
        self._tell("close")
        self._storage.close()

    def open(self, name, *, writable=False):
        return _HookedStorage(self._storage.open(name, writable=writable), self._hook)


class Stop:
    """A hook that holds up the first call of a kind until it is told to let go."""

    def __init__(self, operation, name, offset=None):
        self._wanted = (operation, name)
        self._offset = offset
        self._first = threading.Lock()
        self.reached = threading.Event()
        self.let_go = threading.Event()

    def __call__(self, operation, name, offset):
        if (operation, name) != self._wanted or self._offset not in {None, offset}:
            return
        if self._first.acquire(blocking=False):
            self.reached.set()
            assert self.let_go.wait(PATIENCE)


class Crew:
    """Threads; leaving the block joins them all and raises what one of them raised."""

    def __init__(self):
        self._threads = []
        self._failures = []

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        alive = [thread for thread in self._threads if not self.ended(thread, PATIENCE)]
        if kind is None:
            assert not alive
            if self._failures:
                raise self._failures[0]

    def start(self, call, *arguments):
        def run():
            try:
                call(*arguments)
            except BaseException as error:  # noqa: BLE001 - raised again by the main thread
                self._failures.append(error)

        thread = threading.Thread(target=run, daemon=True)
        self._threads.append(thread)
        thread.start()
        return thread

    @staticmethod
    def ended(thread, seconds=0.05):
        """Whether a thread ended within some seconds; the default is for one that is held up."""
        thread.join(seconds)
        return not thread.is_alive()
