"""Running addcow-check as its users do: a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

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
