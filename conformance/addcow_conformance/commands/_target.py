"""The option --target: somebody's code, loaded."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager, redirect_stdout, suppress
from typing import TYPE_CHECKING, Any, TypeVar

import click

from addcow_conformance._signals import Interrupted
from addcow_conformance.commands._failure import UNAVAILABLE, Failure
from addcow_conformance.commands._output import error_line, one_line
from addcow_conformance.targets import REFERENCE, load_target
from addcow_spec.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from addcow_conformance.targets import Target

__all__ = ["elsewhere", "loaded", "target_option"]

_SCHEME = "python:"

_Command = TypeVar("_Command", bound="Callable[..., Any] | click.Command")


def _known(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    return [name for name in (REFERENCE,) if name.startswith(incomplete)]


def target_option(command: _Command) -> _Command:
    """The option --target."""
    return click.option(
        "--target",
        metavar="TARGET",
        default=REFERENCE,
        show_default=True,
        shell_complete=_known,
        help="The implementation: python:MODULE or python:MODULE:NAME, with create_image() and open_image() "
        "as addcow_ref has. Modules of the working directory are found.",
    )(command)


@contextmanager
def elsewhere() -> Iterator[None]:
    """What a target prints goes to standard error, as standard output is the answer's."""
    with redirect_stdout(sys.stderr):
        yield


def loaded(name: str) -> Target:
    """The implementation of that name.

    Raises:
        UsageError: it is no name of a target.
        Failure: it cannot be loaded.
    """
    if not name.startswith(_SCHEME) or name == _SCHEME:
        raise UsageError(f"{one_line(name)!r} is no target: python:MODULE or python:MODULE:NAME is wanted")
    if name != REFERENCE:
        _find_here()
    try:
        with elsewhere():
            return load_target(name)
    except Interrupted:
        raise
    except UsageError as error:
        raise Failure(one_line(str(error)), UNAVAILABLE) from error
    except BaseException as error:
        raise Failure(f"target {one_line(name)!r}: {error_line(error)}", UNAVAILABLE) from error


def _find_here() -> None:
    """Find modules in the working directory, as `python -m` does, unless Python is told not to."""
    with suppress(FileNotFoundError):
        here = os.getcwd()
        if not sys.flags.safe_path and here not in sys.path:
            sys.path.insert(0, here)
