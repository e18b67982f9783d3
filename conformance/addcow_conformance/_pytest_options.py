"""The options of the suite, for every pytest: pytest has to know them before it knows what it is to run.

The package's entry point for pytest leads here, so nothing is imported that costs time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

_REVISIONS = ("v4", "v6", "v10")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options; see `addcow-conformance run --help` for what they mean."""
    group = parser.getgroup("add-cow", "pytest --pyargs addcow_conformance.suite")
    add = group.addoption
    add("--target", default="", metavar="TARGET", help="the implementation that the suite is to try")
    add("--target-revision", action="append", choices=_REVISIONS, help="revision to try; all without")
    add("--target-profile", choices=("reviewed", "as-written"), default="reviewed", help="rules that count")
    add("--target-timeout", type=float, default=30.0, metavar="S", help="seconds that an answer may take")
    add("--target-validate", action="store_true", help="hold messages against the JSON Schema")
    add("--target-seed", type=int, default=0, metavar="N", help="seed of what is drawn by chance")
    add("--target-examples", type=int, default=96, metavar="N", help="programs that each model tries")
    add("--target-seconds", type=float, default=30.0, metavar="S", help="seconds that each model may take")
    add("--target-operations", type=int, default=1, metavar="N", help="longest workloads of power loss")
    add("--target-choice", action="append", default=[], metavar="FLAG=accept|refuse", help="what it chooses")
    add("--target-skip", action="append", default=[], metavar="GLOB", help="cases to leave out")
    add("--target-here", default="", metavar="DIR", help="where the target is looked for first, if a module")
    add("--target-limit", type=float, default=0, metavar="S", help="seconds after which a worker is ended")
