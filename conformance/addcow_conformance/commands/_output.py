"""What is said: text from files and targets made fit to be shown, and where it goes."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from importlib import resources
from typing import TYPE_CHECKING, Any, TypeVar

import click

from addcow_conformance import _terminal
from addcow_spec import __version__
from addcow_spec.rules import catalogue
from addcow_spec.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from addcow_spec.errors import AdapterError

__all__ = [
    "TOOL",
    "answer_options",
    "emit",
    "error_line",
    "last_words",
    "one_line",
    "schema",
    "title",
    "tool",
    "trouble_lines",
    "try_directory",
    "try_file",
]

TOOL = "addcow-conformance"

_Command = TypeVar("_Command", bound="Callable[..., Any] | click.Command")


def answer_options(command: _Command) -> _Command:
    """Add --output and --schema to a command."""
    schema_option = click.option(
        "--schema", "show_schema", is_flag=True, help="Print the JSON Schema of --output json, and exit."
    )
    output_option = click.option(
        "--output",
        type=click.Choice(["human", "json"]),
        default="human",
        show_default=True,
        help="Format of the answer.",
    )
    return output_option(schema_option(command))


def one_line(text: str) -> str:
    """The text without what a terminal would obey; what can be shown stays as it is."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else printable(c.encode("utf-8", "surrogatepass")) for c in text)


def error_line(error: BaseException) -> str:
    """An error of somebody's code: its kind, and what it says."""
    try:
        said = str(error)
    except Exception:  # noqa: BLE001 - somebody's class, and all that is known of it is its name
        said = ""
    return one_line(f"{type(error).__name__}: {said}" if said else type(error).__name__)


def trouble_lines(error: AdapterError) -> list[str]:
    """A program that gave no answer, and its last words: lines."""
    return [error_line(error), *last_words(error.said)]


def last_words(said: Iterable[str]) -> list[str]:
    """The last lines of a program's standard error, as they are shown below what happened."""
    return [f"  stderr: {line}" for line in said]


def title(rule: str) -> str:
    """The title of a rule; empty where the catalogue has none of that id."""
    stated = catalogue().get(rule)
    return stated.title if stated else ""


def tool() -> dict[str, str]:
    """What an answer in JSON says of the program that gives it."""
    return {"name": TOOL, "version": __version__}


def schema(name: str) -> str:
    """The JSON Schema of an answer; the file ends in a newline."""
    return resources.files(__package__).joinpath("schemas", name).read_text(encoding="utf-8")


def emit(pieces: Iterable[str], target: bytes | None = None) -> None:
    """Write text to a file, which is replaced whole at the end, or to standard output.

    Raises:
        OSError: writing failed.
    """
    if target is not None:
        with _naming(target):
            _terminal.write_file(pieces, target)
        return
    for piece in pieces:
        sys.stdout.write(piece)
    sys.stdout.flush()


def try_file(target: bytes) -> None:
    """See whether `emit` could write to a file, before hours go into what is to be said; nothing is changed.

    Raises:
        OSError: it could not.
    """
    with _naming(target):
        _terminal.try_file(target)


def try_directory(path: bytes) -> None:
    """The same for a file in a directory, which is made unless it is there.

    Raises:
        OSError: one of the two could not be made.
    """
    there = os.path.abspath(path)
    with _naming(path):
        while not _is_there(there):
            there = os.path.dirname(there)
        _terminal.try_directory(there)


def _is_there(path: bytes) -> bool:
    try:
        os.lstat(path)
    except FileNotFoundError:
        return False
    return True


@contextmanager
def _naming(target: bytes) -> Iterator[None]:
    """Have an error name the file as it was given."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, os.strerror(error.errno or 0), target) from error
