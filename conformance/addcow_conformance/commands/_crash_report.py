"""What an exploration of losses of power came to: for people, as JSON, and as programs to keep."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from addcow_conformance._terminal import write_file
from addcow_conformance.commands._output import one_line, title, tool
from addcow_conformance.commands._words import (
    disk_words,
    numbered,
    operation_words,
    plain,
    replay_command,
    replayable,
    violation,
)
from addcow_conformance.programs import Program, dump_program
from addcow_spec.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from addcow_conformance.powerloss import Family, Found, Part, Summary, Tally

__all__ = ["Key", "as_json", "human", "listing_human", "listing_json", "save"]

_COLUMNS = ("family", "workloads", "moments", "exhausted", "states", "distinct", "states/s")


class Key(NamedTuple):
    """A violation among those of a summary."""

    family: str
    number: int


def _all(summary: Summary) -> Iterator[tuple[Key, Found]]:
    """All violations that were kept, the smallest of each family first."""
    for part in summary.parts:
        for number, found in enumerate(part.found):
            yield Key(part.family, number), found


def save(summary: Summary, directory: bytes | None) -> dict[Key, bytes]:
    """Keep the program of each violation in a file, named by rule, family and content; the paths.

    Raises:
        OSError: one could not be written.
    """
    saved: dict[Key, bytes] = {}
    if directory is None:
        return saved
    for key, found in _all(summary):
        text = dump_program(replayable(found.program))
        rule = re.sub(r"[^A-Za-z0-9-]", "_", str(found.rule))[:40]
        digest = hashlib.sha256(text.encode()).hexdigest()[:8]
        path = os.path.join(directory, os.fsencode(f"{rule}-{key.family}-{digest}.json"))
        write_file([text], path)
        saved[key] = path
    return saved


def _rate(states: int, seconds: float) -> int:
    """States a second."""
    return round(states / seconds) if seconds > 0 else 0


# --- for people


def human(summary: Summary, saved: Mapping[Key, bytes]) -> Iterator[str]:
    """The summary, and the smallest violation of each rule in each family."""
    rules = Counter[str]()
    for part in summary.parts:
        rules.update(part.rules)
    verdict = "violated" if rules else "ok"
    most = f"workloads of up to {summary.operations} operation{'' if summary.operations == 1 else 's'}"
    early = "" if summary.complete else "; stopped at the first violation"
    effort = summary.effort
    lines = [
        f"{verdict}: {one_line(summary.target)}, {most}{early}",
        f"  seed {effort.seed}, bound {effort.bound}, samples {effort.samples}, {summary.seconds:.1f} s",
        "",
        *_table(summary),
    ]
    for rule, count in sorted(rules.items()):
        lines += ["", f"{one_line(str(rule))}: {title(rule) or 'no rule of the catalogue'}"]
        lines.append(f"  {count} workload{' breaks' if count == 1 else 's break'} it")
        for part in summary.parts:
            lines += _smallest(summary, part, rule, saved)
    yield "\n".join((*lines, ""))


def _table(summary: Summary) -> Iterator[str]:
    rows: list[tuple[str, ...]] = [_COLUMNS]
    rows += [_row(part.family, part.tally, part.seconds) for part in summary.parts]
    rows.append(_row("total", summary.tally, summary.seconds))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for name, *cells in rows:
        numbers = (cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True))
        yield "  ".join(("", name.ljust(widths[0]), *numbers))


def _row(name: str, tally: Tally, seconds: float) -> tuple[str, ...]:
    return (name, *(f"{number:,}" for number in (*tally, _rate(tally.states, seconds))))


def _smallest(summary: Summary, part: Part, rule: str, saved: Mapping[Key, bytes]) -> Iterator[str]:
    """The smallest violation of a rule in a family, if there is one."""
    number = next((number for number, found in enumerate(part.found) if found.rule == rule), None)
    if number is None:
        return
    found = part.found[number]
    program = found.program
    yield f"  in {part.family}: {disk_words(program.disk)}"
    if program.operations:
        yield "    operations:"
        yield from numbered(program.operations, indent=4)
    else:
        yield "    while the image is created"
    if found.order:
        yield "    writes in order, and what the loss of power left of each:"
        yield from (f"      {one_line(line)}" for line in found.order)
    else:
        yield "    without a loss of power"
    yield f"    found: {one_line(found.detail)}"
    path = saved.get(Key(part.family, number))
    file = os.fsdecode(path) if path else None
    yield f"    again: {replay_command(summary.target, program, file)}"


def listing_human(families: Sequence[Family]) -> Iterator[str]:
    """The families in words."""
    for number, family in enumerate(families):
        lines = [f"{family.name}: {disk_words(family.disk)}", *numbered(family.alphabet, indent=0)]
        yield ("\n" if number else "") + "\n".join((*lines, ""))


# --- for programs


def as_json(summary: Summary, families: Sequence[Family], saved: Mapping[Key, bytes]) -> dict[str, Any]:
    """The answer, as `schemas/crash-v1.json` describes it."""
    parts = {part.family: part for part in summary.parts}
    return {
        "schema-version": 1,
        "tool": tool(),
        "target": one_line(summary.target),
        "operations": summary.operations,
        **summary.effort._asdict(),
        "complete": summary.complete,
        "violated": bool(summary.found),
        "seconds": round(summary.seconds, 3),
        "total": _numbers(summary.tally, summary.seconds),
        "families": [
            {
                **_family(family),
                "seconds": round(parts[family.name].seconds, 3),
                **_numbers(parts[family.name].tally, parts[family.name].seconds),
                "rules": {
                    one_line(str(rule)): count for rule, count in sorted(parts[family.name].rules.items())
                },
            }
            for family in families
        ],
        "violations": [_violation(summary, key, found, saved.get(key)) for key, found in _all(summary)],
    }


def _numbers(tally: Tally, seconds: float) -> dict[str, int]:
    return {**tally._asdict(), "states-per-second": _rate(tally.states, seconds)}


def _family(family: Family) -> dict[str, Any]:
    data = plain(Program(family.disk, family.alphabet))
    words = map(operation_words, family.alphabet)
    return {
        "name": family.name,
        "revision": family.disk.revision,
        "disk": {"words": disk_words(family.disk), "data": data["disk"]},
        "alphabet": [
            {"words": said, "data": operation}
            for said, operation in zip(words, data["operations"], strict=True)
        ],
    }


def _violation(summary: Summary, key: Key, found: Found, path: bytes | None) -> dict[str, Any]:
    return {
        **violation(found.rule, found.detail, found.order),
        "family": key.family,
        "operations": list(map(operation_words, found.program.operations)),
        "program": plain(replayable(found.program)),
        "file": printable(path) if path else None,
        "replay": replay_command(summary.target, found.program, os.fsdecode(path) if path else None),
    }


def listing_json(families: Sequence[Family]) -> Iterable[str]:
    """The families, as the answer has them."""
    yield json.dumps([_family(family) for family in families], indent=2) + "\n"
