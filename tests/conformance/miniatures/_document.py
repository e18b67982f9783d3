"""The table of faults and cases: what the suite makes of each miniature, and the document that says so."""

from __future__ import annotations

import textwrap
from collections import Counter
from pathlib import Path
from statistics import median
from typing import NamedTuple

from addcow_conformance.results import BAD, Outcome
from addcow_conformance.suite import all_cases
from tests.conformance.miniatures._suite import PATIENCE, attempt, deviations, impatient, is_costly
from tests.conformance.miniatures._table import MINIATURES

DOCUMENT = Path(__file__).parents[3] / "conformance" / "MINIATURES.md"
_TEXT = """\
# Implementations that are wrong on purpose

Made by `make miniatures`, which tries the implementations of `tests/conformance/miniatures` on the suite.
Each is right but for one fault that people make. It must be told by a case of the rule that it breaks, and by
few others.

{score}

- "Told by" is a case of the rule that is not passed, "its cases" are all of these, and "others" are cases of
  other rules that are not passed.
- "Named" are the rules that the results of all these cases name as broken.
- Left out are, where they are not about the rule, the cases that make up programs, cut the power, or write
  all over a huge disk: they take as long as all others.
- What does not end is given up after {patience:g} seconds.

| miniature | who makes the mistake | rule | told by | its cases | others | named |
|---|---|---|---|---|---|---|
{table}
"""


class Row(NamedTuple):
    """What the suite makes of a miniature.

    Attributes:
        name: the miniature.
        told_by: id of a case of its rule that is not passed, a quick one if there is; empty for none.
        own: number of cases of its rule that are not passed.
        others: number of other cases that are not passed.
        named: the rules that the results name as broken, with their numbers.
    """

    name: str
    told_by: str
    own: int
    others: int
    named: Counter[str]

    def __str__(self):
        miniature = MINIATURES[self.name]
        cases = sum(case.rule == miniature.rule for case in all_cases())
        named = ", ".join(f"{rule} ({count})" for rule, count in sorted(self.named.items(), key=_most_first))
        cells = (
            self.name,
            miniature.who,
            miniature.rule,
            self.told_by or "**none**",
            f"{self.own} of {cases}",
            str(self.others),
            named,
        )
        return f"| {' | '.join(cells)} |"


def _most_first(named):
    rule, count = named
    return -count, rule


def row_of(name):
    """Try a miniature."""
    rule = MINIATURES[name].rule
    costly = {case.id: is_costly(case) for case in all_cases()}
    with impatient():
        found = deviations(MINIATURES[name])
    own = sorted((result.case for result in found if result.rule == rule), key=costly.__getitem__)
    named = Counter(
        result.broken if result.outcome is Outcome.FAIL else str(result.outcome) for result in found
    )
    return Row(name, own[0] if own else "", len(own), len(found) - len(own), named)


def told_by(name):
    """Id of the first case of its rule that is not passed, a quick one if there is; empty for none."""
    own = (case for case in all_cases() if case.rule == MINIATURES[name].rule)
    with impatient():
        results = (attempt(MINIATURES[name], case) for case in sorted(own, key=is_costly))
        return next((result.case for result in results if result.outcome in BAD), "")


class Score(NamedTuple):
    """What all miniatures together say of the suite.

    Attributes:
        miniatures: how many there are.
        told: how many of them a case of their rule tells.
        usual, most: other cases that are not passed, in the median and at most.
        named: miniatures of which a result names the rule that they break.
        results, naming: cases that are not passed of all miniatures, and those of them that name that rule.
    """

    miniatures: int
    told: int
    usual: float
    most: int
    named: int
    results: int
    naming: int

    def __str__(self):
        return (
            f"Of {self.miniatures} miniatures {self.told} are told by a case of the rule that they break. "
            f"Of other cases {self.usual:g} are not passed in the median, and {self.most} at most. "
            f"Of {self.named} a result names the rule, as {self.naming:,} of all {self.results:,} results do."
        )


def score_of(rows):
    """The score of all rows."""
    others = [row.others for row in rows]
    naming = [row.named[MINIATURES[row.name].rule] for row in rows]
    return Score(
        len(rows),
        sum(bool(row.told_by) for row in rows),
        median(others),
        max(others),
        sum(map(bool, naming)),
        sum(row.own + row.others for row in rows),
        sum(naming),
    )


def text_of(rows):
    """The document."""
    table = "\n".join(map(str, rows))
    return _TEXT.format(score=textwrap.fill(str(score_of(rows)), 110), patience=PATIENCE, table=table)


def lines():
    """The lines of the document that is checked in on miniatures, each by its name."""
    found = DOCUMENT.read_text("utf-8").splitlines()
    return {cells_of(line)[0]: line for line in found if line.startswith("| ") and "| ACW-" in line}


def cells_of(line):
    """The cells of a line of the table: name, who, rule, told by, its cases, others, named."""
    return line.strip("| ").split(" | ")
