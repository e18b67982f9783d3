"""What is done with a program that breaks a rule: it is kept, and shown."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from addcow_conformance.programs import dump_program

if TYPE_CHECKING:
    from pathlib import Path

    from addcow_conformance.programs import Program

__all__ = ["explain", "keep"]


def keep(program: Program, directory: Path) -> Path:
    """Write a program into a directory; its name is the rule that it breaks, and a digest without its note.

    Raises:
        OSError: the directory cannot be made, or the file cannot be written.
    """
    digest = hashlib.sha256(dump_program(program._replace(note="")).encode()).hexdigest()[:8]
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{program.rule.lower()}-{digest}.json"
    path.write_text(dump_program(program), "utf-8")
    return path


def explain(program: Program, path: Path | None = None) -> str:
    """A program as JSON, with the rule that it breaks, and how to run it again."""
    where = (
        f"addcow-conformance replay {path}" if path else "addcow-conformance replay FILE, with this in FILE"
    )
    return f"{program.rule} is broken:\n{dump_program(program)}run it again: {where}"
