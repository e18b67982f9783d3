"""A directory in the bytes of an input, for names that are resolved: files, links, and headers naming them.

The first byte holds options. Lines follow, each an entry: a letter, a path, and after a ``|`` what the entry
is about. Paths of entries stay in the directory; what links and headers name may be anything.

======  ===========================================================================
letter  entry
======  ===========================================================================
``a``   an add-cow file: ``a path|image|backing``; the first one is opened
``f``   a raw file of 512 bytes
``d``   a directory
``l``   a symbolic link: ``l path|target``
``h``   a hard link: ``h path|target``, a path in the directory as well
``p``   a named pipe
======  ===========================================================================
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from addcow_fuzz._files import InputFiles
from addcow_fuzz._packing import name_of
from addcow_fuzz.templates import add_cow
from addcow_spec.geometry import SECTOR_SIZE, Geometry
from addcow_spec.model import Revision

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Recipe", "make", "parse"]

_MOST_ENTRIES = 12
_LONGEST_PATH, _LONGEST_NAME = 64, 255


class Recipe(NamedTuple):
    """An input taken apart.

    Attributes:
        options: its byte of options.
        entries: letter, path and the fields behind it.
        image: the path to open; None where there is no add-cow file.
    """

    options: int
    entries: tuple[tuple[str, bytes, bytes, bytes], ...]
    image: bytes | None


def parse(data: bytes) -> Recipe:
    """Take an input apart; lines that are no entry are left out."""
    entries = []
    for line in data[1:].split(b"\n", _MOST_ENTRIES)[:_MOST_ENTRIES]:
        letter = chr(line[0]) if line else ""
        path, name, other = (line[1:].strip(b" ") + b"||").split(b"|")[:3]
        if letter in _MAKERS and _stays_inside(path):
            entries.append((letter, path, name[:_LONGEST_NAME], other[:_LONGEST_NAME]))
    image = next((path for letter, path, _, _ in entries if letter == "a"), None)
    return Recipe(data[0] if data else 0, tuple(entries), image)


def _stays_inside(path: bytes) -> bool:
    parts = path.split(b"/")
    return 0 < len(path) <= _LONGEST_PATH and b"\0" not in path and not {b"", b".", b".."} & {*parts}


def make(recipe: Recipe, root: bytes) -> None:
    """Make the entries in the directory ``root``; those that cannot be made are left out.

    Symbolic links come last, so that nothing is made through them.
    """
    for letter, path, name, other in sorted(recipe.entries, key=lambda entry: _ORDER.index(entry[0])):
        full = os.path.join(root, path)
        with suppress(OSError, ValueError):
            os.makedirs(os.path.dirname(full), exist_ok=True)
            _MAKERS[letter](root, full, name, other)


def _add_cow(_: bytes, full: bytes, name: bytes, other: bytes) -> None:
    files = InputFiles(add_cow(0, Revision.V10, SECTOR_SIZE, image=name, backing=other))
    _write(full, files.read(name_of(0), 0, Geometry(Revision.V10, SECTOR_SIZE).bitmap_end))


def _raw(_: bytes, full: bytes, name: bytes, other: bytes) -> None:
    _write(full, (name + other).ljust(SECTOR_SIZE, b"\0"))


def _directory(_: bytes, full: bytes, name: bytes, other: bytes) -> None:
    del name, other
    os.mkdir(full)


def _symbolic_link(_: bytes, full: bytes, name: bytes, other: bytes) -> None:
    del other
    os.symlink(name, full)


def _hard_link(root: bytes, full: bytes, name: bytes, other: bytes) -> None:
    del other
    if _stays_inside(name):
        os.link(os.path.join(root, name), full, follow_symlinks=False)


def _pipe(_: bytes, full: bytes, name: bytes, other: bytes) -> None:
    del name, other
    os.mkfifo(full)


def _write(full: bytes, data: bytes) -> None:
    with open(full, "xb") as file:
        file.write(data)


_MAKERS: dict[str, Callable[[bytes, bytes, bytes, bytes], None]] = {
    "d": _directory,
    "a": _add_cow,
    "f": _raw,
    "p": _pipe,
    "h": _hard_link,
    "l": _symbolic_link,
}
_ORDER = "".join(_MAKERS)
