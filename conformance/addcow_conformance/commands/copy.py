"""addcow-conformance copy: the vectors, for those who run no Python."""

from __future__ import annotations

import hashlib
import json
import os
from typing import TYPE_CHECKING

import click

from addcow_conformance._terminal import Progress
from addcow_conformance.commands._failure import DONE, FAILED, Failure
from addcow_conformance.commands._output import emit, one_line, tool
from addcow_conformance.suite import CORPUS, corpus, materialize, vector_schema
from addcow_spec.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["command"]

_EPILOG = """\b
Examples:
  addcow-conformance copy vectors
  addcow-conformance copy vectors --files

\b
DIR is new or empty. It gets vectors/CHAPTER/ID.json, the recipes with the
verdict on each, with vector-v1.json, their JSON Schema; MANIFEST.json, with the
version and a digest of each; and SHA256SUMS, for sha256sum -c. With --files the
files of each vector are made too, in files/ID.

\b
Exit status:
  0    done
  1    a file could not be written, or DIR is not empty
  64   wrong usage
"""


@click.command("copy", epilog=_EPILOG)
@click.argument("directory", metavar="DIR", type=click.Path(path_type=bytes))
@click.option("--files", is_flag=True, help="Make the files of each vector, sparse, with links and FIFOs.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing, and show no progress.")
def command(*, directory: bytes, files: bool, quiet: bool) -> int:
    """Write the vectors into DIR, with version and digests."""
    os.makedirs(directory, exist_ok=True)
    if os.listdir(directory):
        raise Failure(f"{printable(directory)}: not empty; name a new directory", FAILED)
    digests = dict(_copied(directory))
    manifest = {"schema-version": 1, "tool": tool(), "algorithm": "sha256", "files": digests}
    emit([json.dumps(manifest, indent=2) + "\n"], os.path.join(directory, b"MANIFEST.json"))
    emit((f"{digest}  {name}\n" for name, digest in digests.items()), os.path.join(directory, b"SHA256SUMS"))
    if files:
        _make(os.path.join(directory, b"files"), quiet=quiet)
    if not quiet:
        emit([f"{len(digests) - 1} vectors are in {one_line(os.fsdecode(directory))}\n"])
    return DONE


def _copied(directory: bytes) -> Iterator[tuple[str, str]]:
    """The name and digest of each file that is written."""
    yield _written(directory, "vector-v1.json", (json.dumps(vector_schema(), indent=2) + "\n").encode())
    for path in sorted(CORPUS.rglob("*.json")):
        yield _written(directory, _name(path), path.read_bytes())


def _name(path: Path) -> str:
    return f"vectors/{path.parent.name}/{path.name}"


def _written(directory: bytes, name: str, data: bytes) -> tuple[str, str]:
    path = os.path.join(directory, os.fsencode(name))
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "xb") as file:
        file.write(data)
    return name, hashlib.sha256(data).hexdigest()


def _make(directory: bytes, *, quiet: bool) -> None:
    progress = Progress("making files", enabled=not quiet)
    vectors = corpus()
    try:
        for number, vector in enumerate(vectors):
            place = os.path.join(directory, vector.id.encode())
            os.makedirs(place)
            materialize(vector, place)
            progress(number, len(vectors))
    finally:
        progress.close()
