"""Reports as a checker might give them, and as it never should: for tests of what is made of reports."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from hypothesis import strategies as st

from addcow_conformance.checker import (
    BitmapSummary,
    Bucket,
    ChainFile,
    FileFormat,
    HeaderField,
    Repair,
    Report,
)
from addcow_spec.findings import Finding
from addcow_spec.geometry import CLUSTER_SIZE, SECTOR_SIZE
from addcow_spec.model import Revision, Role, Span
from addcow_spec.rules import Level, Profile, Severity, catalogue
from addcow_spec.text import printable

__all__ = ["HOSTILE_NAMES", "names", "reports"]

HOSTILE_NAMES = (
    b"\x1b[31mred\x1b[0m\x1b]0;title\x07",
    b"two\nlines\r\nand a half\x0b",
    b"]]><!--&amp;-->",
    b"\xed\xa0\x80lone surrogate",
    b"\xff\xfe not UTF-8",
    "right\u202eto\u2066left\u200f".encode(),
    "line\u2028separator\u2029next\x85".encode(),
    b"a|b`c``|---|",
    b"<script>alert(1)</script><img src=x onerror=alert(1)>",
    b"::error::forged",
    b"::error file=a,line=1::%0A%25",
    b"[link](http://example.com) {0} {1:d} ${x} %s www.example.com @user :smile:",
    b"back\\slash\\u{1b}\\",
    b"'\"quotes\"'",
    b"-rf",
    b" ",
)

_OFFSETS = st.integers(0, 2**63 - 1) | st.integers(0, 5000)
_SPANS = st.builds(Span, _OFFSETS, st.integers(0, 2**40) | st.integers(0, 64))
_STATIC = [rule for rule in catalogue().values() if rule.check == "static"]
_UNESCAPED = st.text(max_size=30)


def names() -> st.SearchStrategy[bytes]:
    """Names of files: any bytes but NUL, one at least, and those that are known to do harm."""
    parts = st.binary(min_size=1, max_size=20).map(lambda name: name.replace(b"\0", b"/"))
    return st.one_of(
        parts,
        st.sampled_from(HOSTILE_NAMES),
        st.builds(lambda directory, name: directory + b"/" + name, parts, st.sampled_from(HOSTILE_NAMES)),
    )


def _texts() -> st.SearchStrategy[str]:
    """What the checker says of an image; and text that somebody forgot to make fit to be shown."""
    return names().map(printable) | st.sampled_from(("", "0x7", "4094 + 8 = 4102")) | _UNESCAPED


@st.composite
def _chains(draw: st.DrawFn, filename: bytes) -> tuple[ChainFile, ...]:
    sizes = st.none() | st.integers(0, 2**63 - 1)
    count = draw(st.integers(0, 5))
    files = []
    for index in range(count):
        file = ChainFile(
            index,
            path=draw(names()) if index else filename,
            format=draw(st.sampled_from(FileFormat)),
            revision=draw(st.sampled_from(("", "v2", "v3", "v4", "v6", "v10"))),
            length=draw(sizes),
            virtual_size=draw(sizes),
        )
        if index:
            parent = draw(st.integers(0, index - 1))
            file = replace(file, parent=parent, role=draw(st.sampled_from(Role)), name=draw(names()))
        files.append(file)
    return tuple(files)


@st.composite
def _bitmaps(draw: st.DrawFn) -> BitmapSummary:
    unit_size = draw(st.sampled_from((SECTOR_SIZE, CLUSTER_SIZE)))
    units = draw(st.integers(0, 2**47) | st.integers(0, 20))
    set_units = draw(st.integers(0, units) | st.sampled_from((0, units)))
    backed_units = draw(st.integers(0, units - set_units))
    clear = units - set_units - backed_units
    buckets = draw(st.sampled_from(((), (Bucket(set_units, backed_units, clear),))))
    return BitmapSummary(draw(_SPANS), unit_size, units, set_units, backed_units, buckets)


@st.composite
def reports(draw: st.DrawFn) -> Report:
    """Any report whose parts agree with one another: levels, counts and indices are what a checker gives."""
    profile = draw(st.sampled_from(Profile))
    filename = draw(names())
    files = draw(_chains(filename))
    known = [rule.id for rule in _STATIC if rule.level[profile] is not Level.ABSENT]
    finding = st.builds(
        Finding,
        st.sampled_from(known),
        st.integers(0, max(0, len(files) - 1)),
        st.none() | _SPANS,
        st.sampled_from(("", "version", "reserved", "image_filename_offset")),
        _texts(),
        _texts(),
    )
    findings = draw(st.lists(finding, max_size=6))
    report = Report(
        filename,
        profile,
        draw(st.none() | st.sampled_from(Revision)),
        files,
        tuple(findings),
        header=draw(st.binary(max_size=300)),
        fields=tuple(draw(st.lists(_fields(), max_size=3))),
        bitmap=draw(st.none() | _bitmaps()),
        problem=draw(st.just("") | _texts()),
        repairs=tuple(draw(st.lists(_repairs(known), max_size=3))),
        backup=draw(st.none() | names()),
    )
    beyond = draw(st.dictionaries(st.sampled_from(Severity), st.integers(0, 2**32), max_size=3))
    for found in findings:
        beyond[report.severity(found)] = beyond.get(report.severity(found), 0) + 1
    return replace(report, counts=beyond, rule_counts=dict(Counter(found.rule for found in findings)))


def _fields() -> st.SearchStrategy[HeaderField]:
    values = st.integers(0, 2**64 - 1) | _texts()
    return st.builds(HeaderField, st.sampled_from(("magic", "version", "features")), _SPANS, values)


def _repairs(rules: list[str]) -> st.SearchStrategy[Repair]:
    return st.builds(Repair, st.sampled_from(rules), _SPANS, _texts())
