"""Running addcow-img in this process, and the tools that it is compared with in theirs."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from typing import NamedTuple

from addcow_ref.cli._main import run

# A sound command answers at once; only a hang comes near this.
HANG = 60

_FIGURES = re.compile(r"\d\d\.\d\d sec \(.*\)$|^(\d+,1),.*$|\d+:\d\d:\d\d\.\d\d \(.*\)$", re.MULTILINE)
_SYNOPSIS = re.compile(r"^(\w+) .*-- .*$", re.MULTILINE)


class Result(NamedTuple):
    status: int
    output: str
    errors: str


def img(*arguments: object) -> Result:
    """The command, in the working directory."""
    output, errors = io.StringIO(), io.StringIO()
    words = [os.fsdecode(a) if isinstance(a, bytes | os.PathLike) else str(a) for a in arguments]
    with redirect_stdout(output), redirect_stderr(errors):
        status = run(words)
    return Result(status, output.getvalue(), errors.getvalue())


def done(*arguments: object) -> str:
    """The output of a command that succeeds and complains of nothing."""
    result = img(*arguments)
    assert (result.status, result.errors) == (0, ""), result
    return result.output


def failed(*arguments: object, status: int = 1) -> str:
    """The one line that a command says that fails, and the only one."""
    result = img(*arguments)
    assert (result.status, result.output) == (status, ""), result
    assert result.errors.startswith("addcow-img: ")
    assert result.errors.count("\n") == 1
    assert result.errors.endswith("\n")
    return result.errors.rstrip("\n")


def environment(**variables: str) -> dict[str, str]:
    """An environment in which the packages are found from any working directory."""
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))} | variables


def process(*arguments: object, env: dict[str, str] | None = None, **options) -> subprocess.Popen[str]:
    """The command as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "addcow_ref.cli._main", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=env or environment(),
        **options,
    )


def qemu(tool: str, *arguments: object, text: str | None = None) -> Result:
    """qemu-img or qemu-io."""
    result = subprocess.run(
        [tool, *map(str, arguments)],
        input=text,
        stdin=subprocess.DEVNULL if text is None else None,
        capture_output=True,
        text=True,
        timeout=HANG,
        check=False,
    )
    return Result(result.returncode, result.stdout, result.stderr)


def normal(text: str) -> str:
    """Output of qemu-io or of io, without what differs between two runs and two programs."""
    text = _SYNOPSIS.sub(r"synopsis of \1", text)
    return _FIGURES.sub(r"\1 FIGURES", text)
