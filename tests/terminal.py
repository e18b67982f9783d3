"""Running a program on a terminal."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from contextlib import suppress

__all__ = ["shell_on_terminal"]


def shell_on_terminal(arguments: list[str], **environment: str) -> bytes:
    """What Python shows on a terminal, run with those arguments."""
    parent, child = pty.openpty()
    inherited = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    with subprocess.Popen(
        [sys.executable, *arguments],
        stdin=child,
        stdout=child,
        stderr=child,
        env=inherited | {"TERM": "xterm"} | environment,
    ):
        os.close(child)
        shown = b""
        # Linux answers EIO once the last process has left the terminal.
        with suppress(OSError):
            while piece := os.read(parent, 65536):
                shown += piece
    os.close(parent)
    return shown
