"""Tables of figures, and the file that keeps those of every benchmark."""

from __future__ import annotations

import os
import platform
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@dataclass
class Row:
    """A line of the table; ``reached`` is None where nothing is aimed at."""

    what: str
    ours: str
    peer: str
    ratio: str
    aim: str
    reached: bool | None


def table(rows: Sequence[Row], ours: str, peer: str) -> str:
    """The rows as Markdown, with the names of two columns."""
    lines = [f"| what | {ours} | {peer} | ratio | aim | reached |", "|---|---|---|---|---|---|"]
    words = {True: "yes", False: "no", None: "-"}
    lines += [f"| {r.what} | {r.ours} | {r.peer} | {r.ratio} | {r.aim} | {words[r.reached]} |" for r in rows]
    return "\n".join(lines)


def machine() -> str:
    """What the figures were measured on."""
    qemu = subprocess.run(
        ["qemu-img", "--version"], capture_output=True, text=True, check=True
    ).stdout.split()[2]
    return (
        f"{os.cpu_count()} processors, {platform.machine()}, Linux {platform.release()}, "
        f"Python {platform.python_version()}, qemu-img {qemu}"
    )


def save(path: Path, text: str) -> None:
    """Put a chapter in the place of the one that has its heading, or at the end of the file."""
    chapters = _chapters(path.read_text() if path.exists() else "") | _chapters(text)
    path.write_text("\n".join(chapters.values()))


def _chapters(text: str) -> dict[str, str]:
    """Chapters by heading, each with one line feed at its end."""
    parts = ("\n" + text).split("\n# ")[1:]
    return {part.partition("\n")[0]: f"# {part.strip()}\n" for part in parts}
