"""The folder of a campaign: corpus, findings and state, of which nothing is ever there by half.

Files are made elsewhere in the folder, synced, and renamed; so is the folder of a finding, as a whole. An
input is named after its SHA-1, so that it is the same file whoever found it, and however often.
"""

from __future__ import annotations

import fcntl
import json
import os
import platform
import shlex
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from addcow_fuzz._environment import IMPLEMENTATION
from addcow_fuzz.campaign._model import digest
from addcow_spec import __version__
from addcow_spec.errors import AddCowError
from addcow_spec.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from addcow_fuzz.campaign._model import Found

__all__ = ["BadFolder", "Store"]

_FINDING = "finding.json"
_LONGEST_NAME = 200
_IDENTITY = 16
# Files that are synced at a time, as a disk takes many for little more than one.
_WRITERS = 8


class BadFolder(AddCowError):
    """A folder, or a pool, is no campaign's, is in use, or cannot be reached; the text is one line."""


class Store:
    """A campaign's folder.

    Args:
        path: where it is; it is made where nothing is there.
    """

    def __init__(self, path: str) -> None:
        self.path = os.path.abspath(path)

    def __str__(self) -> str:
        return printable(os.fsencode(self.path))

    def at(self, *names: str) -> str:
        """A path in the folder."""
        return os.path.join(self.path, *names)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep others from the folder, which is made, and freed of what was written by half.

        Raises:
            BadFolder: another campaign has it.
            OSError: it cannot be made.
        """
        os.makedirs(self.path, exist_ok=True)
        with open(self.at("lock"), "a", encoding="utf-8") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise BadFolder(f"{self}: in use by another campaign") from None
            shutil.rmtree(self.at("partial"), ignore_errors=True)
            for name in ("corpus", "findings", "partial", "stats", "work"):
                os.makedirs(self.at(name), exist_ok=True)
            yield

    def corpus(self, target: str) -> str:
        """The directory of a target's inputs; it is made."""
        path = self.at("corpus", target)
        os.makedirs(path, exist_ok=True)
        return path

    def add_inputs(self, target: str, inputs: Iterable[bytes]) -> int:
        """Add inputs to a corpus; how many were not there."""
        directory = self.corpus(target)
        new = {name: data for data in inputs if not os.path.exists(name := f"{directory}/{digest(data)}")}
        if new:
            with ThreadPoolExecutor(_WRITERS) as writers:
                for written in [writers.submit(self.write, *each, sync=False) for each in new.items()]:
                    written.result()
            _sync(directory)
        return len(new)

    def drop_input(self, target: str, data: bytes) -> None:
        """Take an input out of a corpus, if it is there: no run comes past it."""
        name = os.path.join(self.corpus(target), digest(data))
        if os.path.exists(name):
            os.unlink(name)

    def write(self, path: str, data: bytes, *, sync: bool = True) -> None:
        """Write a file of the folder whole.

        Args:
            path: the file; its directory is there.
            data: all of it.
            sync: whether the name has to be on the disk, too, on return.
        """
        partial = self.at("partial", f"{os.getpid()}-{digest(os.fsencode(path))}")
        _write(partial, data)
        os.replace(partial, path)
        if sync:
            _sync(os.path.dirname(path))

    def add_finding(self, found: Found) -> bool:
        """Keep a finding; whether it was not there."""
        name = _folder_name(found.token)
        folder = self.at("findings", name)
        if os.path.isdir(folder):
            return False
        partial = self.at("partial", name)
        os.makedirs(partial)
        for file, data in _finding_files(found).items():
            _write(os.path.join(partial, file), data)
        os.chmod(os.path.join(partial, "replay.sh"), 0o744)
        _sync(partial)
        os.rename(partial, folder)
        _sync(self.at("findings"))
        return True

    def findings(self) -> list[dict[str, Any]]:
        """What is told of each finding, the oldest first; empty where the folder has none.

        Raises:
            BadFolder: what is there is no finding's.
        """
        home = self.at("findings")
        found = []
        for name in sorted(os.listdir(home)) if os.path.isdir(home) else ():
            path = os.path.join(home, name, _FINDING)
            told = self._json(path, {"token", "target", "detail", "sha1", "bytes", "found"})
            found.append(told | {"folder": os.path.join("findings", name)})
        return sorted(found, key=lambda told: (str(told["found"]), str(told["token"])))

    def _json(self, path: str, needed: set[str]) -> dict[str, Any]:
        try:
            with open(path, "rb") as file:
                told = json.load(file)
        except (ValueError, RecursionError, FileNotFoundError):
            told = None
        if not isinstance(told, dict) or not needed <= told.keys():
            raise BadFolder(f"{printable(os.fsencode(path))}: not what a campaign has written")
        return told

    def state(self) -> dict[str, Any]:
        """The state that was kept last; empty where there is none.

        Raises:
            BadFolder: what is there is no state.
        """
        path = self.at("state.json")
        return self._json(path, {"format", "targets"}) if os.path.exists(path) else {}

    def identity(self) -> str:
        """A name that no other campaign has; it is made where there is none.

        Raises:
            BadFolder: what is there is none.
        """
        path = self.at("identity")
        if not os.path.exists(path):
            self.write(path, os.urandom(_IDENTITY // 2).hex().encode())
        with open(path, "rb") as file:
            identity = file.read(_IDENTITY + 1)
        if len(identity) != _IDENTITY or identity.translate(None, b"0123456789abcdef"):
            raise BadFolder(f"{printable(os.fsencode(path))}: not what a campaign has written")
        return identity.decode()

    def keep_state(self, state: dict[str, Any]) -> None:
        """Keep a state."""
        self.write(self.at("state.json"), (json.dumps(state, indent=1) + "\n").encode())


def _finding_files(found: Found) -> dict[str, bytes]:
    # A finding of another implementation is one of it alone.
    tried = {IMPLEMENTATION: os.environ[IMPLEMENTATION]} if os.environ.get(IMPLEMENTATION) else {}
    setting = "".join(f"{name}={shlex.quote(value)} " for name, value in tried.items())
    told = {
        "token": found.token,
        "target": found.target,
        "detail": found.detail,
        "sha1": digest(found.smallest),
        "bytes": len(found.smallest),
        "found": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "environment": {
            "add-cow-toolkit": __version__,
            "python": platform.python_version(),
            "platform": platform.platform(),
            **tried,
        },
        "replay": f"{setting}addcow-fuzz replay --target {found.target} input",
    }
    files = {
        "input": found.smallest,
        "original": found.original,
        "log": "".join(f"{line}\n" for line in found.log).encode(),
        "replay.sh": f'#!/bin/sh\ncd "$(dirname "$0")" && {told["replay"]}\n'.encode(),
        _FINDING: (json.dumps(told, indent=1) + "\n").encode(),
    }
    if found.operations is not None:
        files["operations.json"] = (json.dumps(found.operations, indent=1) + "\n").encode()
    return files


def _folder_name(token: str) -> str:
    """The token, or as much of it as a name can have."""
    return token if len(token) <= _LONGEST_NAME else f"{token[:_LONGEST_NAME]}-{digest(token.encode())[:8]}"


def _write(path: str, data: bytes) -> None:
    with open(path, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync(directory: str) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
