"""Files of a recipe: sparse content, links, FIFOs and directories, as the JSON says them."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote_from_bytes

__all__ = ["DIRECTORY", "FIFO", "File", "Recipe", "encoded", "hard_link", "symlink"]

Recipe = dict[str, Any]

# A gap of zeros that is shorter than the text of one more item of data is written out.
_GAP = 24

_SAFE = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) != "%")

FIFO: Recipe = {"fifo": True}
DIRECTORY: Recipe = {"directory": True}


def encoded(path: bytes) -> str:
    """A path percent-encoded, as `vector-v1.json` wants it."""
    return quote_from_bytes(path, safe=_SAFE)


def symlink(target: bytes) -> Recipe:
    """A symbolic link that holds ``target``."""
    return {"symlink": encoded(target)}


def hard_link(target: bytes) -> Recipe:
    """A second name of the recipe's file ``target``."""
    return {"hardlink": encoded(target)}


class File:
    """A file in the making: a length, and the bytes that are not zero. Its methods return the file."""

    def __init__(self, size: int = 0, data: bytes = b"") -> None:
        self.size = size
        self._bytes: dict[int, int] = {}
        self.write(0, data)

    def write(self, offset: int, data: bytes) -> File:
        """Put ``data`` at ``offset``; the file grows where it must."""
        for at, value in enumerate(data, offset):
            if value:
                self._bytes[at] = value
            else:
                self._bytes.pop(at, None)
        self.size = max(self.size, offset + len(data))
        return self

    def resize(self, size: int) -> File:
        """Cut the file, or let it grow by zeros."""
        self._bytes = {at: value for at, value in self._bytes.items() if at < size}
        self.size = size
        return self

    def recipe(self) -> Recipe:
        """The size and the runs of bytes."""
        runs: list[tuple[int, bytearray]] = []
        for at in sorted(self._bytes):
            if runs and at - (runs[-1][0] + len(runs[-1][1])) <= _GAP:
                start, run = runs[-1]
                run.extend(bytes(at - start - len(run)))
            else:
                runs.append((at, run := bytearray()))
            run.append(self._bytes[at])
        return {"size": self.size, "data": [{"offset": start, "hex": run.hex()} for start, run in runs]}
