"""addcow-fuzz, with targets of the tests besides its own; as a process, and in this one."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout

from addcow_fuzz import cli
from addcow_fuzz.campaign import Subject
from addcow_fuzz.commands import _given
from tests.conformance.command import Answer
from tests.repo.tree import ROOT

__all__ = ["ENDS", "ENVIRONMENT", "FAKE", "fuzz", "fuzz_failed", "fuzz_process"]

FAKE = Subject("fake", "tests.fuzz.fake_target", 16)
ENDS = Subject("ends", "tests.fuzz.fake_ends", 16)
ABSENT = Subject("absent", "tests.fuzz.no_such_module", 16)
ENVIRONMENT = {"PYTHONPATH": os.fspath(ROOT)}

_given.SUBJECTS.update({subject.name: subject for subject in (FAKE, ENDS, ABSENT)})


def fuzz(*arguments):
    """Run addcow-fuzz in this process."""
    output, errors = io.StringIO(), io.StringIO()
    with redirect_stdout(output), redirect_stderr(errors):
        status = cli.run(list(map(str, arguments)))
    return Answer(status, output.getvalue(), errors.getvalue())


def fuzz_failed(*arguments, status):
    """The one line that it says when it fails, and the only one."""
    answer = fuzz(*arguments)
    assert (answer.status, answer.output) == (status, ""), answer
    assert answer.errors.startswith("addcow-fuzz: ")
    assert answer.errors.count("\n") == 1
    assert answer.errors.removesuffix("\n").isprintable()
    return answer.errors


def fuzz_process(*arguments):
    """Start addcow-fuzz as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.fuzz.fake_command", *map(str, arguments)],
        env=os.environ | ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


if __name__ == "__main__":
    cli.main()
