"""The run as JUnit XML: one suite, with the target's facts as properties, and a test case for each case."""

# mypy: allow-untyped-calls
# junitparser annotates only part of its functions.

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

from junitparser import Error, Failure, JUnitXml, Properties, Property, Skipped, TestCase, TestSuite

from addcow_conformance.report._common import one_line
from addcow_conformance.results._bytes import byte_text
from addcow_conformance.results._model import BAD, Outcome
from addcow_conformance.results._words import (
    NOTHING,
    TOOL,
    contrast,
    described,
    entry,
    rule_id,
    run_facts,
    script_lines,
    stated,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from addcow_conformance.results._model import CaseResult, Expectation, Run

__all__ = ["render"]

_UNMATCHED = "expectations"


def render(run: Run) -> Iterator[str]:
    """One document.

    A broken rule is a failure, as is a known failure that passes; a crash, a hang and an error are errors.
    What is known is skipped. An expectation without a case is a failure of the class ``expectations``.
    """
    suite = TestSuite(one_line(run.target))
    for key, value in (*run_facts(run), *run.choices.items()):
        suite.add_property(one_line(key), one_line(value))
    suite.add_testcases([*map(_case, run.results), *map(_unmatched, run.unmatched)])
    if not run.tried:
        suite.add_testcase(_nothing())
    suite.timestamp = one_line(run.started)
    document = JUnitXml(TOOL)
    document.append(suite)
    document.update_statistics()
    written = BytesIO()
    document.write(written)
    yield written.getvalue().decode() + "\n"


def _case(result: CaseResult) -> TestCase:
    group = f"{result.revision}.{result.rule}"
    case = TestCase(one_line(result.case), classname=one_line(group), time=round(result.seconds, 3))
    stands = stated(result)
    properties = Properties()
    properties.add_property(Property("rule", rule_id(result)))
    for source in stands.sources if stands else ():
        properties.add_property(Property("source", str(source)))
    case.append(properties)
    verdict = _verdict(result)
    if verdict is not None:
        case.result = [verdict]
    if result.script:
        case.system_out = "\n".join(script_lines(result))
    if result.said:
        case.system_err = "\n".join(map(one_line, result.said))
    return case


def _verdict(result: CaseResult) -> Error | Failure | Skipped | None:
    """What the case comes to; None where it passes as it should."""
    if not result.deviates:
        if result.outcome is Outcome.PASS:
            return None
        known = f"known: {one_line(result.known.reason)}" if result.known and result.outcome in BAD else ""
        return Skipped(known or one_line(result.detail), result.outcome)
    failures = {Outcome.PASS: "unexpected pass", Outcome.FAIL: rule_id(result)}
    kind = Failure if result.outcome in failures else Error
    verdict = kind(_message(result), failures.get(result.outcome, result.outcome))
    verdict.text = _text(result)
    return verdict


def _message(result: CaseResult) -> str:
    return ", ".join(" ".join(pair) for pair in contrast(result)) or result.outcome


def _text(result: CaseResult) -> str:
    rule = stated(result)
    lines = [
        described(result),
        *((rule.statement, f"hint: {rule.hint}") if rule else ()),
        *(f"{label}: {text}" for label, text in contrast(result)),
        *(byte_text(result.difference) if result.difference else ()),
    ]
    return "\n".join(lines)


def _unmatched(known: Expectation) -> TestCase:
    case = TestCase(one_line(known.case), classname=_UNMATCHED)
    case.result = [Failure(f"no case of this run is meant by it: {entry(known)}", "unmatched")]
    return case


def _nothing() -> TestCase:
    """Who reads no exit status must see it, too."""
    case = TestCase(NOTHING, classname=TOOL)
    case.result = [Failure("no case says anything of the target", NOTHING)]
    return case
