"""A target as an executable of its own.

libFuzzer runs its own argv[0] again for ``-jobs``, ``-fork`` and ``-merge``, so that this has to be a file
that can be executed; ``python -m`` gives a module, which cannot.
"""

from __future__ import annotations

import os
import sys

__all__ = ["make_program"]

# A first line of "#!" may not be long, and have no blanks in a path; sh has no such limits.
_TEXT = """\
#!/bin/sh
'''exec' {python} "$0" "$@"
' '''
from addcow_fuzz._main import fuzz_module

fuzz_module({module!r})
"""


def make_program(module: str, path: str) -> str:
    """Write the executable, and give its absolute path.

    Args:
        module: the target's module.
        path: where.

    Raises:
        OSError: it cannot be written.
    """
    quoted = '"' + "".join("\\" + c if c in '\\"$`' else c for c in sys.executable) + '"'
    with open(path, "w", encoding="utf-8") as file:
        file.write(_TEXT.format(python=quoted, module=module))
        os.fchmod(file.fileno(), 0o755)
    return os.path.abspath(path)
