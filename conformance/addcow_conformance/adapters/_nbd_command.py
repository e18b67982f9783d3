"""The command of `nbd:`: words with places for what differs from one opening to the next."""

from __future__ import annotations

import os
import re
import shlex
from typing import TYPE_CHECKING

from addcow_spec.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from addcow_spec.model import Revision

__all__ = ["Command"]

_READ_ONLY = re.compile(r"\{readonly:([^{}]*)\}")
_PLACE = re.compile(r"\{(?:image|socket|revision)\}")
# What looks like a place, and is not a shell's variable.
_ANY_PLACE = re.compile(r"(?<!\$)\{[A-Za-z_-]+(?::[^{}]*)?\}")
_NEEDED = ("{image}", "{socket}")
_KNOWN = (*_NEEDED, "{revision}", "{readonly:WORDS}")


class Command:
    """A command with placeholders.

    Args:
        text: its words as a shell has them, with ``{image}`` and ``{socket}``; ``{revision}`` is v4, v6 or
            v10, and ``{readonly:WORDS}`` the words where an image is opened for reading, else none.
        under: the words of a command that runs it.

    Attributes:
        name: what the program is called.

    Raises:
        UsageError: it is no command, lacks a placeholder, or has one that there is not.
    """

    def __init__(self, text: str, under: Sequence[str] = ()) -> None:
        for place in _ANY_PLACE.findall(text):
            if not (_PLACE.fullmatch(place) or _READ_ONLY.fullmatch(place)):
                raise UsageError(f"nbd: knows no {place!a}, only {', '.join(_KNOWN)}")
        self._words = {
            writable: (*under, *_split(_READ_ONLY.sub("" if writable else r"\1", text)))
            for writable in (True, False)
        }
        self.name = os.path.basename(self._words[True][len(under)])

    def words(self, image: bytes, socket: str, revision: Revision, *, writable: bool) -> list[str]:
        """The words for one opening."""
        values = {"{image}": os.fsdecode(image), "{socket}": socket, "{revision}": str(revision)}
        return [_PLACE.sub(lambda place: values[place[0]], word) for word in self._words[writable]]


def _split(text: str) -> list[str]:
    """The words of a command, whose program is found from every directory.

    Raises:
        UsageError: it is no command, or lacks a placeholder.
    """
    try:
        program, *rest = shlex.split(text)
    except ValueError as error:
        raise UsageError(f"nbd: wants a command with {' and '.join(_NEEDED)}") from error
    for place in _NEEDED:
        if not any(place in word for word in rest):
            raise UsageError(f"nbd: wants {place} among the words of the command")
    return [os.path.abspath(program) if os.path.dirname(program) else program, *rest]
