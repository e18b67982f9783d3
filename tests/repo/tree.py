"""The files of the project: all that is not ignored."""

from __future__ import annotations

import os
from fnmatch import fnmatch
from pathlib import Path

__all__ = ["PACKAGES", "ROOT", "project_files"]

ROOT = Path(__file__).parents[2]
PACKAGES = {
    "addcow_spec": ROOT / "spec",
    "addcow_ref": ROOT,
    "addcow_conformance": ROOT / "conformance",
    "addcow_fuzz": ROOT / "fuzz",
}


def project_files(below: Path = ROOT) -> list[Path]:
    """Every file below a directory, except in directories that `.gitignore` names."""
    ignored = [line.strip("/") for line in (ROOT / ".gitignore").read_text("utf-8").splitlines()]
    found: list[Path] = []
    for directory, names, files in os.walk(below, followlinks=True):
        names[:] = [n for n in names if n != ".git" and not any(fnmatch(n, pattern) for pattern in ignored)]
        found += [Path(directory, name) for name in files]
    return sorted(found)
