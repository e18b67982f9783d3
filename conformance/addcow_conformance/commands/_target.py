"""The options --target, --timeout and --validate-protocol: somebody's code, loaded or started."""

from __future__ import annotations

import os
import sys
from contextlib import AbstractContextManager, contextmanager, nullcontext, redirect_stdout, suppress
from typing import TYPE_CHECKING, Any, TypeVar

import click

from addcow_conformance._signals import Interrupted
from addcow_conformance.commands._failure import UNAVAILABLE, Failure
from addcow_conformance.commands._output import error_line, one_line, trouble_lines
from addcow_conformance.targets import REFERENCE, TIMEOUT, load_target
from addcow_spec.errors import AdapterError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from addcow_conformance.targets import Target

__all__ = [
    "adapter_options",
    "check_in_process",
    "check_name",
    "elsewhere",
    "ended",
    "find_modules",
    "is_module",
    "loaded",
    "target_option",
]

_MODULE = "python:"
_SCHEMES = (_MODULE, "stdio:", "nbd:", "qemu:", "cli:")
# What an operation may take at all leaves room for an answer that comes at the last moment.
_LONGEST_TIMEOUT = 50.0

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
        "as addcow_ref has. Modules of the working directory are found. Where it says so below, "
        "a program behind stdio:, nbd:, qemu: or cli:, too; see conformance/README.md.",
    )(command)


def adapter_options(command: _Command) -> _Command:
    """The options --timeout and --validate-protocol."""
    timeout = click.option(
        "--timeout",
        metavar="S",
        type=click.FloatRange(0, _LONGEST_TIMEOUT, min_open=True),
        default=TIMEOUT,
        show_default=True,
        help="Seconds that an answer of a program may take.",
    )
    validate = click.option(
        "--validate-protocol",
        "validate",
        is_flag=True,
        help="Hold every message of stdio:COMMAND against the JSON Schema; needs jsonschema.",
    )
    return timeout(validate(command))


def ended(target: Target) -> AbstractContextManager[object]:
    """A context that ends the process of a target, if it has one."""
    return target if isinstance(target, AbstractContextManager) else nullcontext()


@contextmanager
def elsewhere() -> Iterator[None]:
    """What a target prints goes to standard error, as standard output is the answer's."""
    with redirect_stdout(sys.stderr):
        yield


def check_name(name: str) -> None:
    """Check that a name is one of a target.

    Raises:
        UsageError: it is none.
    """
    if not name.startswith(_SCHEMES) or name in _SCHEMES:
        wanted = "python:MODULE, python:MODULE:NAME or one of " + ", ".join(_SCHEMES[1:])
        raise UsageError(f"{one_line(name)!r} is no target: {wanted} is wanted")


def is_module(name: str) -> bool:
    """Whether a name is one of a module, and not of a program."""
    return name.startswith(_MODULE)


def check_in_process(name: str) -> None:
    """Check that a name is not one of a program in a process of its own, whose storage calls nobody sees.

    Raises:
        UsageError: it is.
    """
    check_name(name)
    if not name.startswith(_MODULE):
        raise UsageError(f"{one_line(name)!r} is in a process of its own: python:MODULE is wanted here")


def find_modules(name: str) -> None:
    """Let the modules that a target's name may mean be found."""
    if name.startswith(_MODULE) and name != REFERENCE:
        _find_here()


def loaded(name: str, *, timeout: float = TIMEOUT, validate: bool = False) -> Target:
    """The implementation of that name.

    Args:
        name: the name.
        timeout: seconds that an answer of another process may take.
        validate: whether to hold every message against the JSON Schema.

    Raises:
        UsageError: it is no name of a target, or jsonschema is not installed.
        Failure: it cannot be loaded, or started.
    """
    check_name(name)
    find_modules(name)
    if not name.startswith(_MODULE):
        try:
            return load_target(name, timeout=timeout, validate=validate)
        except AdapterError as error:
            raise Failure("\n".join(trouble_lines(error)), UNAVAILABLE) from error
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
