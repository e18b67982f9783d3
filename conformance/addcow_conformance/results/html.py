"""The run as one self-contained HTML page: no script, nothing from the network, readable on any screen.

It has the style and the safeguards of the checker's page: a policy that allows one style sheet, autoescaping,
and no character that is not printable. Cases are filtered by outcome in the style sheet.
"""

from __future__ import annotations

from base64 import b64encode
from functools import cache
from hashlib import sha256
from importlib import resources
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader, StrictUndefined

from addcow_conformance import report
from addcow_conformance.report._common import counted, fit
from addcow_conformance.results._bytes import byte_rows
from addcow_conformance.results._model import Outcome
from addcow_conformance.results._words import (
    TOOL,
    contrast,
    entry,
    known_cases,
    run_facts,
    script_lines,
    stated,
    summary,
    verdict,
)
from addcow_spec import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator

    from addcow_conformance.results._model import Run

__all__ = ["render"]


def render(run: Run) -> Iterator[str]:
    """The page: what is not as expected, unfolded; what is known; and the other cases."""
    known = known_cases(run)
    told = {result.case for result in (*run.deviations, *known)}
    groups = (
        ("Not as expected", run.deviations),
        ("Known", known),
        ("As expected", tuple(result for result in run.results if result.case not in told)),
    )
    shown = [outcome for outcome in Outcome if run.counts[outcome]]
    yield from _environment().get_template("run.html.j2").generate(run=run, groups=groups, shown=shown)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("addcow_conformance.results"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=fit,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "byte_rows": byte_rows,
        "contrast": contrast,
        "counted": counted,
        "entry": entry,
        "run_facts": run_facts,
        "script_lines": script_lines,
        "stated": stated,
        "summary": summary,
        "verdict": verdict,
    }
    style = "".join(
        resources.files(package).joinpath("templates/style.css").read_text(encoding="utf-8")
        for package in (report.__name__, __package__)
    )
    environment.globals |= {
        "Outcome": Outcome,
        "style": style,
        "style_hash": b64encode(sha256(style.encode()).digest()).decode(),
        "tool": f"{TOOL} {__version__}",
    }
    return environment
