"""The suite run from outside pytest: what is asked for goes in as options, and results come back."""

from __future__ import annotations

import io
import math
import os
import pickle
import re
import shlex
import sys
import tempfile
import time
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import replace
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, NamedTuple

from addcow_conformance._orphans import reap
from addcow_conformance.results import About, CaseResult, Outcome, Run
from addcow_conformance.suite._all import all_cases
from addcow_conformance.suite._case import Effort
from addcow_conformance.targets import TIMEOUT
from addcow_spec.errors import AddCowError, UsageError
from addcow_spec.model import Revision
from addcow_spec.rules import Profile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import pytest

    from addcow_conformance.suite._case import Case

__all__ = ["BrokenRun", "NoCase", "Request", "chosen", "gate"]

_SUITE = "addcow_conformance.suite"
_HERE = os.path.dirname(os.path.abspath(__file__))
# What pytest would take from the user's surroundings, and is no concern of the suite's, or is set below.
_VARIABLES = (
    "PYTEST_ADDOPTS",
    "PYTEST_PLUGINS",
    "PYTEST_DISABLE_PLUGIN_AUTOLOAD",
    "PYTEST_XDIST_AUTO_NUM_WORKERS",
    "TMPDIR",
)
# Which finds nothing in the working directory: a file there that has the name of a module is none of ours.
_WORKER = f"popen//python={shlex.quote(sys.executable)} -P"
# As many as there are cases: a target that is a module takes the process with it when it crashes.
_RESTARTS = "--max-worker-restart=1000000"
# Seconds that a case of a module may take before its process is ended, whatever it does: those of the models
# many times over, and more where workloads have more operations.
_LIMIT, _MODELS, _OPERATION = 900.0, 10.0, 30.0
# Seconds that processes have to end after an interrupt.
_MOMENT = 1
_CHANGED = "the target says of itself what it has not said before"
_ID = re.compile(r"\[(ACW-[^\]]+)\]$")


class NoCase(UsageError):
    """No case is named as it was asked for."""


class BrokenRun(AddCowError):
    """The suite itself could not be run, whatever the target is."""


class Request(NamedTuple):
    """What to run.

    Attributes:
        target: the target's name.
        revisions: the revisions to try.
        profile: by which the target is judged.
        timeout: seconds that an answer may take.
        validate: whether to hold messages against the JSON Schema.
        effort: how hard to look where one can look for ever.
        choices: what the target is said to choose: ``FLAG=accept`` or ``FLAG=refuse``.
        keyword: an expression of pytest's on the names of cases, empty for all.
        skip: globs of cases to leave out.
        first_only: whether to stop at the first case that is not passed.
        jobs: processes, 1 or more.
        here: the directory where a module is looked for first, empty for none.
    """

    target: str
    revisions: tuple[Revision, ...] = tuple(Revision)
    profile: Profile = Profile.REVIEWED
    timeout: float = TIMEOUT
    validate: bool = False
    effort: Effort = Effort()
    choices: tuple[str, ...] = ()
    keyword: str = ""
    skip: tuple[str, ...] = ()
    first_only: bool = False
    jobs: int = 1
    here: str = ""

    @property
    def limit(self) -> float:
        """Seconds after which a case is one that does not end."""
        effort = self.effort
        return (_LIMIT + _MODELS * effort.seconds) * _OPERATION ** max(effort.operations - 1, 0)

    def options(self) -> list[str]:
        """The same, as options of pytest."""
        return [
            f"--target={self.target}",
            *(f"--target-revision={revision}" for revision in self.revisions),
            f"--target-profile={self.profile}",
            f"--target-timeout={self.timeout}",
            *(["--target-validate"] if self.validate else []),
            f"--target-seed={self.effort.seed}",
            f"--target-examples={self.effort.examples}",
            f"--target-seconds={self.effort.seconds}",
            f"--target-operations={self.effort.operations}",
            f"--target-limit={self.limit}",
            *([f"--target-here={self.here}"] if self.here else []),
            *(f"--target-choice={choice}" for choice in self.choices),
            *(f"--target-skip={glob}" for glob in self.skip),
            *([f"-k={self.keyword}"] if self.keyword else []),
            *(["-x"] if self.first_only else []),
        ]


def chosen(request: Request) -> tuple[Case, ...]:
    """The cases of the revisions, those that are skipped and those that no keyword names included."""
    return tuple(case for case in all_cases() if case.revision in request.revisions)


class _Collector:
    """Hears of each case, in whatever process it is tried."""

    def __init__(self, progress: Callable[[int, int], None], about: About, limit: float) -> None:
        self._said: set[object] = {(about.revisions, tuple(sorted(about.capabilities)))}
        self._limit = limit
        self._starts: dict[str, float] = {}
        self.begun: list[str] = []
        self.results: dict[str, CaseResult] = {}
        self.observed: dict[str, str] = {}
        self.titles = {case.id: case.title for case in all_cases()}
        self._progress = progress

    def pytest_xdist_node_collection_finished(self, ids: list[str]) -> None:
        """Hear which cases are to be tried: those that the keyword names."""
        self.begun = [named[1] for each in ids if (named := _ID.search(each))]

    def pytest_internalerror(self) -> None:
        """An interrupt: wait a moment for processes that are at a case, and not xdist's ten seconds."""
        from xdist.workermanage import NodeManager  # noqa: PLC0415 - an extra

        NodeManager.EXIT_TIMEOUT = _MOMENT

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Know since when a case is tried."""
        self._starts[nodeid] = time.monotonic()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep the result of a case; one that has none took its process with it, or was never begun."""
        kept: bytes | None = getattr(report, "addcow", None)
        if kept is not None:
            result, observed, said = pickle.loads(kept)  # noqa: S301 - of our own processes
            self.observed.update(observed)
            if self._said.union(said) != self._said:  # what it has not said is never asked for
                result = replace(result, outcome=Outcome.ERROR, detail=_CHANGED)
        elif report.failed and (named := _ID.search(report.nodeid)):
            result = CaseResult(
                named[1],
                self.titles.get(named[1], ""),
                self._outcome(report),
                detail=" ".join(report.longreprtext.split())[-400:],
            )
        else:
            return
        reap()
        self.results.setdefault(result.case, result)
        self._progress(len(self.results), len(self.begun))

    def _outcome(self, report: pytest.TestReport) -> Outcome:
        """What it comes to that a case has no result."""
        if report.when in {"setup", "teardown"}:
            return Outcome.ERROR
        late = time.monotonic() - self._starts.get(report.nodeid, math.inf) >= self._limit
        return Outcome.TIMEOUT if late else Outcome.CRASH


