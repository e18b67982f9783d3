"""What a campaign tells a target that it starts: four variables of the environment."""

from __future__ import annotations

import os
import signal

__all__ = ["KNOWN", "PARENT", "PLAIN", "REACHED", "end_with_parent", "known_tokens"]

# A file of tokens, one a line: inputs that come to one of these are passed over.
KNOWN = "ADDCOW_FUZZ_KNOWN"
# Number of the process that the target ends with.
PARENT = "ADDCOW_FUZZ_PARENT"
# Set, and not empty, where the target's own mutators are left out.
PLAIN = "ADDCOW_FUZZ_PLAIN"
# A file that a target of programs writes: how often they came to each state of the models, as JSON.
REACHED = "ADDCOW_FUZZ_REACHED"

_PR_SET_PDEATHSIG = 1
_FAILED = 1


def known_tokens() -> frozenset[str]:
    """The tokens that are passed over; none where no file is named.

    Raises:
        OSError: the file cannot be read.
    """
    path = os.environ.get(KNOWN)
    if not path:
        return frozenset()
    with open(path, encoding="utf-8") as file:
        return frozenset(file.read().split())


def end_with_parent() -> None:
    """End when the process that is named in the environment ends, however it does; nothing where none is.

    The name is taken away: what libFuzzer starts, for ``-merge`` and ``-fork``, has another parent.
    """
    if not (parent := os.environ.pop(PARENT, "")):
        return
    import ctypes  # noqa: PLC0415 - in processes of a campaign only

    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(parent):
        os._exit(_FAILED)
