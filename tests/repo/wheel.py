"""The wheel, made without a network."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from tests.repo.tree import ROOT

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["build_wheel"]

_PIP = (sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index")


def build_wheel(directory: Path) -> Path:
    """The wheel of this checkout, in a directory that has nothing else."""
    subprocess.run([*_PIP, "--wheel-dir", str(directory), str(ROOT)], check=True)
    (path,) = directory.iterdir()
    return path
