"""The dictionary for libFuzzer's ``-dict``: what the grammar gives, and what the inputs of the targets have.

Usage: ``python -m addcow_fuzz.dictionary FILE`` writes it.
"""

from __future__ import annotations

import argparse
import struct
from pathlib import Path

from addcow_fuzz._packing import name_of
from addcow_spec.exports import exports

__all__ = ["dictionary", "main"]

_FILES = 4


def dictionary() -> str:
    """The text of the dictionary: one token a line, each with a name."""
    lines = [exports()["add-cow.dict"].rstrip("\n"), "", "# records and names of packed files"]
    for file in range(_FILES):
        lines += [_entry(f"record_{file}", struct.pack("<HQ", file, 0))]
        lines += [_entry(f"named_{file}", struct.pack("<I", 1) + name_of(file))]
    lines += ["", "# lines of a directory"]
    lines += [_entry(f"line_{letter}", b"\n%c " % letter) for letter in b"adfhlp"]
    return "\n".join([*lines, ""])


def _entry(name: str, value: bytes) -> str:
    return name + '="' + "".join(f"\\x{byte:02x}" for byte in value) + '"'


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog="python -m addcow_fuzz.dictionary", description="Write the dictionary."
    )
    parser.add_argument("file", type=Path, help="where to")
    parser.parse_args().file.write_text(dictionary(), encoding="utf-8")


if __name__ == "__main__":
    main()
