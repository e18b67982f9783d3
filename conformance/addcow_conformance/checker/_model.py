"""What a check asks for and what it answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from addcow_spec.rules import Profile, Severity, rule

if TYPE_CHECKING:
    from addcow_spec.findings import Finding
    from addcow_spec.model import Revision, Role, Span

__all__ = [
    "BitmapSummary",
    "Bucket",
    "ChainFile",
    "CheckOptions",
    "FileFormat",
    "HeaderField",
    "Repair",
    "Report",
    "Verdict",
]


class Verdict(StrEnum):
    """What the check says of the image as a whole, whatever ``--fail-on`` is."""

    VALID = "valid"
    ACCEPTABLE = "acceptable"
    INVALID = "invalid"
    NOT_ADD_COW = "not-add-cow"
    UNKNOWN = "unknown"


class FileFormat(StrEnum):
    """What a file of the chain is taken for."""

    ADD_COW = "add-cow"
    QCOW2 = "qcow2"
    RAW = "raw"
    OTHER = "other"
    REMOTE = "remote"
    UNAVAILABLE = "unavailable"


class CheckOptions(NamedTuple):
    """How to check.

    Attributes:
        revision: the revision to take a file for; None tells it from the file.
        profile: which rules count.
        follow_chain: whether the backing file's own backing files are checked too.
        confine: directory that names may not lead out of; None for no limit.
        allow_block_devices: whether a name may lead to a block device.
        max_findings: how many findings a report holds at most; the rest is counted.
        buckets: number of equal parts of the disk to count set bits in, 0 for none.
    """

    revision: Revision | None = None
    profile: Profile = Profile.REVIEWED
    follow_chain: bool = True
    confine: bytes | None = None
    allow_block_devices: bool = False
    max_findings: int = 100
    buckets: int = 0


@dataclass(frozen=True, slots=True)
class ChainFile:
    """A file of the triple or of the backing chain.

    Attributes:
        index: its place in ``Report.files``; 0 is the file that was named on the command line.
        parent: index of the file that names it, None for the first.
        role: what it is to its parent, None for the first.
        name: its name as the parent stores it, None for the first.
        path: the path that the name resolves to, as bytes.
        format: what it is taken for.
        revision: revision of an add-cow file, ``v2`` or ``v3`` of a qcow2 file, else empty.
        length: length of the file in bytes, None where it was not opened.
        virtual_size: bytes of guest data that it offers, None where unknown.
    """

    index: int
    path: bytes
    format: FileFormat
    parent: int | None = None
    role: Role | None = None
    name: bytes | None = None
    revision: str = ""
    length: int | None = None
    virtual_size: int | None = None


class HeaderField(NamedTuple):
    """A field of the add-cow header as found; ``value`` is a number, or text that is fit to be shown."""

    name: str
    span: Span
    value: int | str


class Bucket(NamedTuple):
    """An equal part of the disk: how many of its units come from where."""

    image: int
    backing: int
    zeros: int


class BitmapSummary(NamedTuple):
    """The bitmap of the first file.

    Attributes:
        span: the bytes of the bitmap.
        unit_size: bytes of the disk that a bit stands for.
        units: bits that count.
        set_units: bits that are set.
        backed_units: clear units that begin inside the backing file; the other clear ones read as zeros.
        buckets: the disk in equal parts, empty unless asked for.
    """

    span: Span
    unit_size: int
    units: int
    set_units: int
    backed_units: int
    buckets: tuple[Bucket, ...] = ()


class Repair(NamedTuple):
    """A change that a repair makes: the rule that it mends, where, and what it does in words."""

    rule: str
    span: Span
    action: str


@dataclass(frozen=True, slots=True)
class Report:
    """The answer of a check.

    Attributes:
        filename: the path that was checked, as it was given.
        profile: the rules that counted.
        revision: revision of the header, None where it could not be told.
        files: the files of the chain; empty where the first could not be opened.
        findings: what is wrong, in the order of the files and offsets; at most ``max_findings``.
        counts: findings by severity, those beyond ``max_findings`` included.
        header: the first bytes of the file, at most the header.
        fields: the header's fields as found, empty where the header could not be parsed.
        bitmap: the bitmap, None where it could not be read.
        problem: why the check could not be completed, empty where it could.
        repairs: what a repair did, or would do in a dry run.
        backup: path of the file that holds the bytes which a repair replaced, None without one.
        rule_counts: findings by rule, those beyond ``max_findings`` included.
    """

    filename: bytes
    profile: Profile
    revision: Revision | None = None
    files: tuple[ChainFile, ...] = ()
    findings: tuple[Finding, ...] = ()
    counts: dict[Severity, int] = field(default_factory=dict)
    header: bytes = b""
    fields: tuple[HeaderField, ...] = ()
    bitmap: BitmapSummary | None = None
    problem: str = ""
    repairs: tuple[Repair, ...] = ()
    backup: bytes | None = None
    rule_counts: dict[str, int] = field(default_factory=dict)

    @property
    def verdict(self) -> Verdict:
        """The verdict that findings and problem add up to."""
        if self.problem:
            return Verdict.UNKNOWN
        if any(f.rule == "ACW-HDR-001" and f.file == 0 for f in self.findings):
            return Verdict.NOT_ADD_COW
        if self.counts.get(Severity.ERROR):
            return Verdict.INVALID
        return Verdict.ACCEPTABLE if self.counts.get(Severity.WARNING) else Verdict.VALID

    def severity(self, finding: Finding) -> Severity:
        """Severity of one of the report's findings in its profile."""
        return rule(finding.rule).severity(self.profile)

    def fingerprint(self, finding: Finding) -> str:
        """16 hex digits that name a finding across runs, copies and renamed files.

        It is made from the rule, the part that the file plays in the chain, the field and the offset.
        """
        from hashlib import sha256  # noqa: PLC0415 - it loads OpenSSL, which a sound image can do without

        file = self.files[finding.file] if finding.file < len(self.files) else None
        parts = []
        while file is not None:
            parts.append(file.role or "add-cow")
            file = self.files[file.parent] if file.parent is not None else None
        offset = finding.span.offset if finding.span else ""
        key = "\0".join((finding.rule, "/".join(parts), finding.field, str(offset)))
        return sha256(key.encode()).hexdigest()[:16]
