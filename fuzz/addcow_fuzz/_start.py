"""Entry point of the command: it loads it with the garbage collector off.

Loading makes many objects and no garbage. The collector would look through them again and again.
"""

from __future__ import annotations

import gc
import signal

__all__ = ["addcow_fuzz"]


def addcow_fuzz() -> None:
    """Load and run addcow-fuzz."""
    # Python's own handler would answer with a traceback out of whatever is being imported.
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    gc.disable()
    from addcow_fuzz.cli import main  # noqa: PLC0415 - this is what is to be loaded

    gc.freeze()
    gc.enable()
    main()