def gate(request: Request, about: About, progress: Callable[[int, int], None]) -> Run:
    """Run the suite.

    Args:
        request: what to run.
        about: what the target says of itself.
        progress: told how many cases are done, and how many there are.

    Raises:
        BrokenRun: pytest could not run it.
        NoCase: the keyword names no case, or is no expression.
        ImportError: pytest or pytest-xdist is not installed.
    """
    import pytest  # noqa: PLC0415 - an extra
    import xdist  # noqa: F401, PLC0415 - the same

    cases = chosen(request)
    skipped = [case for case in cases if any(fnmatchcase(case.id, glob) for glob in request.skip)]
    collector = _Collector(progress, about, request.limit)
    started, start, said = datetime.now(UTC), time.monotonic(), io.StringIO()
    workers = (f"--tx={request.jobs}*{_WORKER}", "--dist=load", _RESTARTS)
    with _apart() as arguments, redirect_stdout(said):
        _check_keyword(request.keyword, arguments)
        status = pytest.main([*arguments, *workers, *request.options(), _HERE], plugins=[collector])
    nothing = status is pytest.ExitCode.NO_TESTS_COLLECTED
    if status not in {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED} and not (
        nothing or (request.first_only and collector.results)
    ):
        lines = [line for line in said.getvalue().splitlines() if line.strip(" =!-")]
        raise BrokenRun(lines[-1] if lines else f"pytest ends with {status}")
    if nothing:
        raise NoCase(f"no case of these revisions is named by -k {request.keyword!a}")
    results = collector.results
    lost = () if request.first_only else (name for name in collector.begun if name not in results)
    for name in lost:
        results[name] = CaseResult(name, collector.titles[name], Outcome.ERROR, detail="it was not tried")
    for case in skipped:
        results[case.id] = CaseResult(case.id, case.title, Outcome.SKIP, detail="left out by --skip")
    order = {case.id: number for number, case in enumerate(cases)}
    return Run(
        target=request.target,
        about=about,
        profile=str(request.profile),
        revisions=tuple(map(str, request.revisions)),
        seed=request.effort.seed,
        started=started.isoformat(timespec="seconds").replace("+00:00", "Z"),
        seconds=time.monotonic() - start,
        results=tuple(sorted(results.values(), key=lambda result: order.get(result.case, -1))),
        choices=dict(sorted(collector.observed.items())),
    )


def _check_keyword(keyword: str, arguments: Sequence[str]) -> None:
    """Check a keyword here, as workers that find it wrong are taken for crashed ones.

    Raises:
        NoCase: it is no expression.
    """
    import pytest  # noqa: PLC0415 - an extra

    nowhere = arguments[arguments.index("--rootdir") + 1]
    with redirect_stderr(io.StringIO()):
        status = pytest.main([*arguments, f"-k={keyword}", "--collect-only", nowhere])
    if status is pytest.ExitCode.USAGE_ERROR:
        raise NoCase(f"-k {keyword!a} is no expression: words joined by and, or, not are wanted")


@contextmanager
def _apart() -> Iterator[list[str]]:
    """Options that keep pytest to itself: no configuration, plugins or variables of the user's."""
    before = {name: os.environ[name] for name in _VARIABLES if name in os.environ}
    modules = set(sys.modules)
    try:
        with tempfile.TemporaryDirectory(prefix="addcow-run-", ignore_cleanup_errors=True) as directory:
            for name in before:
                del os.environ[name]
            # Where a process ends, whatever it is that ends it, its files go with all others.
            os.environ.update(PYTEST_DISABLE_PLUGIN_AUTOLOAD="1", TMPDIR=directory)
            ini = os.path.join(directory, "pytest.ini")
            with open(ini, "x", encoding="utf-8") as file:
                file.write("[pytest]\n")
            plugins = ("addcow_conformance._pytest_options", "xdist.plugin", "no:cacheprovider")
            yield [
                "-c",
                ini,
                "--basetemp",
                os.path.join(directory, "pytest"),
                "--rootdir",
                directory,
                "--confcutdir",
                _HERE,
                "-s",
                "-q",
                "--tb=short",
                *(f"-p{name}" for name in plugins),
            ]
    finally:
        for name in _VARIABLES:
            os.environ.pop(name, None)
        os.environ.update(before)
        for name in set(sys.modules) - modules:
            if name.startswith(f"{_SUITE}.") and name.rpartition(".")[2] in {"conftest", "test_cases"}:
                del sys.modules[name]
