"""The run as SARIF 2.1.0: one run, with every rule of the catalogue and a result for each deviation."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from addcow_conformance.report._common import one_line
from addcow_conformance.report._sarif import document, driver, message
from addcow_conformance.results._words import TOOL, contrast, entry, rule_id, run_facts
from addcow_spec.rules import Severity, catalogue

if TYPE_CHECKING:
    from collections.abc import Iterator

    from addcow_conformance.results._model import CaseResult, Expectation, Run

__all__ = ["render"]

_FINGERPRINT = "addcowCase/v1"


def render(run: Run) -> Iterator[str]:
    """One document."""
    rules = list(catalogue().values())
    index = {rule.id: number for number, rule in enumerate(rules)}
    invocation: dict[str, Any] = {"executionSuccessful": True}
    if run.unmatched:
        invocation["toolConfigurationNotifications"] = [_notification(known) for known in run.unmatched]
    log = {
        "tool": {"driver": driver(TOOL, "add-cow conformance suite", rules)},
        "invocations": [invocation],
        "results": [_result(result, index) for result in run.deviations],
        "properties": dict(run_facts(run)),
    }
    yield document(log)


def _result(result: CaseResult, index: dict[str, int]) -> dict[str, Any]:
    rule = rule_id(result)
    said = ", ".join(" ".join(pair) for pair in contrast(result))
    text = f"{one_line(result.title)}: {result.outcome}" + (f", {said}" if said else "")
    return {
        "ruleId": rule,
        **({"ruleIndex": index[rule]} if rule in index else {}),
        "level": Severity.ERROR,
        "message": message(text),
        "locations": [_location(result)],
        "partialFingerprints": {_FINGERPRINT: hashlib.sha256(_encoded(result.case)).hexdigest()},
    }


def _location(result: CaseResult) -> dict[str, Any]:
    """The case. A service that shows results beside files wants a file, and gets the case's id for one."""
    name = one_line(result.case)
    return {
        "physicalLocation": {"artifactLocation": {"uri": quote(_encoded(result.case), safe="/")}},
        "logicalLocations": [{"name": name.rpartition("/")[2] or name, "fullyQualifiedName": name}],
    }


def _encoded(case: str) -> bytes:
    return case.encode("utf-8", "surrogatepass")


def _notification(known: Expectation) -> dict[str, Any]:
    text = f"No case of this run is meant by the expectation {one_line(known.case)}: {entry(known)}"
    return {"level": Severity.ERROR, "message": message(text)}
