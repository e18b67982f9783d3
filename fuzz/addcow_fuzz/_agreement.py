"""Checker and engine on the same files: both accept them or both refuse, and by the same rule.

Where several rules are broken, an opener may stop at any of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from addcow_conformance.checker import CheckOptions, FileFormat, Report, check_image
from addcow_fuzz._packing import name_of
from addcow_fuzz._plain import Broken, Plain
from addcow_fuzz.invariants import Finding, strict
from addcow_ref import open_image
from addcow_spec.errors import ImageError
from addcow_spec.geometry import ceil_div
from addcow_spec.model import Revision, Role
from addcow_spec.rules import Level, Profile, rule

if TYPE_CHECKING:
    from collections.abc import Callable

    from addcow_conformance.checker import Opener
    from addcow_fuzz._files import InputFiles
    from addcow_fuzz._packing import Packed
    from addcow_ref import Image

__all__ = ["OPENED", "Reading", "agree", "check_input", "compare_chain", "judge", "reading_of"]

OPENED = name_of(0)
_STATED = (None, Revision.V4, Revision.V6, Revision.V10)

# The checker looks at the working directory to tell why a file is missing; an opener need not.
_SAME = {"ACW-NAM-010": ("ACW-ENV-001", "ACW-ENV-002")}
# A chain that comes back to itself cannot be read, whatever the profile says of it.
_ENDLESS = {"ACW-CHN-001", "ACW-CHN-002"}

_WINDOW = 48
# Of more points some are left out; which ones, the options of an input say.
_MOST_POINTS = 4


class Reading(NamedTuple):
    """How files are to be read.

    Attributes:
        revision: the revision that is stated; None to tell it from the file.
        profile: which rules count.
    """

    revision: Revision | None = None
    profile: Profile = Profile.REVIEWED


def reading_of(options: int) -> Reading:
    """The two lowest bits of an input's options say the revision, the next one the profile."""
    return Reading(_STATED[options & 3], Profile.AS_WRITTEN if options & 4 else Profile.REVIEWED)


def check_input(opener: Opener, reading: Reading, *, buckets: int = 0) -> Report:
    """What the checker says of an input.

    Raises:
        Finding: it fails in a way that nobody declared.
    """
    options = CheckOptions(reading.revision, reading.profile, buckets=buckets)
    with strict("check"):
        return check_image(OPENED, options, opener=opener)


def agree(files: InputFiles, packed: Packed) -> tuple[Report, Image | None]:
    """Let both judge the files of an input, and read what both accept.

    Returns:
        What the checker says, and the image where it is open.

    Raises:
        Finding: they do not agree, or what is read is not what the files say.
    """
    reading = reading_of(packed.options)
    report = check_input(files.opener, reading)
    if OPENED not in files:
        if not report.problem:
            raise Finding("checker", "a file that is not there is judged", operation="check")
        return report, None
    try:
        with strict("open", ImageError):
            image = open_image(files.open(OPENED), revision=reading.revision, profile=reading.profile)
    except ImageError as error:
        judge(report, error, lambda: check_input(files.opener, Reading(reading.revision)))
        return report, None
    judge(report, None)
    _compare_reads(image, Plain(files, report.files), packed)
    return report, image


def judge(report: Report, refused: ImageError | None, reviewed: Callable[[], Report] | None = None) -> None:
    """Hold the engine's answer against the checker's.

    Args:
        report: what the checker says.
        refused: what the engine says; None where it has opened the image.
        reviewed: what the checker says in the reviewed profile.

    Raises:
        Finding: they do not agree.
    """
    musts = _musts(report)
    if refused is None:
        if musts or report.problem:
            why = ", ".join(sorted(musts)) or report.problem
            raise Finding(
                "checker", f"the engine opens it: {why}", rule=min(musts, default=""), operation="open"
            )
        return
    allowed = musts.union(*(_SAME.get(found, ()) for found in musts))
    if "ACW-NAM-011" in report.rule_counts:
        allowed.add("ACW-NAM-011")
    if any(file.format is FileFormat.OTHER for file in report.files):
        allowed.add("ACW-ENV-002")
    if refused.rule in _ENDLESS - allowed and reviewed:
        allowed |= _musts(reviewed()) & _ENDLESS
    if refused.rule not in allowed:
        said = ", ".join(sorted(allowed)) or "nothing"
        detail = f"the checker finds {said}, and the engine: {refused}"
        raise Finding("engine", detail, rule=refused.rule, operation="open") from refused


def _musts(report: Report) -> set[str]:
    return {found for found in report.rule_counts if rule(found).level[report.profile] is Level.MUST}


# --- reading


def _compare_reads(image: Image, plain: Plain, packed: Packed) -> None:
    if image.size != plain.size:
        raise Finding("oracle", f"{image.size} bytes, not {plain.size}", operation="size")
    points = sorted(_points(plain, packed))
    step = ceil_div(len(points), _MOST_POINTS)
    for offset in points[(packed.options >> 4) % step :: step]:
        start = max(min(offset, image.size) - _WINDOW // 2, 0)
        length = min(_WINDOW, image.size - start)
        try:
            expected = plain.read(start, length)
        except Broken:
            expected = None
        found = _read(image, start, length)
        if found != expected:
            detail = f"{length} bytes at {start}: {expected!r}, not {found!r}"
            raise Finding("oracle", detail, operation="read")


def _points(plain: Plain, packed: Packed) -> set[int]:
    """Where units and records meet: there, what is wrong shows first."""
    unit = plain.units()
    ends = {record.offset + len(record.data) for record in packed.records if record.file}
    return {0, plain.size, unit, 2 * unit, 8 * unit} | {end for end in ends if end <= plain.size}


def _read(image: Image, offset: int, length: int) -> bytes | None:
    """Bytes of the disk; None where a table of a qcow2 layer is broken."""
    try:
        with strict("read", ImageError):
            return image.read(offset, length)
    except ImageError as error:
        if error.rule != "ACW-QC2-017":
            raise Finding("engine", str(error), rule=error.rule, operation="read") from error
        return None


# --- layers


def compare_chain(image: Image, report: Report) -> None:
    """Hold the engine's layers against the checker's.

    Raises:
        Finding: they differ in path, format, revision, size or image file.
    """
    images = {file.parent: file.path for file in report.files if file.role is Role.IMAGE}
    expected = [
        (file.path, str(file.format), file.revision, file.virtual_size, images.get(file.index))
        for file in report.files
        if file.role is not Role.IMAGE
    ]
    found = [tuple(layer) for layer in image.chain]
    if found != expected:
        raise Finding("checker", f"layers {expected}, not {found}", operation="chain")
