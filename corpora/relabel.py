"""Label the vectors a second time, from the specification alone.

This program shares nothing with the project's packages or with the generator: neither grammar nor rule
catalogue, neither checker nor engine. It reads a vector's JSON, makes its files, judges them with `struct`
and `os`, and compares what it finds with the labels in the vector. A slip would have to be made twice, in
two ways, to go unseen.

Usage: ``python corpora/relabel.py [--check]``. Without ``--check`` it prints its labels; with it, the vectors
whose labels differ, and exits with status 1 where there is one.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

from relabeller import Judge

VECTORS = Path(__file__).parent / "vectors"

# Rules by what a violation is: all others are errors.
_WARNINGS = {
    "reviewed": {"HDR-004", "NAM-008", "NAM-009", "BMP-003", "SIZ-004", "CHN-003", "QC2-009", "QC2-011"},
    "as-written": {
        "HDR-004",
        "NAM-009",
        "BMP-003",
        "SIZ-004",
        "SIZ-005",
        "FEA-002",
        "FEA-003",
        "QC2-009",
        "QC2-011",
    },
}
_NOTES = {
    "reviewed": {"HDR-005", "NAM-011", "BMP-004"},
    "as-written": {"HDR-005", "NAM-011", "BMP-004", "CHN-003"},
}
_SUFFIX = {"reviewed": "", "as-written": "-as-written"}


def make(files: list[dict[str, Any]], root: bytes) -> None:
    """Make the files of a recipe below ``root``; links last."""
    for file in sorted(files, key=lambda file: ("hardlink" in file, "symlink" in file)):
        path = os.path.join(root, unquote_to_bytes(file["path"]))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if "symlink" in file:
            os.symlink(unquote_to_bytes(file["symlink"]), path)
        elif "hardlink" in file:
            os.link(os.path.join(root, unquote_to_bytes(file["hardlink"])), path)
        elif "fifo" in file:
            os.mkfifo(path)
        elif "directory" in file:
            os.mkdir(path)
        else:
            with open(path, "xb") as stream:
                for piece in file["data"]:
                    stream.seek(piece["offset"])
                    stream.write(bytes.fromhex(piece["hex"]))
                stream.truncate(file["size"])


def labels(vector: dict[str, Any]) -> dict[str, Any]:
    """Results and findings in both profiles, under the keys that a vector has for them."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as directory:
        root = os.fsencode(os.path.realpath(directory))
        make(vector["files"], root)
        cwd = os.path.join(root, unquote_to_bytes(vector.get("cwd", "")))
        image = os.path.relpath(os.path.join(root, unquote_to_bytes(vector["image"])), cwd)
        confine = os.path.join(root, unquote_to_bytes(vector["confine"])) if "confine" in vector else b""
        os.chdir(cwd)
        for profile, suffix in _SUFFIX.items():
            judge = Judge(reviewed=profile == "reviewed", confine=confine, take_as=vector.get("take-as", ""))
            rules = judge.judge(image)
            found[f"result{suffix}"] = _result(rules, profile)
            found[f"findings{suffix}"] = sorted(f"ACW-{rule}" for rule in rules)
        os.chdir("/")
    return found


def _result(rules: list[str], profile: str) -> str:
    weighty = set(rules) - _NOTES[profile]
    if weighty - _WARNINGS[profile]:
        return "invalid"
    return "acceptable" if weighty else "valid"


def main() -> int:
    """Run the program; returns its exit status."""
    parser = argparse.ArgumentParser(description="Label the vectors from the specification alone.")
    parser.add_argument("--check", action="store_true", help="compare with the labels of the vectors")
    check = parser.parse_args().check
    different = 0
    paths = sorted(VECTORS.resolve().rglob("*.json"))
    for path in paths:
        vector = json.loads(path.read_text("utf-8"))
        derived = labels(vector)
        stated = {key: vector[key] for key in derived}
        different += derived != stated
        if not check or derived != stated:
            print(f"{path.stem}: {json.dumps(derived)}" + (f", stated {json.dumps(stated)}" if check else ""))
    print(f"{len(paths)} vectors" + (f", {different} labelled otherwise" if check else ""))
    return 1 if check and different else 0


if __name__ == "__main__":
    sys.exit(main())
