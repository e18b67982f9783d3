"""Reports as one self-contained HTML page: no script, nothing from the network, readable on any screen.

The page's policy allows one style sheet, by its hash, and nothing else. Every value goes through Jinja's
autoescaping; names go through `addcow_spec.text.printable` first, and whatever is still not printable
after that is replaced by `_common.one_line`: no text can break the page or reorder what stands around it.
"""

from __future__ import annotations

from base64 import b64encode
from collections import Counter
from functools import cache
from hashlib import sha256
from importlib import resources
from typing import TYPE_CHECKING, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined

from addcow_conformance.checker import Verdict
from addcow_conformance.report._bitmap_picture import BitmapPicture, bitmap_picture, percentage
from addcow_conformance.report._chain_diagram import ChainDiagram, chain_diagram
from addcow_conformance.report._common import TOOL, extent, fit, omitted, path_of
from addcow_conformance.report._hexview import HexView, hex_view
from addcow_spec import __version__
from addcow_spec.geometry import SECTOR_SIZE
from addcow_spec.rules import Rule, Severity, rule
from addcow_spec.text import printable, quantity

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from addcow_conformance.checker import Report
    from addcow_spec.findings import Finding
    from addcow_spec.model import Span

__all__ = ["render"]

_OPEN_FINDINGS = 20
_VERDICTS = {
    Verdict.VALID: ("✓", "No must-rule and no should-rule is broken."),
    Verdict.ACCEPTABLE: ("!", "No must-rule is broken, but a should-rule is."),
    Verdict.INVALID: ("✕", "A must-rule is broken."),
    Verdict.NOT_ADD_COW: ("∅", "The file does not start with the magic of add-cow."),
    Verdict.UNKNOWN: ("?", "The check could not be completed."),
}


class _Item(NamedTuple):
    """A finding with all that the page tells about it."""

    number: int
    finding: Finding
    severity: Severity
    rule: Rule
    path: bytes
    fingerprint: str


class _Image(NamedTuple):
    """A report with the views made of it; ``id`` is unique in the page."""

    id: str
    report: Report
    sign: str
    says: str
    items: tuple[_Item, ...]
    per_file: Counter[int]
    unlisted: int
    hex: HexView
    picture: BitmapPicture | None
    chain: ChainDiagram

    @property
    def unit(self) -> str:
        """What a bit of the bitmap stands for, in a word."""
        return "sector" if self.report.bitmap and self.report.bitmap.unit_size == SECTOR_SIZE else "cluster"

    @property
    def first(self) -> dict[int, int]:
        """Number of the first finding of each file that has one."""
        return {item.finding.file: item.number for item in reversed(self.items)}

    @property
    def folded_findings(self) -> int:
        """Findings on the layers that the chain's diagram folds away."""
        files = [file for layer in self.chain.middle for file in (layer.file, *layer.beside)]
        return sum(self.per_file[file.index] for file in files)


class _Row(NamedTuple):
    """An image's line in the index."""

    id: str
    filename: bytes
    verdict: Verdict
    sign: str
    counts: dict[Severity, int]


def render(
    reports: Iterable[Report],
    *,
    many: bool,
    color: bool,  # noqa: ARG001 - every renderer that has options has the same two
) -> Iterator[str]:
    """The page, in pieces. The reports are taken one by one, and only their text is kept.

    Args:
        reports: the reports.
        many: whether the page begins with an index of the images.
        color: of no effect; a page has its colours, and follows the reader's choice of light or dark.
    """
    environment = _environment()
    section = environment.get_template("image.html.j2")
    index: list[_Row] = []
    sections: list[str] = []
    for number, report in enumerate(reports):
        image = _image(f"i{number}", report)
        index.append(_Row(image.id, report.filename, report.verdict, image.sign, report.counts))
        sections.append(section.render(image=image, many=many))
    verdicts = Counter(row.verdict for row in index)
    page = environment.get_template("page.html.j2")
    yield from page.generate(many=many, index=index, verdicts=verdicts, sections=sections)


def _image(ident: str, report: Report) -> _Image:
    sign, says = _VERDICTS[report.verdict]
    return _Image(
        id=ident,
        report=report,
        sign=sign,
        says=says,
        items=tuple(_item(report, number, finding) for number, finding in enumerate(report.findings, 1)),
        per_file=Counter(finding.file for finding in report.findings),
        unlisted=omitted(report),
        hex=hex_view(report),
        picture=bitmap_picture(report.bitmap) if report.bitmap else None,
        chain=chain_diagram(report.files),
    )


def _item(report: Report, number: int, finding: Finding) -> _Item:
    severity, fingerprint = report.severity(finding), report.fingerprint(finding)
    return _Item(number, finding, severity, rule(finding.rule), path_of(report, finding), fingerprint)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("addcow_conformance.report"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=fit,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "amount": "{:,}".format,
        "bytes": _byte_range,
        "extent": extent,
        "printable": printable,
        "quantity": quantity,
    }
    style = resources.files(__package__).joinpath("templates/style.css").read_text(encoding="utf-8")
    environment.globals |= {
        "OPEN_FINDINGS": _OPEN_FINDINGS,
        "Severity": Severity,
        "percentage": percentage,
        "style": style,
        "style_hash": b64encode(sha256(style.encode()).digest()).decode(),
        "tool": f"{TOOL} {__version__}",
    }
    return environment


def _byte_range(span: Span) -> str:
    """The bytes of a span in words, decimal and hexadecimal."""
    if span.length <= 1:
        return f"byte {span.offset:,} (0x{span.offset:x})"
    last = span.end - 1
    return f"bytes {span.offset:,} to {last:,} (0x{span.offset:x} to 0x{last:x})"
