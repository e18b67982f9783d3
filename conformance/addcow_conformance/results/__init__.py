"""What a run of the suite found, what was expected of it, and how it is told: a renderer for each format.

A renderer is imported only when its format is asked for. `expect` holds a run against what is known.
"""

from __future__ import annotations

from importlib import import_module, resources
from typing import TYPE_CHECKING

from addcow_conformance.results._model import (
    BAD,
    About,
    CaseResult,
    Difference,
    Expectation,
    Outcome,
    Run,
)
from addcow_spec.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

__all__ = [
    "BAD",
    "FORMATS",
    "About",
    "CaseResult",
    "Difference",
    "Expectation",
    "Outcome",
    "Run",
    "check_format",
    "render",
    "schema",
]

# Each is a module of this package.
FORMATS = ("human", "json", "junit", "sarif", "html", "markdown", "github", "badge")


def render(run: Run, *, output: str, color: bool = False) -> Iterator[str]:
    """Write a run out in the format ``output``; the pieces joined are the document.

    Args:
        run: the run.
        output: one of `FORMATS`.
        color: whether the human format may colour its text.

    Raises:
        KeyError: there is no such format.
        UsageError: the format needs a package that is not installed.
    """
    module = check_format(output)
    options = {"color": color} if output == "human" else {}
    written: Iterator[str] = module.render(run, **options)
    return written


def check_format(output: str) -> ModuleType:
    """The module of a format.

    Raises:
        KeyError: there is no such format.
        UsageError: the format needs a package that is not installed.
    """
    if output not in FORMATS:
        raise KeyError(output)
    try:
        return import_module(f"{__name__}.{output}")
    except ModuleNotFoundError as error:
        if str(error.name).startswith("addcow_"):
            raise
        raise UsageError(
            f"the {output} format needs the package {error.name}: install add-cow-toolkit[report]"
        ) from error


def schema() -> str:
    """The JSON Schema (draft 2020-12) of the json format."""
    return resources.files(__name__).joinpath("schemas", "run-v1.json").read_text(encoding="utf-8")
