"""Where the answer of `run` goes besides standard output: reports, scripts, and what GitHub reads."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from addcow_conformance import results
from addcow_conformance.commands._output import emit, try_directory, try_file
from addcow_spec.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from addcow_conformance.results import CaseResult, Run

__all__ = ["check_places", "tell_github", "write_scripts"]

# What GitHub sets in the steps of its jobs.
_GITHUB, _SUMMARY = "GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY"


def check_places(files: Mapping[str, bytes], expect: bytes | None, scripts: bytes | None) -> None:
    """See whether all that will be written can be; nothing is changed.

    Args:
        files: the reports, by format.
        expect: the file of expectations.
        scripts: the directory of the scripts.

    Raises:
        UsageError: two of the files are one, or a format needs a package that is not installed.
        OSError: one of them could not be written.
    """
    named = {os.path.realpath(expect): "expect"} if expect else {}
    for kind, path in files.items():
        results.check_format(kind)
        try_file(path)
        other = named.setdefault(os.path.realpath(path), kind)
        if other != kind and (os.path.isfile(path) or not os.path.exists(path)):
            raise UsageError(f"--{other} and --{kind} name the same file")
    if scripts is not None:
        try_directory(scripts)
    if summary := os.environ.get(_SUMMARY):
        try:  # it is added to, and nobody has to be able to replace it
            os.close(os.open(summary, os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK | os.O_CLOEXEC))
        except FileNotFoundError:
            try_file(os.fsencode(summary))


def write_scripts(deviations: Iterable[CaseResult], directory: bytes) -> None:
    """Write the script of each deviation into a directory."""
    directory = os.path.abspath(directory)
    os.makedirs(directory, exist_ok=True)
    for result in deviations:
        if result.script:
            name = result.case.replace("/", "-").encode() + b".sh"
            emit([result.script], os.path.join(directory, name))


def tell_github(run: Run) -> None:
    """Annotations on standard output, and the step's summary, in a job of GitHub's."""
    if os.environ.get(_GITHUB) == "true":
        emit(results.render(run, output="github"))
    if summary := os.environ.get(_SUMMARY):
        with open(summary, "a", encoding="utf-8", errors="backslashreplace") as file:
            file.writelines(results.render(run, output="markdown"))
