"""Entry points of the commands: they load them with the garbage collector off.

Loading makes many objects and no garbage. The collector would look through them again and again, which takes
a tenth of the time in which a small image is checked.
"""

from __future__ import annotations

import gc
import signal

__all__ = ["addcow_check", "addcow_conformance"]


def addcow_check() -> None:
    """Load and run addcow-check."""
    gc.disable()
    from addcow_conformance.cli_check import main  # noqa: PLC0415 - this is what is to be loaded

    gc.freeze()
    gc.enable()
    main()


def addcow_conformance() -> None:
    """Load and run addcow-conformance."""
    # Python's own handler would answer with a traceback out of whatever is being imported.
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    gc.disable()
    from addcow_conformance.cli_suite import main  # noqa: PLC0415 - this is what is to be loaded

    gc.freeze()
    gc.enable()
    main()
