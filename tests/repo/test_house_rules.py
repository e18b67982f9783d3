"""Rules of the house that no linter knows."""

from __future__ import annotations

import re

import pytest

from tests.repo.tree import ROOT, project_files

LONGEST = 400

# Each is put together here, so that this file does not hold what it forbids.
MARKS = ("TO" + "DO", "FIX" + "ME")
HOSTS = ("py" + "pi.org", "python" + "hosted.org", "registry.npm" + "js", "files.python" + "hosted")
PLACES = ("/wo" + "rk/", "/ro" + "ot/", "/ho" + "me/")

FORBIDDEN = {
    "mark": re.compile("|".join(rf"\b{mark}\b" for mark in MARKS)),
    "registry": re.compile("|".join(map(re.escape, HOSTS))),
    "machine": re.compile("|".join(rf"(?<![\w.]){place}" for place in PLACES)),
}


@pytest.mark.parametrize("kind", FORBIDDEN)
def test_no_file_has(kind: str) -> None:
    found = []
    for path in project_files():
        text = path.read_bytes().decode("utf-8", "replace")
        for number, line in enumerate(text.splitlines(), 1):
            if FORBIDDEN[kind].search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()}")
    assert found == []


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("mark", f"# {MARKS[0]}: later"),
        ("registry", f"https://{HOSTS[0]}/simple"),
        ("machine", f'open("{PLACES[0]}main/x")'),
        ("machine", f"{PLACES[2]}me/disk.raw"),
    ],
)
def test_forbidden_text_would_be_seen(kind: str, text: str) -> None:
    assert FORBIDDEN[kind].search(text)


def test_no_module_is_long() -> None:
    lengths = {path: len(path.read_bytes().splitlines()) for path in project_files() if path.suffix == ".py"}
    assert len(lengths) > 20
    assert {str(path): length for path, length in lengths.items() if length > LONGEST} == {}
