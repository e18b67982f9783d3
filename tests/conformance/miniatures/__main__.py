"""The table of faults and cases, as Markdown: ``python -m tests.conformance.miniatures``.

It takes minutes: each miniature is tried on every case. Where none of its rule tells, the row says so.
"""

from collections import Counter
from concurrent.futures import ProcessPoolExecutor

from addcow_conformance.suite._all import all_cases
from tests.conformance.miniatures import MINIATURES
from tests.conformance.miniatures._suite import deviations, impatient


def caught_by(name):
    """How many cases of each rule tell that a miniature is wrong."""
    with impatient():
        return name, Counter(result.case.partition("/")[0] for result in deviations(MINIATURES[name], bool))


def row(name, counts, cases):
    rule = MINIATURES[name].rule
    own = f"{counts[rule]} of {cases[rule]}" if counts[rule] else "**none**"
    others = ", ".join(f"{other} ({count})" for other, count in sorted(counts.items()) if other != rule)
    return f"| {name} | {MINIATURES[name].who} | {rule} | {own} | {others} |"


def main():
    cases = Counter(case.rule for case in all_cases())
    with ProcessPoolExecutor() as pool:
        found = dict(pool.map(caught_by, MINIATURES))
    told = sum(bool(counts[MINIATURES[name].rule]) for name, counts in found.items())
    lines = [
        f"Of {len(found)} miniatures {told} are told by a case of the rule that they break.",
        "",
        "| miniature | who makes the mistake | rule | cases of the rule | other cases |",
        "|---|---|---|---|---|",
        *(row(name, counts, cases) for name, counts in found.items()),
    ]
    print("\n".join(lines))


if __name__ == "__main__":
    main()
