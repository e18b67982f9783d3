"""Vectors read from their JSON, and their files made real.

A recipe stays inside the directory that it is made in: the paths of its files are relative and have no ``.``
or ``..``, the targets of its links do not lead out, and symbolic links are made last, so that nothing is
written through one. What the headers in those files say is another matter: the names there may be anything.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias
from urllib.parse import unquote_to_bytes

from addcow_conformance.checker import Verdict
from addcow_spec.errors import UsageError
from addcow_spec.model import Revision
from addcow_spec.rules import Profile

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "Directory",
    "Entry",
    "Fifo",
    "HardLink",
    "Label",
    "RegularFile",
    "Scene",
    "SymbolicLink",
    "Vector",
    "load_vector",
    "load_vectors",
    "materialize",
    "vector_schema",
]


@dataclass(frozen=True, slots=True)
class Directory:
    """An empty directory; directories that hold files need no entry."""

    path: bytes

    def make(self, root: bytes) -> None:
        """Make it below ``root``."""
        os.makedirs(os.path.join(root, self.path), exist_ok=True)


@dataclass(frozen=True, slots=True)
class RegularFile:
    """A file of ``size`` bytes, zero but for ``data``: pairs of offset and bytes."""

    path: bytes
    size: int
    data: tuple[tuple[int, bytes], ...]

    def make(self, root: bytes) -> None:
        """Write it below ``root``, sparse."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(_placed(root, self.path), flags, 0o644)
        try:
            os.truncate(descriptor, self.size)
            for offset, data in self.data:
                os.pwrite(descriptor, data, offset)
        finally:
            os.close(descriptor)


@dataclass(frozen=True, slots=True)
class Fifo:
    """A named pipe: nothing may block on it."""

    path: bytes

    def make(self, root: bytes) -> None:
        """Make it below ``root``."""
        os.mkfifo(_placed(root, self.path))


@dataclass(frozen=True, slots=True)
class HardLink:
    """A second name of the regular file ``target``, a path of the same recipe."""

    path: bytes
    target: bytes

    def make(self, root: bytes) -> None:
        """Make it below ``root``."""
        os.link(os.path.join(root, self.target), _placed(root, self.path), follow_symlinks=False)


@dataclass(frozen=True, slots=True)
class SymbolicLink:
    """A symbolic link that holds ``target``, which is relative to the link's own directory."""

    path: bytes
    target: bytes

    def make(self, root: bytes) -> None:
        """Make it below ``root``."""
        os.symlink(self.target, _placed(root, self.path))


Entry: TypeAlias = Directory | RegularFile | Fifo | HardLink | SymbolicLink

# Hard links need their targets; symbolic links come last, so that nothing is written through them.
_ORDER = (Directory, RegularFile, Fifo, HardLink, SymbolicLink)


class Label(NamedTuple):
    """What a check in one profile must say.

    Attributes:
        result: verdict; files that are no add-cow image at all are labelled ``invalid`` too.
        findings: id of the rule of each finding, sorted; a rule that is broken twice stands there twice.
    """

    result: Verdict
    findings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Vector:
    """A recipe and its labels.

    Attributes:
        id: the rule and a slug; also the name of the file that holds the vector.
        rule: id of the rule that it is about.
        revision: revision of the image that is opened.
        labels: what a check must say, by profile.
        flags: words that `corpora/README.md` explains.
        source: where the rule comes from.
        comment: what is special about the files, for people.
        image: path of the image to open, below the recipe's directory.
        files: what to make.
        cwd: the directory to run the check in; empty for the recipe's own.
        confine: the directory that names may not lead out of, None without one.
        take_as: the revision that the user states, None where it is to be told from the file.
    """

    id: str
    rule: str
    revision: Revision
    labels: dict[Profile, Label]
    flags: frozenset[str]
    source: str
    comment: str
    image: bytes
    files: tuple[Entry, ...]
    cwd: bytes
    confine: bytes | None
    take_as: Revision | None


class Scene(NamedTuple):
    """A vector made real.

    Attributes:
        image: path of the image to open, relative to ``cwd``. It is relative so that a name of more than
            4,000 bytes, joined to its directory, still fits the system's limit on paths.
        cwd: absolute path of the working directory to open it in.
        confine: absolute path of the directory to confine names to, None for no limit.
        take_as: the revision to take the image for, None to tell it from the file.
    """

    image: bytes
    cwd: bytes
    confine: bytes | None
    take_as: Revision | None


