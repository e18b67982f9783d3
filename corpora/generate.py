"""Make the vectors, or with ``--check`` tell whether they are what this program makes.

Usage: ``python corpora/generate.py [--check]``. Exit status 1 where ``--check`` finds a difference.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from vectorgen import vectors

VECTORS = Path(__file__).parent / "vectors"


def main() -> int:
    """Run the program; returns its exit status."""
    parser = argparse.ArgumentParser(description="Make the vectors in corpora/vectors.")
    parser.add_argument("--check", action="store_true", help="change nothing; fail where the files differ")
    check = parser.parse_args().check
    made = dict(vectors())
    there = {
        path.relative_to(VECTORS).as_posix(): path.read_text("utf-8") for path in VECTORS.rglob("*.json")
    }
    differing = sorted(path for path in made.keys() | there.keys() if made.get(path) != there.get(path))
    for path in differing:
        if check:
            print(f"{path}: not what corpora/generate.py makes")
        elif path in made:
            target = VECTORS / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(made[path], "utf-8")
        else:
            (VECTORS / path).unlink()
    print(f"{len(made)} vectors, {len(differing)} {'differ' if check else 'written or removed'}")
    return 1 if check and differing else 0


if __name__ == "__main__":
    sys.exit(main())
