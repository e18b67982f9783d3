"""Running addcow-check as its users do, in a process of its own, and addcow-conformance in both ways."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from typing import TYPE_CHECKING, Any, NamedTuple

from addcow_conformance.cli_suite import run

if TYPE_CHECKING:
    from pathlib import Path

# A sound command answers at once; only a hang comes near this.
_HANG = 60


def addcow_check(
    *arguments: str | bytes | Path, cwd: Path | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run the command; its output is text, bytes that are not UTF-8 kept as surrogates."""
    return subprocess.run(
        [sys.executable, "-m", "addcow_conformance.cli_check", *arguments],
        cwd=cwd,
        env=os.environ | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=_HANG,
        encoding="utf-8",
        errors="surrogateescape",
        check=False,
    )


def checked(*arguments: str | bytes | Path, cwd: Path | None = None) -> tuple[int, dict[str, Any]]:
    """Exit status and JSON report of one image."""
    result = addcow_check("--output", "json", *arguments, cwd=cwd)
    assert "Traceback" not in result.stderr, result.stderr
    return result.returncode, json.loads(result.stdout)


def rules(report: dict[str, Any]) -> list[str]:
    """Ids of the rules of a report's findings."""
    return [finding["rule"] for finding in report["findings"]]


class Answer(NamedTuple):
    """What a command that ran in this process has said."""

    status: int
    output: str
    errors: str

    @property
    def document(self) -> Any:
        """Its output as JSON."""
        return json.loads(self.output)


def suite(*arguments: object) -> Answer:
    """Run addcow-conformance in this process."""
    output, errors = io.StringIO(), io.StringIO()
    words = [os.fsdecode(a) if isinstance(a, bytes | os.PathLike) else str(a) for a in arguments]
    with redirect_stdout(output), redirect_stderr(errors):
        status = run(words)
    return Answer(status, output.getvalue(), errors.getvalue())


def suite_failed(*arguments: object, status: int) -> str:
    """The one line that addcow-conformance says that fails, and the only one."""
    answer = suite(*arguments)
    assert (answer.status, answer.output) == (status, ""), answer
    assert answer.errors.startswith("addcow-conformance: ")
    assert answer.errors.count("\n") == 1
    assert answer.errors.removesuffix("\n").isprintable()
    return answer.errors


def suite_process(*arguments: object, **options: Any) -> subprocess.Popen[bytes]:
    """Start addcow-conformance as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "addcow_conformance.cli_suite", *map(str, arguments)],
        **{"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options,
    )
