"""What a repair may change, decided from a report alone. Nothing here touches a file.

A repair never guesses: a bit or a name is never made up, and where a field can be read in two ways nothing is
changed. What cannot be trusted stops a plan: bits after a wrong length are not zeroed, since they may be bits
that count, and an unknown feature may give a meaning to every byte.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from addcow_spec.codec import LAYOUTS, parse_header
from addcow_spec.geometry import SECTOR_SIZE, Geometry, round_up
from addcow_spec.model import Features, HeaderV4, HeaderV10, Revision, Role, Span
from addcow_spec.rules import Repair as Mode

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from addcow_conformance.checker._model import Report

__all__ = ["Patch", "plan_repair"]

# Findings on the add-cow file that leave it open what its bytes mean.
_DOUBTS = frozenset(
    {
        "ACW-FEA-003",
        *("ACW-NAM-001", "ACW-NAM-002", "ACW-NAM-003", "ACW-NAM-006", "ACW-NAM-007", "ACW-NAM-008"),
        *("ACW-ENV-001", "ACW-ENV-003", "ACW-ENV-004", "ACW-NAM-010"),
        "ACW-SIZ-007",
    }
)
_SHARED = frozenset({"ACW-CHN-001", "ACW-CHN-002"})

_SIZE = Span(2060, 8)


class Patch(NamedTuple):
    """A change to the bytes of ``span``: ``change`` makes the new bytes of each piece from the old ones.

    ``action`` says it in words for people.
    """

    rule: str
    span: Span
    change: Callable[[bytes], bytes]
    action: str


def plan_repair(report: Report, mode: Mode, *, stated: bool) -> list[Patch]:
    """The changes that mend the findings of ``report`` on its first file, as far as ``mode`` allows.

    Args:
        report: a report with all its findings.
        mode: ``safe`` for trailing bits and the tail, ``all`` for flags and sizes too.
        stated: whether the revision was stated, not told from the file.
    """
    broken = {f.rule: f.span for f in report.findings if f.file == 0}
    # A file with two parts in the chain may hold guest data of a layer where its bitmap ends.
    shared = any(f.rule in _SHARED for f in report.findings)
    if report.problem or shared or broken.keys() & _DOUBTS or report.revision is None:
        return []
    header = parse_header(report.header, report.revision)
    patches = []
    if isinstance(header, HeaderV10) or _sure_of_the_end(header, report, stated=stated):
        patches += _plan_bitmap(report, broken)
    if mode is Mode.ALL:
        if isinstance(header, HeaderV10):
            patches += _plan_backing(header, report, broken.keys())
        else:
            patches += _plan_size(header, report, broken.keys(), stated=stated)
    return patches


def _sure_of_the_end(header: HeaderV4, report: Report, *, stated: bool) -> bool:
    """Whether no bit of the other revision can lie where a repair would write.

    A v4 bitmap ends before a v6 one would. What lies past a v6 bitmap therefore counts in neither revision;
    what lies past a v4 bitmap may be the bits of a v6 file that was told wrongly, so that only the exact
    length of a v4 file will do.
    """
    exact = report.files[0].length == Geometry(header.revision, header.size).bitmap_end
    return stated or header.revision is Revision.V6 or exact


def _plan_bitmap(report: Report, broken: dict[str, Span | None]) -> list[Patch]:
    trailing, tail = broken.get("ACW-BMP-002"), broken.get("ACW-BMP-003")
    # A wrong size leaves it open where the bitmap ends.
    if "ACW-SIZ-006" in broken or report.bitmap is None:
        return []
    patches = []
    if trailing:
        used = report.bitmap.units % 8
        keep = (1 << used) - 1
        action = f"clear the {8 - used} bits of byte {trailing.offset} that stand for no unit"
        patches.append(Patch("ACW-BMP-002", trailing, lambda old: bytes(byte & keep for byte in old), action))
    if tail:
        action = f"zero all bytes from {tail.offset} to the end of the file"
        patches.append(Patch("ACW-BMP-003", tail, lambda old: bytes(len(old)), action))
    return patches


def _plan_backing(header: HeaderV10, report: Report, broken: Collection[str]) -> list[Patch]:
    """Make features, offset and size agree on the backing file, where they leave one reading."""
    offset, size = header.name_span(Role.BACKING)
    flag = Features.BACKING_FILE in header.features
    if offset and size:
        there = any(f.parent == 0 and f.role is Role.BACKING and f.length is not None for f in report.files)
        if flag or not there:
            return []
        features = header.features | Features.BACKING_FILE
        return [
            _replace("ACW-FEA-001", "features", features, "set BACKING_FILE: the named backing file is there")
        ]
    # A name that lost its offset or its size would have left its bytes in the reserved field.
    if "ACW-HDR-004" in broken or (flag and (offset or size)):
        return []
    patches = []
    if header.features:
        rule = "ACW-FEA-001" if flag else "ACW-FEA-002"
        patches.append(_replace(rule, "features", 0, "clear the feature bits: there is no backing file"))
    if offset:
        action = "set backing_filename_offset to 0: there is no backing file"
        patches.append(_replace("ACW-NAM-005", "backing_filename_offset", 0, action))
    if size:
        action = "set backing_filename_size to 0: there is no backing file"
        patches.append(_replace("ACW-NAM-004", "backing_filename_size", 0, action))
    return patches


def _plan_size(header: HeaderV4, report: Report, broken: Collection[str], *, stated: bool) -> list[Patch]:
    """Take the image file's length for the size, where the length of the add-cow file allows no other."""
    image = next((f.length for f in report.files if f.parent == 0 and f.role is Role.IMAGE), None)
    if "ACW-SIZ-006" not in broken or image is None or image % SECTOR_SIZE:
        return []
    length = report.files[0].length
    revisions = (header.revision,) if stated else (Revision.V4, Revision.V6)
    fitting = [revision for revision in revisions if length in _lengths(Geometry(revision, image))]
    # The bytes of a padded length may be bits that the image file lost: nothing shows them to be padding.
    exact = length == Geometry(header.revision, image).bitmap_end
    as_is = length in _lengths(Geometry(header.revision, header.size))
    if fitting != [header.revision] or not exact or as_is:
        return []
    data = image.to_bytes(_SIZE.length, "big")
    action = f"set size to {image}, the length of the image file, which the length of the bitmap agrees with"
    return [Patch("ACW-SIZ-006", _SIZE, lambda _: data, action)]


def _lengths(geometry: Geometry) -> set[int]:
    """The lengths that an add-cow file may have: exact, and padded to whole sectors."""
    return {geometry.bitmap_end, round_up(geometry.bitmap_end, SECTOR_SIZE)}


def _replace(rule: str, name: str, value: int, action: str) -> Patch:
    field = LAYOUTS[Revision.V10].field(name)
    data = value.to_bytes(field.size, "little")
    return Patch(rule, Span(field.offset, field.size), lambda _: data, action)
