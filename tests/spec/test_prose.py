"""The prose says what the catalogue and the grammar say, and its links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from addcow_spec.codec import LAYOUTS, parse_header
from addcow_spec.geometry import Geometry
from addcow_spec.grammar import QCOW2_FEATURE_NAME, QCOW2_V2, QCOW2_V3_FIELDS, Field, Layout
from addcow_spec.model import Features, Revision, Role
from addcow_spec.rules import Level, Profile, Rule, catalogue

SPEC = Path(__file__).parents[2] / "spec"
CHAPTERS = {path.name: path.read_text(encoding="utf-8") for path in sorted(SPEC.glob("*.md"))}
RULES = pytest.mark.parametrize("rule", catalogue().values(), ids=lambda rule: rule.id)
PAGES = pytest.mark.parametrize("page", CHAPTERS)

ANCHOR = re.compile(r'<a id="([^"]+)"></a>')
SHORTCUT = re.compile(r"\[(ACW-\w+-\d+)\](?![:(])")
DEFINITION = re.compile(r"^\[([^\]]+)\]: (\S+)$", re.MULTILINE)
TARGET = re.compile(r"\]\(([^)\s]+)\)|^\[[^\]]+\]: (\S+)$", re.MULTILINE)


def _anchors(page: str) -> list[str]:
    """Every place of a page that a link can lead to: explicit anchors, and headings as GitHub names them."""
    headings = re.findall(r"^#+ (.+)$", CHAPTERS[page], re.MULTILINE)
    slugs = [re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings]
    return ANCHOR.findall(CHAPTERS[page]) + slugs


def _section(rule: Rule) -> str:
    """The text from the rule's anchor to the next anchor, chapter heading or link definition."""
    _, _, rest = CHAPTERS[f"{rule.chapter}.md"].partition(f'<a id="{rule.id.lower()}"></a>\n')
    return re.split(r"^(?:<a id|## |\[ACW-[\w-]+\]: )", rest, maxsplit=1, flags=re.MULTILINE)[0].strip()


def _summary(rule: Rule) -> str:
    """The line that states a rule's levels, revisions and kind under its heading."""
    levels = {profile: "no rule" if level is Level.ABSENT else level for profile, level in rule.level.items()}
    written, reviewed = levels[Profile.AS_WRITTEN], levels[Profile.REVIEWED]
    differ = f"{written} as written, {reviewed} reviewed"
    level = f"{reviewed} in both profiles" if written == reviewed else differ
    return f"*{level}; {', '.join(rule.revisions)}; {rule.check}*"


@RULES
def test_rule_has_one_anchor_in_its_chapter(rule: Rule) -> None:
    homes = [page for page, text in CHAPTERS.items() for a in ANCHOR.findall(text) if a == rule.id.lower()]
    assert homes == [f"{rule.chapter}.md"]


@RULES
def test_rule_is_explained_beyond_its_statement(rule: Rule) -> None:
    heading, summary, prose = _section(rule).split("\n\n", 2)
    assert heading == f"### {rule.id}: {rule.title}"
    assert summary == _summary(rule)
    assert len(prose.replace(rule.statement, "").split()) >= 25


@RULES
def test_reading_of_this_project_is_among_the_decisions(rule: Rule) -> None:
    if any(source.document == "this project" for source in rule.sources):
        assert f"[{rule.id}]" in DEFINITION.sub("", CHAPTERS["decisions.md"])


@PAGES
def test_every_rule_that_is_mentioned_exists(page: str) -> None:
    mentioned = set(re.findall(r"ACW-\w+-\d+", CHAPTERS[page]))
    assert mentioned <= catalogue().keys()


@PAGES
def test_every_link_leads_somewhere(page: str) -> None:
    for target in ("".join(groups) for groups in TARGET.findall(CHAPTERS[page])):
        path, _, anchor = target.partition("#")
        other = path or page
        assert (SPEC / other).is_file(), target
        assert not anchor or anchor in _anchors(other), target


@PAGES
def test_every_rule_link_is_defined_and_leads_to_the_rule(page: str) -> None:
    defined = dict(DEFINITION.findall(CHAPTERS[page]))
    assert set(SHORTCUT.findall(CHAPTERS[page])) == defined.keys()
    for rule_id, target in defined.items():
        assert target.endswith(f"#{rule_id.lower()}")


@pytest.mark.parametrize(
    ("page", "layout"),
    [("02-header.md", layout) for layout in LAYOUTS.values()]
    + [("08-qcow2.md", layout) for layout in (QCOW2_V2, QCOW2_V3_FIELDS, QCOW2_FEATURE_NAME)],
    ids=lambda value: getattr(value, "name", ""),
)
def test_field_tables_are_those_of_the_grammar(page: str, layout: Layout) -> None:
    missing = [row for row in map(_row, layout.fields) if row not in CHAPTERS[page]]
    assert missing == []


def _row(field: Field) -> str:
    last = field.offset + field.size - 1
    place = f"{field.offset}-{last}" if field.size > 1 else f"{field.offset}"
    return f"\n| {place} | `{field.name}` |"


def test_table_of_sizes_is_that_of_the_geometry() -> None:
    table = CHAPTERS["03-bitmap.md"].partition("<!-- table: geometry -->")[2].partition("\n\n")[0]
    rows = re.findall(r"^\| (v\d+) \| ([\d,]+) \| (.+) \|$", table, re.MULTILINE)
    assert len(rows) > 10
    for revision, size, stated in rows:
        disk = Geometry(Revision(revision), int(size.replace(",", "")))
        numbers = [f"{n:,}" for n in (disk.units, disk.bitmap_size, disk.bitmap_end)]
        assert stated.split(" | ") == [*numbers, f"0x{disk.trailing_mask:02x}"], size


def test_example_of_a_header_is_what_the_codec_reads() -> None:
    dump = CHAPTERS["02-header.md"].partition("```hexdump\n")[2].partition("```")[0]
    data = b"".join(bytes.fromhex(line[10:]) for line in dump.splitlines())
    header = parse_header(data.ljust(4096, b"\0"), Revision.V10)
    assert (header.name(Role.BACKING), header.name(Role.IMAGE)) == (b"base.raw", b"disk.raw")
    assert header.features == Features.BACKING_FILE | Features.BACKING_FORMAT_NO_PROBE  # type: ignore[union-attr]
