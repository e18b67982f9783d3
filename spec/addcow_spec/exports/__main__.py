"""Writes the exports, or tells whether the written ones are current: ``python -m addcow_spec.exports``."""

import argparse
import sys
from pathlib import Path

from addcow_spec.exports import exports


def stale(directory: Path) -> list[str]:
    """Names of files in ``directory`` that are missing, outdated, or no export at all."""
    texts = exports()
    found = {path.name: path.read_text(encoding="utf-8") for path in directory.iterdir()}
    return sorted(name for name in texts.keys() | found.keys() if texts.get(name) != found.get(name))


def main() -> int:
    """Run the command; 0 when done or current, 1 when something is stale, 2 for wrong usage."""
    parser = argparse.ArgumentParser(prog="python -m addcow_spec.exports", description=__doc__)
    parser.add_argument("directory", nargs="?", type=Path, default=Path("spec", "exports"))
    parser.add_argument("--check", action="store_true", help="write nothing; name what is not current")
    arguments = parser.parse_args()
    if not arguments.directory.is_dir():
        parser.error(f"{arguments.directory}: no such directory; run this at the root of the project")
    if arguments.check:
        names = stale(arguments.directory)
        for name in names:
            print(f"{arguments.directory / name}: not current; run make exports", file=sys.stderr)
        return 1 if names else 0
    for name, text in exports().items():
        (arguments.directory / name).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
