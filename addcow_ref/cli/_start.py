"""Entry point of the command: loads it with the garbage collector off, which finds nothing while loading."""

from __future__ import annotations

import gc
import signal

__all__ = ["addcow_img"]


def addcow_img() -> None:
    """Load and run addcow-img."""
    # Python's own handler would answer with a traceback out of whatever is being imported.
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    gc.disable()
    from addcow_ref.cli._main import main  # noqa: PLC0415 - this is what is to be loaded

    gc.freeze()
    gc.enable()
    main()
