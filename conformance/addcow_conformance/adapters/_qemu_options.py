"""The name of a ``qemu:`` target, taken apart: two commands, and what cannot be seen of them."""

from __future__ import annotations

import os
import shlex
from typing import NamedTuple

from addcow_spec.errors import UsageError
from addcow_spec.model import Revision

__all__ = ["Options", "parse_options"]

# What QEMU can do as a matter of course, and a command's help does not tell; `--without` takes it back.
BACKINGS = ("backing-qcow2", "backing-add-cow")

_DEFAULTS = {
    "--qemu-img": ("qemu-img",),
    "--qemu-io": ("qemu-io",),
    "--format": ("add-cow",),
    "--revision": (Revision.V10.value,),
    "--without": (),
}


class Options(NamedTuple):
    """The two commands, and what they have.

    Attributes:
        img: the words that run qemu-img; ``{command}`` stands for its command, which is last otherwise.
        io: the words that run qemu-io.
        format: what the format is called.
        revisions: the revisions that are made and opened; ``{revision}`` in a word stands for one.
        backings: the kinds of backing files besides raw ones.
    """

    img: tuple[str, ...]
    io: tuple[str, ...]
    format: str
    revisions: tuple[Revision, ...]
    backings: frozenset[str]


def parse_options(text: str) -> Options:
    """Take apart what is after ``qemu:``, in words as a shell has them.

    Raises:
        UsageError: it is not understood.
    """
    given: dict[str, list[str]] = {option: [] for option in _DEFAULTS}
    words = iter(_words(text, "the options"))
    for word in words:
        option, equals, value = word.partition("=")
        if option not in given:
            raise UsageError(f"qemu: has no option {option!a}: {', '.join(_DEFAULTS)}")
        given[option].append(value if equals else next(words, ""))
        if not given[option][-1]:
            raise UsageError(f"qemu: {option} wants a value")
    chosen = {option: tuple(values) or _DEFAULTS[option] for option, values in given.items()}
    return Options(
        _program(chosen["--qemu-img"][-1], "--qemu-img"),
        _program(chosen["--qemu-io"][-1], "--qemu-io"),
        chosen["--format"][-1],
        tuple(map(Revision, _known("--revision", chosen, tuple(Revision)))),
        frozenset(BACKINGS) - set(_known("--without", chosen, BACKINGS)),
    )


def _words(text: str, what: str) -> tuple[str, ...]:
    try:
        words = tuple(shlex.split(text))
    except ValueError as error:
        raise UsageError(f"qemu: {what}: {error}") from error
    return words


def _program(text: str, option: str) -> tuple[str, ...]:
    words = _words(text, option)
    if not words or not words[0]:
        raise UsageError(f"qemu: {option} wants a command")
    # It is run in several directories.
    return (os.path.abspath(words[0]) if os.path.dirname(words[0]) else words[0], *words[1:])


def _known(option: str, chosen: dict[str, tuple[str, ...]], known: tuple[str, ...]) -> tuple[str, ...]:
    for value in chosen[option]:
        if value not in known:
            raise UsageError(f"qemu: {option} {value!a}: one of {', '.join(known)} is wanted")
    return chosen[option]
