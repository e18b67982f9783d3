"""addcow-conformance replay: run programs again, and say which rule they break."""

from __future__ import annotations

import json
import os
import sys
from errno import EISDIR
from stat import S_ISDIR
from typing import TYPE_CHECKING

import click

from addcow_conformance._signals import SIGNALS
from addcow_conformance._terminal import say
from addcow_conformance.commands import _replay_report as report
from addcow_conformance.commands._failure import (
    DONE,
    FAILED,
    INTERNAL,
    UNAVAILABLE,
    USAGE,
    VIOLATED,
)
from addcow_conformance.commands._output import TOOL, answer_options, emit, last_words, one_line, schema
from addcow_conformance.commands._run_program import Outcome, Run, run_program
from addcow_conformance.commands._target import adapter_options, elsewhere, ended, loaded, target_option
from addcow_conformance.programs import LARGEST_FILE, load_program
from addcow_spec.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from addcow_conformance.targets import Target

__all__ = ["command"]

_STDIN = b"-"

_EPILOG = """\b
Examples:
  addcow-conformance replay found/*.json
  addcow-conformance replay --target python:mything found/*.json
  addcow-conformance replay --target "stdio:./mything --fast" found/*.json
  addcow-conformance replay --output json - < program.json

\b
FILE is a program in JSON, of at most 16 MiB: a disk and the operations on it,
as addcow-conformance crash --save keeps them; - is standard input. A program
whose storage is "files" runs in a temporary directory, which is removed; all
others run in memory. After a loss of power the state that the program tells is
judged; if nothing is wrong with it, so are all other states, as crash does.

\b
With a target in a process of its own every program runs in files. Storage calls
cannot be made to fail there, and no power is lost: such operations are skipped,
and counted.

\b
Exit status:
  0    no rule is broken
  1    a file could not be read or written
  64   wrong usage, or a file that is no program
  69   the target cannot be loaded or started, or does not speak the protocol
  70   internal error
  77   a rule is broken; or the target has crashed, or not answered in time
  130  interrupted by SIGINT; 143 by SIGTERM
Of several files the worst counts, in the order 70, 1, 69, 64, 77, 0.
"""

_STATUS = {
    Outcome.ERROR: INTERNAL,
    Outcome.UNREADABLE: FAILED,
    Outcome.UNAVAILABLE: UNAVAILABLE,
    Outcome.PROTOCOL: UNAVAILABLE,
    Outcome.NO_PROGRAM: USAGE,
    Outcome.VIOLATED: VIOLATED,
    Outcome.CRASHED: VIOLATED,
    Outcome.SANITIZER: VIOLATED,
    Outcome.TIMEOUT: VIOLATED,
    Outcome.UNSUPPORTED: DONE,
    Outcome.OK: DONE,
}


@click.command("replay", epilog=_EPILOG)
@click.argument("files", metavar="FILE...", nargs=-1, type=click.Path(path_type=bytes, allow_dash=True))
@target_option
@adapter_options
@answer_options
@click.option("-q", "--quiet", is_flag=True, help="Say nothing of programs that break no rule.")
def command(
    *,
    files: tuple[bytes, ...],
    target: str,
    timeout: float,
    validate: bool,
    output: str,
    show_schema: bool,
    quiet: bool,
) -> int:
    """Run programs again, and say which rule they break."""
    if show_schema:
        emit([schema("replay-v1.json")])
        return DONE
    if not files:
        raise UsageError(f"no file given: {TOOL} replay FILE...")
    implementation = loaded(target, timeout=timeout, validate=validate)
    runs: list[Run] = []
    with ended(implementation):
        for run in _runs(files, implementation):
            runs.append(run)
            _show(run, output=output, quiet=quiet)
    if output == "json":
        emit([json.dumps(report.as_json(target, runs), indent=2) + "\n"])
    return next(status for outcome, status in _STATUS.items() if any(run.outcome is outcome for run in runs))


def _show(run: Run, *, output: str, quiet: bool) -> None:
    if run.problem:
        step = f"operation {run.trouble.step}: " if run.trouble and run.trouble.step else ""
        lines = [f"{TOOL}: {report.name(run)}: {run.outcome}: {step}{run.problem}"]
        if run.outcome in {Outcome.UNREADABLE, Outcome.NO_PROGRAM, Outcome.ERROR}:
            lines = [f"{TOOL}: {report.name(run)}: {run.problem}"]
        say("\n".join([*lines, *last_words(run.trouble.said if run.trouble else ())]))
    elif output == "human" and not (quiet and run.outcome is Outcome.OK):
        emit(report.human(run))


def _runs(files: Iterable[bytes], target: Target) -> Iterator[Run]:
    for file in files:
        run = _run(file, target)
        SIGNALS.check()
        yield run


def _run(file: bytes, target: Target) -> Run:
    try:
        text = _read(file)
    except OSError as error:
        return Run(file, Outcome.UNREADABLE, os.strerror(error.errno or 0))
    try:
        program = load_program(text)
    except UsageError as error:
        return Run(file, Outcome.NO_PROGRAM, one_line(str(error)))
    with elsewhere():
        return run_program(file, program, target)


def _read(file: bytes) -> bytes:
    """The bytes of a file; one more than a program may have tells that there are more.

    A FIFO that nobody writes to is empty, and is not waited for.

    Raises:
        OSError: it cannot be read.
    """
    if file == _STDIN:
        return sys.stdin.buffer.read(LARGEST_FILE + 1)
    descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    with open(descriptor, "rb") as opened:
        if S_ISDIR(os.fstat(descriptor).st_mode):
            raise IsADirectoryError(EISDIR, os.strerror(EISDIR), file)
        os.set_blocking(descriptor, True)
        return opened.read(LARGEST_FILE + 1)
