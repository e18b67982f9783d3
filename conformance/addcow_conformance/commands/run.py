"""addcow-conformance run: try an implementation on every case, and gate it."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from addcow_conformance import results
from addcow_conformance._orphans import no_orphans
from addcow_conformance._signals import SIGNALS, Interrupted
from addcow_conformance._terminal import Progress
from addcow_conformance._workers import apart
from addcow_conformance.commands._failure import DONE, FAILED, INTERNAL, UNAVAILABLE, Failure
from addcow_conformance.commands._output import TOOL, emit, error_line, one_line, try_file
from addcow_conformance.commands._run_files import check_places, tell_github, write_scripts
from addcow_conformance.commands._run_options import FILES, run_options
from addcow_conformance.commands._target import (
    adapter_options,
    check_name,
    elsewhere,
    ended,
    is_module,
    loaded,
)
from addcow_conformance.results import About, CaseResult, Outcome
from addcow_conformance.results import expect as expectations
from addcow_conformance.targets import TIMEOUT, abilities_of
from addcow_spec.errors import UsageError
from addcow_spec.model import Revision
from addcow_spec.rules import Profile

if TYPE_CHECKING:
    from addcow_conformance.results import Expectation, Run
    from addcow_conformance.suite.gate import Request
    from addcow_conformance.targets import Target

__all__ = ["command"]

_BAD_EXPECTATIONS = 65
# Seconds that a module may take to load, and characters of what a target says of itself.
_PATIENCE, _LONGEST = 60.0, 200

_EPILOG = """\b
Examples:
  addcow-conformance run python:addcow_ref
  addcow-conformance run "stdio:./mything" -k DYN-003
  addcow-conformance run "nbd:nbdkit -f -U {socket} $PWD/my.so {image}" --revision v10
  addcow-conformance run "stdio:./mything" --expect known.toml --junit junit.xml

\b
In a job of GitHub's the first deviations become annotations, and the step's
summary gets what --markdown writes.

\b
Exit status:
  0    every case is as expected
  1    a case is not, an expectation matches none, or a file could not be written
  64   wrong usage
  65   the expectation file cannot be used
  69   the target cannot be loaded or started, or does not speak the protocol
  70   internal error
  130  interrupted by SIGINT; 143 by SIGTERM
