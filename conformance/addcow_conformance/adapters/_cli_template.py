"""The file of a ``cli:`` target: who the program is, and its commands with places for what is asked."""

from __future__ import annotations

import os
import re
import shlex
from typing import Any, NamedTuple

from addcow_conformance.results._toml_file import BadExpectations, parsed, read_bounded
from addcow_spec.errors import UsageError
from addcow_spec.model import Revision
from addcow_spec.text import printable

__all__ = ["Template", "read_template"]

_PLACE = re.compile(rb"\{(\w+)\}")
# Where in every command: the image, the revision, and the directory of the file.
_ANYWHERE = frozenset({"image", "revision", "here"})
# The commands, and what else each is told; all of that has to have its place.
_COMMANDS = {
    "create": frozenset({"image_file", "backing_file", "backing_format"}),
    "size": frozenset[str](),
    "read": frozenset({"offset", "length"}),
    "write": frozenset({"offset", "length"}),
    "zeroes": frozenset({"offset", "length"}),
    "resize": frozenset({"size"}),
    "stream": frozenset[str](),
}
_REQUIRED = ("size", "read")
# A write can read its data to the end instead; v4 and v6 cannot state that a backing file is raw.
_OPTIONAL = {"create": frozenset({"backing_format"}), "write": frozenset({"length"})}

_TEXTS = ("name", "version", "language", "homepage", "issues")
_BACKINGS = ("qcow2", "add-cow")
# The keys, with the value of those that may be left out.
_KEYS: dict[str, Any] = {
    "name": None,
    "version": "",
    "language": "",
    "homepage": "",
    "issues": "",
    "revisions": None,
    "backing": [],
    "commands": None,
}


class Template(NamedTuple):
    """A program and its commands; every text is somebody's.

    Attributes:
        name, version, language, homepage, issues: what the program is, as in `stdio.About`.
        revisions: the revisions of the format that it has.
        backings: words of abilities: what backing files it has besides raw ones.
        commands: the words of each command, with places.
        here: the directory of the file.
    """

    name: str
    version: str
    language: str
    homepage: str
    issues: str
    revisions: tuple[Revision, ...]
    backings: frozenset[str]
    commands: dict[str, tuple[bytes, ...]]
    here: bytes

    @property
    def programs(self) -> frozenset[bytes]:
        """The programs that the commands run."""
        return frozenset(_filled(words[0], {"here": self.here}) for words in self.commands.values())

    def words(self, command: str, **told: bytes) -> tuple[bytes, ...]:
        """The words of a command, with what is told in its places; that makes no words more of a word."""
        return tuple(_filled(word, {"here": self.here, **told}) for word in self.commands[command])


def _filled(word: bytes, values: dict[str, bytes]) -> bytes:
    return _PLACE.sub(lambda place: values[place[1].decode()], word)


def read_template(path: str) -> Template:
    """Read the file of a target.

    Args:
        path: the file, in TOML.

    Raises:
        UsageError: it cannot be read, or says what means nothing.
    """
    shown = printable(os.fsencode(path))
    try:
        found = parsed(read_bounded(path))
    except (OSError, BadExpectations) as error:
        said = error.strerror if isinstance(error, OSError) else str(error)
        raise UsageError(f"cli: {shown}: {said}") from error
    try:
        return _template(found, os.path.dirname(os.path.abspath(os.fsencode(path))))
    except UsageError as error:
        raise UsageError(f"cli: {shown}: {error}") from error


def _template(found: dict[str, Any], here: bytes) -> Template:
    _check_keys("", found, _KEYS, [key for key, value in _KEYS.items() if value is None])
    texts = {key: _text(key, found.get(key, "")) for key in _TEXTS}
    revisions = tuple(map(Revision, _chosen("revisions", found["revisions"], tuple(Revision))))
    backings = _chosen("backing", found.get("backing", []), _BACKINGS)
    if not revisions or not texts["name"]:
        raise UsageError("a name and a revision are wanted")
    commands = found["commands"]
    if not isinstance(commands, dict):
        raise UsageError("commands is no table")
    _check_keys("commands.", commands, _COMMANDS, _REQUIRED)
    words = {name: _command(name, line) for name, line in commands.items()}
    kinds = frozenset(f"backing-{kind}" for kind in backings)
    return Template(**texts, revisions=revisions, backings=kinds, commands=words, here=here)


def _check_keys(table: str, found: dict[str, Any], known: Any, required: Any) -> None:  # noqa: ANN401 - containers of names
    for key in found:
        if key not in known:
            raise UsageError(f"{table}{key} is unknown: {', '.join(known)}")
    for key in required:
        if key not in found:
            raise UsageError(f"{table}{key} is missing")


def _text(key: str, value: object) -> str:
    if not isinstance(value, str):
        raise UsageError(f"{key} is no text")
    return value


def _chosen(key: str, values: object, known: tuple[str, ...]) -> list[str]:
    if not isinstance(values, list) or any(value not in list(known) for value in values):
        raise UsageError(f"{key} is no list of {', '.join(known)}")
    return values


def _command(name: str, line: object) -> tuple[bytes, ...]:
    key = f"commands.{name}"
    try:
        words = tuple(map(os.fsencode, shlex.split(_text(key, line))))
    except ValueError as error:
        raise UsageError(f"{key}: {error}") from error
    if not words or not words[0]:
        raise UsageError(f"{key} is empty")
    if set(_PLACE.findall(words[0])) - {b"here"}:
        raise UsageError(f"{key} begins with another place than {{here}}, and names no program")
    places = {place.decode() for word in words for place in _PLACE.findall(word)}
    wrong = places - _ANYWHERE - _COMMANDS[name]
    missing = (_COMMANDS[name] | {"image"}) - _OPTIONAL.get(name, frozenset()) - places
    if wrong:
        raise UsageError(f"{key} is told no {{{min(wrong)}}}")
    if missing:
        raise UsageError(f"{key} has no place for {{{min(missing)}}}")
    return words
