"""What a target is told by the environment: by a campaign, and by whoever has an implementation."""

from __future__ import annotations

import os
import signal
import sys

from addcow_spec.errors import AdapterError, UsageError

__all__ = [
    "IMPLEMENTATION",
    "KNOWN",
    "PARENT",
    "PLAIN",
    "REACHED",
    "end_with_parent",
    "implementation_module",
    "known_tokens",
    "prepare",
]

# What the target `differential` tries, as `addcow-conformance run` names it; the reference engine if empty.
IMPLEMENTATION = "ADDCOW_FUZZ_TARGET"

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


def implementation_module() -> tuple[str, ...]:
    """The module of an implementation in Python, so that its branches count; none for another one."""
    scheme, _, place = os.environ.get(IMPLEMENTATION, "").partition(":")
    module = place.partition(":")[0]
    return (module,) if scheme == "python" and module and not module.startswith(".") else ()


def prepare(target: object) -> None:
    """Let a target find what it needs before it has an input; one that cannot has no finding, but no run.

    Args:
        target: its module; it may have a function ``prepare``.

    Raises:
        SystemExit: with what is wrong, and status 1.
    """
    try:
        getattr(target, "prepare", lambda: None)()
    except (UsageError, AdapterError) as error:
        sys.exit(f"{type(error).__name__}: {error}")


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
