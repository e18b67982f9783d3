"""The demonstration works, and hands the status of addcow-check through for an image of the user's."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from tests.repo.tree import ROOT

if TYPE_CHECKING:
    from pathlib import Path


def demo(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "tools" / "demo.py"), *arguments]
    return subprocess.run(command, cwd=cwd, check=False, capture_output=True, text=True)


def test_every_image_has_the_answer_that_it_should_have(tmp_path: Path) -> None:
    result = demo(cwd=tmp_path)
    assert result.returncode == 0, result.stdout
    assert "\x1b" not in result.stdout
    for rule in (
        "BMP-001",
        "BMP-002",
        "BMP-003",
        "FEA-003",
        "ENV-001",
        "CHN-002",
        "HDR-001",
        "HDR-002",
        "HDR-005",
    ):
        assert f"ACW-{rule}" in result.stdout
    assert list(tmp_path.iterdir()) == []


def test_an_image_of_the_users(tmp_path: Path) -> None:
    (tmp_path / "a b.add-cow").write_bytes(b"no add-cow file")
    result = demo("a b.add-cow", cwd=tmp_path)
    assert result.returncode == 63
    assert "exit status 63" in result.stdout


def test_two_images_are_wrong_usage(tmp_path: Path) -> None:
    assert demo("a", "b", cwd=tmp_path).returncode == 64
