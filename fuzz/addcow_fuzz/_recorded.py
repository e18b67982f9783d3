"""What QEMU's own tool said of qcow2 files, written down by `corpora/record_qcow2.py`."""

from __future__ import annotations

import json
from functools import cache
from hashlib import sha256
from importlib import resources
from typing import NamedTuple

__all__ = ["BASE", "Recorded", "recorded"]

# The raw file that the recorded ones have below them, if any; its name is that of file 1 of an input. It ends
# with a sector: QEMU rounds up what does not.
BASE = bytes(1 + at % 251 for at in range(2560))


class Recorded(NamedTuple):
    """What was said of a file.

    Attributes:
        check: exit status of ``qemu-img check``: 0 where it is sound.
        disk: SHA-256 of what ``qemu-img convert`` made of it, empty where it could not.
        map: start, length, depth, present, zero and data of each line of ``qemu-img map``.
    """

    check: int
    disk: str
    map: tuple[tuple[int, int, int, bool, bool, bool], ...]


@cache
def _all() -> dict[str, Recorded]:
    text = resources.files(__package__).joinpath("qemu-img.json").read_text(encoding="utf-8")
    return {
        name: Recorded(said["check"], said["disk"], tuple(tuple(line) for line in said["map"]))
        for name, said in json.loads(text).items()
    }


def recorded(data: bytes) -> Recorded | None:
    """What was said of a file of these bytes; None where it was never asked about."""
    return _all().get(sha256(data).hexdigest())
