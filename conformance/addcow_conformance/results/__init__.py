"""What a run of the suite found, what was expected of it, and how it is told."""

from addcow_conformance.results._model import (
    BAD,
    About,
    CaseResult,
    Difference,
    Expectation,
    Outcome,
    Run,
)

__all__ = ["BAD", "About", "CaseResult", "Difference", "Expectation", "Outcome", "Run"]
