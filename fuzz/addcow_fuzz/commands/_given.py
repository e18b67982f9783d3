"""What commands are given: targets, inputs, folders and the registry, each held to be what it has to be."""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from stat import S_ISREG
from typing import TYPE_CHECKING, Any, TypeVar

import click

from addcow_conformance._executor import ClusterError
from addcow_conformance.commands._failure import FAILED, USAGE, Failure
from addcow_fuzz.campaign import BadFolder, BadRegistry, SliceFailed, Store, Subject, load_registry
from addcow_fuzz.targets import TARGETS
from addcow_spec.errors import UsageError
from addcow_spec.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from addcow_fuzz.campaign import Entry

__all__ = [
    "SUBJECTS",
    "failures",
    "folder",
    "read_input",
    "registry",
    "registry_option",
    "subject_of",
    "subjects",
    "target_option",
]

# The targets, by name. A test puts another one in.
SUBJECTS = {name: Subject(name, target.module, target.max_len) for name, target in TARGETS.items()}

_LARGEST_INPUT = 16 << 20

_Command = TypeVar("_Command", bound="Callable[..., Any] | click.Command")


def target_option(command: _Command) -> _Command:
    """Add --target to a command on inputs."""
    option = click.option(
        "--target",
        metavar="TARGET",
        help="Whose input it is. Without it, what finding.json beside it says, or its directory's name.",
    )
    return option(command)


def registry_option(command: _Command) -> _Command:
    """Add --registry to a command."""
    option = click.option(
        "--registry",
        "registry_file",
        metavar="FILE",
        help="Findings that are known, in TOML, such as corpora/findings.toml. None are, without it.",
    )
    return option(command)


@contextmanager
def failures() -> Iterator[None]:
    """Say what a campaign cannot do as a command does.

    Raises:
        Failure: a folder, a registry, a target or a cluster cannot be used.
    """
    try:
        yield
    except BadRegistry as error:
        raise Failure(str(error), USAGE) from error
    except (BadFolder, ClusterError, SliceFailed) as error:
        raise Failure(str(error), FAILED) from error


def subjects(names: Iterable[str]) -> tuple[Subject, ...]:
    """The targets of these names, each once; all of them where no name is given.

    Raises:
        UsageError: there is no such target.
    """
    for name in names:
        if name not in SUBJECTS:
            raise UsageError(f"no target {name!a}: use {', '.join(SUBJECTS)}")
    return tuple(SUBJECTS[name] for name in dict.fromkeys(names)) or tuple(SUBJECTS.values())


def subject_of(path: str, given: str | None) -> Subject:
    """The target that an input is for.

    Args:
        path: of the input.
        given: the name that the user gives.

    Raises:
        UsageError: nothing tells of a target.
    """
    if given is None:
        directory = os.path.dirname(os.path.abspath(path))
        given = _told_target(directory) or os.path.basename(directory)
        if given not in SUBJECTS:
            shown = printable(os.fsencode(path))
            raise UsageError(f"{shown}: nothing tells whose input it is: name it, --target TARGET")
    return subjects([given])[0]


def _told_target(directory: str) -> str:
    try:
        with open(os.path.join(directory, "finding.json"), "rb") as file:
            return str(json.load(file)["target"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return ""


def read_input(path: str) -> bytes:
    """The bytes of a regular file.

    Raises:
        Failure: it is none, or has more than 16 MiB.
        OSError: it cannot be read.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    with open(descriptor, "rb") as file:
        regular = S_ISREG(os.fstat(descriptor).st_mode)
        data = file.read(_LARGEST_INPUT + 1) if regular else b""
    if not regular or len(data) > _LARGEST_INPUT:
        raise Failure(f"{printable(os.fsencode(path))}: not a file of at most 16 MiB")
    return data


def folder(path: str) -> Store:
    """The folder of a campaign that has run.

    Raises:
        Failure: it is none.
    """
    store = Store(path)
    if not os.path.isdir(store.at("findings")):
        raise Failure(f"{printable(os.fsencode(path))}: no folder of a campaign")
    return store


def registry(path: str | None) -> Mapping[str, Entry]:
    """The entries of a registry; none where none is named."""
    return load_registry(path) if path is not None else {}