"""


@click.command("run", epilog=_EPILOG)
@click.argument("target", metavar="TARGET", required=False)
@run_options
@adapter_options
def command(
    *,
    target: str | None,
    expect: bytes | None,
    update: bool,
    output: str,
    scripts: bytes | None,
    quiet: bool,
    show_schema: bool,
    **options: Any,  # noqa: ANN401 - each its own
) -> int:
    """Try TARGET on every case, and end with 0 where all is as expected."""
    if show_schema:
        emit([results.schema()])
        return DONE
    if not target:
        raise UsageError(f"no target given: {TOOL} run TARGET")
    if update and expect is None:
        raise UsageError("--update-expect wants the file of --expect")
    known = _known(expect, new=update)
    files = {kind: path for kind in FILES if (path := options.pop(kind)) is not None}
    check_places(files, expect, scripts)
    if update and expect is not None:
        try_file(expect)
    request = _request(target, **options)
    run = _expected(_run(request, quiet=quiet), known)
    for kind, path in files.items():
        emit(results.render(run, output=kind), path)
    if scripts is not None:
        write_scripts(run.deviations, scripts)
    tell_github(run)
    if update:
        emit([_expectations(run, known)], expect)
    if output == "json" or not (quiet and run.as_expected):
        emit(results.render(run, output=output))
    return DONE if run.as_expected or update else FAILED


def _request(
    target: str,
    *,
    revisions: tuple[str, ...],
    profile: str,
    timeout: float,
    validate: bool,
    seed: int,
    examples: int,
    seconds: float,
    operations: int,
    jobs: int,
    **rest: Any,  # noqa: ANN401 - each its own
) -> Request:
    from addcow_conformance.suite._case import Effort  # noqa: PLC0415 - slow, and not for --help
    from addcow_conformance.suite.gate import Request  # noqa: PLC0415 - the same

    return Request(
        target,
        revisions=tuple(Revision(name) for name in revisions) or tuple(Revision),
        profile=Profile(profile),
        timeout=timeout,
        validate=validate,
        effort=Effort(examples, seconds, operations, seed),
        here=_here() if is_module(target) else "",
        jobs=jobs or len(os.sched_getaffinity(0)),
        **rest,
    )


def _here() -> str:
    """Where modules are looked for first, as `python -m` does, unless Python is told not to."""
    with suppress(FileNotFoundError):
        return "" if sys.flags.safe_path else os.getcwd()
    return ""


def _run(request: Request, *, quiet: bool) -> Run:
    """The run.

    Raises:
        Failure: the target cannot be loaded, or the suite cannot be run.
        UsageError: the keyword is no expression, or pytest is not installed.
    """
    from addcow_conformance.suite.gate import BrokenRun, gate  # noqa: PLC0415 - slow, and not for --help

    progress = Progress("trying the cases", enabled=not quiet)

    def tell(done: int, total: int) -> None:
        SIGNALS.check()
        progress(done, total)

    try:
        with no_orphans(), elsewhere():
            return gate(request, _introduced(request), tell)
    except (Interrupted, UsageError, Failure):
        raise
    except ImportError as error:
        raise UsageError(f"run needs {error.name}: install add-cow-toolkit[suite]") from error
    except BrokenRun as error:
        SIGNALS.check()
        raise Failure(f"the suite could not be run: {one_line(str(error))}", INTERNAL) from error
    except Exception as error:
        SIGNALS.check()
        raise Failure(f"the suite could not be run: {error_line(error)}", INTERNAL) from error
    finally:
        progress.close()


def _introduced(request: Request) -> About:
    """What the target says of itself; a module says so to another process, as it may do anything to its own.

    Raises:
        UsageError: it is no name of a target.
        Failure: it cannot be loaded.
    """
    check_name(request.target)
    if not is_module(request.target):
        return _met(request.target, request.timeout, validate=request.validate)
    try:
        said = apart(_told_by_module, request.target, seconds=_PATIENCE)
    except (TimeoutError, ChildProcessError) as error:
        raise Failure(f"target {one_line(request.target)!r}: {error}", UNAVAILABLE) from error
    if isinstance(said, About):
        return said
    raise Failure(said, UNAVAILABLE)


def _told_by_module(name: str) -> About | str:
    """What a module says of itself, or why it does not."""
    with suppress(OSError):
        os.dup2(sys.__stderr__.fileno() if sys.__stderr__ else os.open(os.devnull, os.O_WRONLY), 1)
    try:
        return _met(name, TIMEOUT, validate=False)
    except Failure as error:
        return error.format_message()
    except BaseException as error:  # noqa: BLE001 - somebody's code
        return f"target {one_line(name)!r}: {error_line(error)}"


def _met(name: str, timeout: float, *, validate: bool) -> About:
    target = loaded(name, timeout=timeout, validate=validate)
    with ended(target):
        return _about(target, name)


def _about(target: Target, given: str) -> About:
    """What a target says of itself, in texts of bounded length, and what it can do."""
    said = getattr(target, "about", None)
    capabilities = tuple(sorted(abilities_of(target)))
    if said is None:
        return About(one_line(given), capabilities=capabilities)
    name, version, language, homepage, issues = (
        one_line(str(text)[:_LONGEST])
        for text in (said.name, said.version, said.language, said.homepage, said.issues)
    )
    return About(name, version, language, homepage, issues, tuple(map(str, said.revisions)), capabilities)


# --- what is expected


def _known(path: bytes | None, *, new: bool) -> tuple[Expectation, ...]:
    if path is None or (new and not os.path.exists(path)):
        return ()
    try:
        return expectations.load_expectations(path)
    except expectations.BadExpectations as error:
        raise Failure(str(error), _BAD_EXPECTATIONS) from error


def _facts(run: Run) -> dict[str, str]:
    return expectations.facts(run.target, run.about, run.profile)


def _all_results(run: Run) -> tuple[CaseResult, ...]:
    """The results, and those of the cases that were not asked for: entries about them are not lost."""
    from addcow_conformance.suite import all_cases  # noqa: PLC0415 - slow, and not for --help

    ran = {result.case for result in run.results}
    others = (CaseResult(case.id, case.title, Outcome.SKIP) for case in all_cases() if case.id not in ran)
    return (*run.results, *others)


def _expected(run: Run, known: tuple[Expectation, ...]) -> Run:
    """The run, held against what is known."""
    found, unmatched = expectations.apply(_all_results(run), known, _facts(run))
    return replace(run, results=found[: len(run.results)], unmatched=unmatched)


def _expectations(run: Run, known: tuple[Expectation, ...]) -> str:
    return expectations.render(_all_results(run), known, _facts(run))
