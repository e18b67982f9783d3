"""A campaign as one self-contained HTML page: no script, nothing from the network, readable on any screen.

It has the style and the safeguards of the checker's page: a policy that allows one style sheet, autoescaping,
and no character that is not printable.
"""

from __future__ import annotations

from base64 import b64encode
from functools import cache
from hashlib import sha256
from importlib import resources
from typing import TYPE_CHECKING, Any, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined

from addcow_conformance import report
from addcow_conformance.report._common import counted, fit
from addcow_fuzz.campaign._campaign import restored
from addcow_fuzz.campaign._curves import HEIGHT, WIDTH, curves
from addcow_fuzz.campaign._registry import Standing, standing
from addcow_spec import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from addcow_fuzz.campaign._registry import Entry
    from addcow_fuzz.campaign._store import Store

__all__ = ["render"]


class _Shown(NamedTuple):
    """A finding, and how it stands to the registry."""

    told: dict[str, Any]
    standing: Standing
    reason: str

    @property
    def bad(self) -> bool:
        return self.standing.is_news


def render(store: Store, registry: Mapping[str, Entry]) -> Iterator[str]:
    """The page: findings, the new ones first and unfolded, then each target with its curves.

    Args:
        store: the campaign's folder.
        registry: findings that are known, by their tokens.

    Raises:
        BadFolder: the folder is no campaign's.
    """
    _, tallies = restored(store)
    shown = [
        _Shown(told, standing(token, registry), registry[token].reason if token in registry else "")
        for told in store.findings()
        for token in (told["token"],)
    ]
    shown.sort(key=lambda finding: not finding.bad)
    yield from _environment().get_template("campaign.html.j2").generate(shown=shown, tallies=tallies)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("addcow_fuzz.campaign"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=fit,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"amount": "{:,.0f}".format, "counted": counted, "curves": curves}
    style = "".join(
        resources.files(package).joinpath("templates/style.css").read_text(encoding="utf-8")
        for package in (report.__name__, __package__)
    )
    environment.globals |= {
        "height": HEIGHT,
        "width": WIDTH,
        "style": style,
        "style_hash": b64encode(sha256(style.encode()).digest()).decode(),
        "tool": f"addcow-fuzz {__version__}",
    }
    return environment
