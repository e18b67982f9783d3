"""Runs of the suite as it might give them, and as it never should: for tests of what is made of runs."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st

from addcow_conformance.results import About, CaseResult, Difference, Expectation, Outcome, Run
from addcow_spec.rules import Profile
from tests.conformance.strategies import HOSTILE_NAMES

__all__ = [
    "CRASHED",
    "FAILED",
    "GREEN",
    "HOSTILE_TEXTS",
    "HUNG",
    "KNOWN",
    "PASSED",
    "RED",
    "SURPRISE",
    "UNMATCHED",
    "UNSUPPORTED",
    "hostile_run",
    "run_of",
    "runs",
]

_KNOWN = Expectation("ACW-DYN-009/*", Outcome.FAIL, "flushes one file", "https://example.org/7")
UNMATCHED = Expectation("ACW-DYN-099/*", Outcome.CRASH, "long gone", "", (("platform", "linux-*"),))

PASSED = CaseResult("ACW-DYN-001/v10/reads-follow-the-bitmap", "every byte is read", Outcome.PASS, 0.25)
FAILED = CaseResult(
    "ACW-DYN-003/v10/write-inside-a-unit",
    "a write inside a unit, over a backing file",
    Outcome.FAIL,
    1.5,
    broken="ACW-DYN-003",
    detail="bytes 65536 to 65547 of the disk should be those of the backing file",
    difference=Difference(65536, b"BBBBBBBBBBBB", b"BBBB\0\0\0\0\0"),
    said=("warning: short copy", "done"),
    script="set -e\ncat > disk.raw <<'end'\n\tdata\nend\nmy-engine write 65540 4\n",
    program={"add-cow program": 1, "operations": [{"do": "write"}]},
)
CRASHED = CaseResult(
    "ACW-NAM-001/v6/long-name", "an unterminated name", Outcome.CRASH, said=("Segmentation fault",)
)
HUNG = CaseResult("ACW-ENV-003/v10/cycle", "a cycle of backing files", Outcome.TIMEOUT, 10.0)
FAULTY = CaseResult("ACW-DYN-010/v10/stream", "streamed to the end", Outcome.ERROR, detail="no answer")
KNOWN = CaseResult(
    "ACW-DYN-009/v10/flush", "flushed, then killed", Outcome.FAIL, broken="ACW-DYN-009", known=_KNOWN
)
SURPRISE = replace(KNOWN, case="ACW-DYN-009/v6/flush", outcome=Outcome.PASS, broken="")
SKIPPED = CaseResult("ACW-DYN-012/v10/reserved", "a choice", Outcome.SKIP, detail="no choice was made")
UNSUPPORTED = CaseResult("ACW-DYN-011/v6/resize", "resized", Outcome.UNSUPPORTED, detail="needs resize")

RED = Run(
    target="stdio:./my-engine --serve",
    about=About("my-engine", "1.2", "C", "https://example.org", "", ("v6", "v10"), ("create", "write")),
    profile=Profile.REVIEWED,
    revisions=("v6", "v10"),
    seed=17,
    started="2026-11-25T18:00:00Z",
    seconds=13.25,
    results=(PASSED, FAILED, CRASHED, HUNG, FAULTY, KNOWN, SURPRISE, SKIPPED, UNSUPPORTED),
    choices={"names that overlap": "refused"},
    unmatched=(UNMATCHED,),
)
GREEN = replace(RED, results=(PASSED, KNOWN, SKIPPED, UNSUPPORTED), unmatched=(), choices={})

HOSTILE_TEXTS = (
    *(name.decode("utf-8", "surrogateescape") for name in HOSTILE_NAMES),
    "\ud800\udfff lone halves",
    "\x00\x08\ufffe\uffff",
    "</pre></details><h1>forged</h1>",
    "\n::error::forged\n::set-output name=x::y",
    "```\n# forged\n| a | b |",
)


def run_of(*results: CaseResult, **changes: object) -> Run:
    """A run of the results."""
    return replace(RED, **{"results": results, "unmatched": (), "choices": {}} | changes)  # type: ignore[arg-type]


def hostile_run(text: str) -> Run:
    """A run that has the text wherever somebody else decides what stands there."""
    known = Expectation(text, Outcome.FAIL, text, text, (("version", text),))
    hostile = replace(FAILED, title=text, broken=text, detail=text, said=(text, text), script=text)
    results = (
        hostile,
        replace(hostile, case="ACW-DYN-005/v10/a", known=known),
        replace(hostile, case="ACW-DYN-005/v10/b", known=known, outcome=Outcome.CRASH),
        replace(hostile, case="ACW-DYN-005/v10/c", known=known, outcome=Outcome.PASS),
        replace(hostile, case="ACW-DYN-005/v10/d", outcome=Outcome.SKIP),
    )
    about = About(*[text] * 5, revisions=(text,), capabilities=(text,))
    return replace(RED, target=text, about=about, results=results, choices={text: text}, unmatched=(known,))


_TEXTS = st.sampled_from(HOSTILE_TEXTS) | st.text(max_size=30)
_OUTCOMES = st.sampled_from(Outcome)
_BYTES = st.binary(max_size=40)
_EXPECTATIONS = st.builds(
    Expectation,
    _TEXTS,
    _OUTCOMES,
    _TEXTS,
    _TEXTS,
    st.lists(st.tuples(st.just("version"), _TEXTS), max_size=1).map(tuple),
)


@st.composite
def runs(draw: st.DrawFn) -> Run:
    """Any run whose cases have ids, each its own."""
    count = draw(st.integers(0, 5))
    result = st.builds(
        CaseResult,
        case=st.sampled_from(("ACW-DYN-003/v10/", "ACW-SIZ-001/v6/", "ACW-ZZZ-999/v4/")),
        title=_TEXTS,
        outcome=_OUTCOMES,
        seconds=st.floats(0, 1000),
        broken=st.sampled_from(("", "ACW-DYN-003")) | _TEXTS,
        detail=_TEXTS,
        difference=st.none() | st.builds(Difference, st.integers(0, 2**63), _BYTES, _BYTES),
        said=st.lists(_TEXTS, max_size=3).map(tuple),
        script=_TEXTS,
        known=st.none() | _EXPECTATIONS,
    )
    found = [draw(result) for _ in range(count)]
    return replace(
        RED,
        target=draw(_TEXTS),
        about=draw(st.builds(About, *[_TEXTS] * 5)),
        results=tuple(replace(one, case=f"{one.case}{number}") for number, one in enumerate(found)),
        choices=draw(st.dictionaries(_TEXTS, _TEXTS, max_size=2)),
        unmatched=tuple(draw(st.lists(_EXPECTATIONS, max_size=2))),
    )
