"""Entry point of the command: loads it with the garbage collector off.

Loading makes many objects and no garbage. The collector would look through them again and again, which takes
a tenth of the time in which a small image is checked.
"""

from __future__ import annotations

import gc

__all__ = ["addcow_check"]


def addcow_check() -> None:
    """Load and run addcow-check."""
    gc.disable()
    from addcow_conformance.cli_check import main  # noqa: PLC0415 - this is what is to be loaded

    gc.freeze()
    gc.enable()
    main()
