"""Reports of the checker, written out: one renderer a format, found by name.

A renderer is a function from an iterable of reports to an iterator of text; it is imported only when its
format is asked for. The human, jsonl and github formats answer as each image finishes; no format keeps a
report that it has written.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

from addcow_spec.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from addcow_conformance.checker import Report

__all__ = ["FORMATS", "render", "schema"]


class _Renderer(NamedTuple):
    """Where a renderer is, as ``module:function`` in this package, and which options it takes."""

    target: str
    options: tuple[str, ...] = ()


_RENDERERS = {
    "human": _Renderer("human:render", ("many", "color")),
    "json": _Renderer("json:render", ("many",)),
    "jsonl": _Renderer("json:render_lines"),
    "sarif": _Renderer("sarif:render"),
    "junit": _Renderer("junit:render"),
    "markdown": _Renderer("markdown:render"),
    "github": _Renderer("github:render"),
    "html": _Renderer("html:render", ("many", "color")),
}

FORMATS = tuple(_RENDERERS)


def render(reports: Iterable[Report], *, output: str, many: bool, color: bool) -> Iterator[str]:
    """Write reports out in the format ``output``, piece by piece; the pieces joined are the document.

    The renderer is loaded before the first report is asked for, so that a missing package is told at once.

    Args:
        reports: the reports, consumed one at a time.
        output: one of `FORMATS`.
        many: whether several images were asked for: the json format then is an array, the human one brief.
        color: whether the human format may colour its text.

    Raises:
        KeyError: there is no such format.
        UsageError: the format needs a package that is not installed.
    """
    renderer = _RENDERERS[output]
    module, function = renderer.target.split(":")
    try:
        write = getattr(import_module(f"{__name__}.{module}"), function)
    except ModuleNotFoundError as error:
        if str(error.name).startswith("addcow_"):
            raise
        raise UsageError(
            f"the {output} format needs the package {error.name}: install add-cow-toolkit[report]"
        ) from error
    options = {"many": many, "color": color}
    written: Iterator[str] = write(reports, **{name: options[name] for name in renderer.options})
    return written


def schema() -> str:
    """The JSON Schema (draft 2020-12) that the json format and each line of jsonl conform to."""
    from importlib import resources  # noqa: PLC0415 - the other formats do without it

    return resources.files(__name__).joinpath("schemas", "check-v1.json").read_text(encoding="utf-8")
