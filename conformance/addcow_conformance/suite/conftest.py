"""The suite as pytest sees it: a test for each case, on a target that each process loads once."""

from __future__ import annotations

import faulthandler
import os
import pickle
import sys
from contextlib import ExitStack, contextmanager, nullcontext
from fnmatch import fnmatchcase
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pytest

from addcow_conformance.programs import Patience
from addcow_conformance.results import CaseResult
from addcow_conformance.suite._all import all_cases
from addcow_conformance.suite._case import Bench, Case, Effort
from addcow_conformance.suite._verdict import facts_of
from addcow_conformance.targets import is_external, load_target
from addcow_spec.model import Revision
from addcow_spec.rules import Profile

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from addcow_conformance.targets import Target

_RESULT = pytest.StashKey[CaseResult]()
_OBSERVED = pytest.StashKey[dict[str, str]]()
_SAID = pytest.StashKey[tuple[object, ...]]()
# Seconds that a target may take to end.
_END = 60.0


def _chosen(config: pytest.Config) -> list[Case]:
    revisions = {Revision(name) for name in config.getoption("--target-revision") or Revision}
    skipped = config.getoption("--target-skip")
    return [
        case
        for case in all_cases()
        if case.revision in revisions and not any(fnmatchcase(case.id, glob) for glob in skipped)
    ]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make a test for each case."""
    if "case" in metafunc.fixturenames:
        metafunc.parametrize("case", _chosen(metafunc.config), ids=lambda case: case.id)


@pytest.fixture(scope="session")
def load(pytestconfig: pytest.Config) -> Callable[[tuple[str, ...]], Target]:
    """Loads an instance of the target, run under a command."""
    option = pytestconfig.getoption
    name = option("--target")
    if not name:
        pytest.exit("the suite needs a target: --target TARGET", pytest.ExitCode.USAGE_ERROR)

    if here := option("--target-here"):  # only now, as the suite's own are all loaded
        sys.path.insert(0, here)

    def make(under: tuple[str, ...]) -> Target:
        return load_target(
            name,
            timeout=option("--target-timeout"),
            validate=option("--target-validate"),
            under=under,
        )

    return make


@pytest.fixture(scope="session")
def target(load: Callable[[tuple[str, ...]], Target], pytestconfig: pytest.Config) -> Iterator[Target]:
    """The target."""
    with Patience():
        found: Any = load(())
    with ExitStack() as stack:
        stack.enter_context(found if hasattr(found, "__exit__") else nullcontext())
        yield found
        with _limited(_END if pytestconfig.getoption("--target-limit") else 0):
            stack.close()


@contextmanager
def _limited(seconds: float) -> Iterator[None]:
    """End this process if the body takes longer: what hangs in native code hears of no alarm."""
    if not seconds:
        yield
        return
    with open(os.devnull, "wb") as nowhere:
        faulthandler.dump_traceback_later(seconds, exit=True, file=nowhere)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()


@pytest.fixture
def bench(
    case: Case,
    target: Target,
    load: Callable[[tuple[str, ...]], Target],
    pytestconfig: pytest.Config,
    request: pytest.FixtureRequest,
) -> Iterator[Bench]:
    """A bench for the case, with a directory that goes with it."""
    option = pytestconfig.getoption
    effort = Effort(
        option("--target-examples"),
        option("--target-seconds"),
        option("--target-operations"),
        option("--target-seed"),
    )
    with (
        TemporaryDirectory(prefix="addcow-", ignore_cleanup_errors=True) as directory,
        _limited(option("--target-limit") if not is_external(target) else 0),
    ):
        found = Bench(
            option("--target"),
            target,
            load,
            case.revision,
            Profile(option("--target-profile")),
            os.fsencode(directory),
            effort,
            dict(choice.split("=", 1) for choice in option("--target-choice")),
        )
        yield found
        request.node.stash[_OBSERVED] = found.observed


@pytest.fixture(scope="session")
def said(target: Target) -> tuple[object, ...]:
    """What the target says of itself before anything else is asked for."""
    return facts_of(target)


@pytest.fixture
def keep(request: pytest.FixtureRequest, said: tuple[object, ...]) -> Callable[[CaseResult, Bench], None]:
    """Keeps what became of the case, for whoever runs pytest."""

    def keeping(result: CaseResult, bench: Bench) -> None:
        request.node.stash[_RESULT] = result
        request.node.stash[_OBSERVED] = bench.observed
        request.node.stash[_SAID] = (said, facts_of(bench.target))
        request.node.user_properties.extend((("rule", result.rule), ("broken", result.broken)))

    return keeping


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Put the result where it survives the way from one process to another."""
    report = yield
    if report.when == "call" and _RESULT in item.stash:
        kept = item.stash[_RESULT], item.stash[_OBSERVED], item.stash[_SAID]
        report.addcow = pickle.dumps(kept)  # type: ignore[attr-defined]
    return report