def vector_schema() -> dict[str, Any]:
    """The JSON Schema of a vector."""
    text = resources.files(__package__).joinpath("schemas/vector-v1.json").read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema


def load_vector(path: str | os.PathLike[str]) -> Vector:
    """Read one vector.

    Raises:
        UsageError: the file cannot be read, is no vector, or has a path that leads out of its directory.
    """
    try:
        return _vector(json.loads(Path(path).read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{os.fspath(path)}: not a vector: {error!r}") from error


def load_vectors(directory: str | os.PathLike[str]) -> tuple[Vector, ...]:
    """Read every ``*.json`` below ``directory``, in the order of their paths.

    Raises:
        UsageError: as `load_vector`; also where there is none.
    """
    found = tuple(load_vector(path) for path in sorted(Path(directory).rglob("*.json")))
    if not found:
        raise UsageError(f"{os.fspath(directory)}: no vectors here")
    return found


def materialize(vector: Vector, directory: str | bytes | os.PathLike[str]) -> Scene:
    """Make the files of a vector in ``directory``, which exists and is empty.

    Raises:
        UsageError: the directory is not empty.
        OSError: a file cannot be made.
    """
    root = os.path.abspath(os.fsencode(directory))
    if os.listdir(root):
        raise UsageError(f"{os.fsdecode(root)}: not empty")
    for kind in _ORDER:
        for entry in vector.files:
            if isinstance(entry, kind):
                entry.make(root)
    cwd = os.path.join(root, vector.cwd).rstrip(b"/")
    return Scene(
        image=os.path.relpath(os.path.join(root, vector.image), cwd),
        cwd=cwd,
        confine=None if vector.confine is None else os.path.join(root, vector.confine),
        take_as=vector.take_as,
    )


def _placed(root: bytes, path: bytes) -> bytes:
    """The full path below ``root``, with the directories above it made."""
    full = os.path.join(root, path)
    os.makedirs(os.path.dirname(full), exist_ok=True)
    return full


def _vector(raw: dict[str, Any]) -> Vector:
    return Vector(
        id=raw["id"],
        rule=raw["rule"],
        revision=Revision(raw["revision"]),
        labels={
            Profile.REVIEWED: Label(Verdict(raw["result"]), tuple(raw["findings"])),
            Profile.AS_WRITTEN: Label(Verdict(raw["result-as-written"]), tuple(raw["findings-as-written"])),
        },
        flags=frozenset(raw["flags"]),
        source=raw["source"],
        comment=raw["comment"],
        image=_path(raw["image"]),
        files=tuple(_entries(raw["files"])),
        cwd=_path(raw["cwd"]) if "cwd" in raw else b"",
        confine=_path(raw["confine"]) if "confine" in raw else None,
        take_as=Revision(raw["take-as"]) if "take-as" in raw else None,
    )


def _entries(raw: list[dict[str, Any]]) -> Iterator[Entry]:
    for item in raw:
        path = _path(item["path"])
        match item:
            case {"directory": True}:
                yield Directory(path)
            case {"fifo": True}:
                yield Fifo(path)
            case {"hardlink": str(target)}:
                yield HardLink(path, _path(target))
            case {"symlink": str(target)}:
                yield SymbolicLink(path, _target(path, target))
            case {"size": int(size), "data": list(data)}:
                yield RegularFile(path, size, tuple(_pieces(data, size)))
            case _:
                raise ValueError(f"{item['path']!r}: neither file, link, FIFO nor directory")


def _pieces(data: list[dict[str, Any]], size: int) -> Iterator[tuple[int, bytes]]:
    for piece in data:
        offset, value = int(piece["offset"]), bytes.fromhex(piece["hex"])
        if offset < 0 or offset + len(value) > size:
            raise ValueError(f"data at {offset}: beyond the file's {size} bytes")
        yield offset, value


def _path(text: str) -> bytes:
    """The bytes of a percent-encoded path that stays in its directory."""
    path = unquote_to_bytes(text)
    if b"\0" in path or any(part in (b"", b".", b"..") for part in path.split(b"/")):
        raise ValueError(f"{text!r}: not a plain relative path")
    return path


def _target(path: bytes, text: str) -> bytes:
    """The bytes of a symbolic link that, dangling or not, does not lead out of the recipe's directory."""
    target = unquote_to_bytes(text)
    reached = os.path.normpath(os.path.join(os.path.dirname(path), target))
    if not target or b"\0" in target or os.path.isabs(reached) or reached.split(b"/")[0] == b"..":
        raise ValueError(f"{text!r}: leads out of the recipe's directory")
    return target
