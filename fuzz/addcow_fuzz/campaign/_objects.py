"""Whole objects below a URL, by way of fsspec: on a file system that machines share, or in an object store.

An object is named after its SHA-1. What has another name, is no plain file, is too large, or is not what its
name says is passed over: somebody else has put it there, or a machine has died meanwhile.
"""

from __future__ import annotations

import os
import re
import socket
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import uuid4

from addcow_fuzz.campaign._model import digest
from addcow_fuzz.campaign._store import BadFolder
from addcow_spec.text import printable

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

__all__ = ["INPUT", "WORK", "Listing", "Objects"]

# Names below a corpus, and below the directory of a slice.
INPUT = re.compile(r"[0-9a-f]{40}")
WORK = re.compile(r"((new|found)/|artifacts/(crash|timeout|oom|leak)-)[0-9a-f]{40}")

_LARGEST = 16 << 20
# Objects that are held in memory at a time.
_AT_ONCE = 1000
# An fsspec path with one of these may be taken for a pattern.
_MAGIC = "*?["


class Listing(NamedTuple):
    """What is below a folder of objects.

    Attributes:
        sizes: bytes of each object, by its name.
        strange: paths that are none, in the order of the alphabet.
    """

    sizes: dict[str, int]
    strange: list[str]


class Objects:
    """Objects below a URL.

    Args:
        url: such as ``s3://bucket/prefix`` or ``file:///mnt/pool``; a path without a scheme is a directory.

    Attributes:
        url: the same, absolute.

    Raises:
        BadFolder: it is no URL of a file system that is installed. So do all methods where it cannot be
            reached; the text names this machine.
    """

    def __init__(self, url: str) -> None:
        self.url = url if "://" in url else f"file://{os.path.abspath(url)}"
        with self._reached():
            fsspec: Any = import_module("fsspec")  # an extra, and not typed
            self._system, root = fsspec.url_to_fs(self.url)
        self._root = str(root).rstrip("/")
        self._renames = isinstance(
            self._system, import_module("fsspec.implementations.local").LocalFileSystem
        )
        if not self._root or set(_MAGIC) & set(self._root):
            raise BadFolder(f"{self}: not the URL of a directory without {' '.join(_MAGIC)}")

    def __str__(self) -> str:
        return printable(os.fsencode(self.url))

    @contextmanager
    def _reached(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # each file system has errors of its own
            text = printable(str(error).encode("utf-8", "surrogatepass")) or type(error).__name__
            raise BadFolder(f"{self}: cannot be reached from {socket.gethostname()}: {text}") from error

    def _path(self, *names: str) -> str:
        return "/".join((self._root, *filter(None, names)))

    def has(self, name: str) -> bool:
        """Whether there is an object of this name."""
        with self._reached():
            self._system.invalidate_cache()
            try:
                self._system.info(self._path(name))
            except FileNotFoundError:
                return False
        return True

    def below(self, folder: str, names: re.Pattern[str]) -> Listing:
        """What is below a folder, at any depth.

        Args:
            folder: where.
            names: what an object's name has to be, from the folder on.
        """
        prefix = f"{self._path(folder)}/"
        with self._reached():
            self._system.invalidate_cache()
            found = self._system.find(prefix.rstrip("/"), detail=True)
        listing = Listing({}, [])
        for path, told in sorted(found.items()):
            name = path.removeprefix(prefix)
            if names.fullmatch(name) and told["type"] == "file" and told["size"] <= _LARGEST:
                listing.sizes[name] = told["size"]
            elif path.rstrip("/") != prefix.rstrip("/"):  # stores have empty objects for folders
                listing.strange.append(f"{folder}/{name}")
        return listing

    def folders(self, folder: str) -> list[str]:
        """Names of the folders in a folder; none where that is not there."""
        with self._reached():
            self._system.invalidate_cache()
            try:
                found = self._system.ls(self._path(folder), detail=True)
            except FileNotFoundError:
                return []
        names = (told["name"].rstrip("/").rpartition("/")[2] for told in found if told["type"] == "directory")
        return sorted(names)

    def get(self, folder: str, names: Collection[str]) -> Iterator[tuple[str, bytes]]:
        """Name and bytes of each object that is there, and is what its name says."""
        wanted = sorted(names)
        for start in range(0, len(wanted), _AT_ONCE):
            paths = {self._path(folder, name): name for name in wanted[start : start + _AT_ONCE]}
            with self._reached():
                answers = self._system.cat_ranges(list(paths), None, None, on_error="return")
                for answer in answers:
                    if isinstance(answer, Exception) and not isinstance(answer, FileNotFoundError):
                        raise answer
            for name, answer in zip(paths.values(), answers, strict=True):
                if isinstance(answer, bytes) and name.endswith(digest(answer)):
                    yield name, answer

    def put(self, folder: str, objects: Mapping[str, bytes]) -> None:
        """Put objects into a folder, each whole or not at all."""
        paths = {self._path(folder, name): data for name, data in objects.items()}
        with self._reached():
            if not self._renames:  # a store keeps what it has been given to the end, and that alone
                self._system.pipe(paths)
                return
            for path, data in paths.items():
                partial = self._path("partial", uuid4().hex)
                for each in (partial, path):
                    self._system.makedirs(each.rpartition("/")[0], exist_ok=True)
                self._system.pipe_file(partial, data)
                self._system.mv(partial, path)

    def drop(self, *names: str) -> None:
        """Take objects, or folders with all that is below, away; not being there is no failure.

        What somebody writes meanwhile may stay.
        """
        with self._reached():
            self._system.invalidate_cache()
            for name in names:
                with suppress(FileNotFoundError):
                    self._system.rm(self._path(name), recursive=True)
