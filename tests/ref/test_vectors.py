"""The engine against every vector: what it refuses, by which rule, and what it may not touch."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from addcow_conformance.checker import Verdict
from addcow_conformance.suite import load_vectors, materialize
from addcow_ref import open_image
from addcow_spec.errors import ImageError, UnsupportedImage
from addcow_spec.rules import Level, Profile, rule

VECTORS = load_vectors(Path(__file__).parents[2] / "corpora" / "vectors")

# The checker looks at the working directory to tell why a file is missing; an opener does not.
SAME = {"ACW-NAM-010": {"ACW-ENV-001", "ACW-ENV-002"}}
# A chain that comes back to itself cannot be read, whatever the profile says of it.
ENDLESS = {"ACW-CHN-001", "ACW-CHN-002"}


def snapshot(root):
    found = {}
    for directory, _, names in os.walk(root):
        for name in names:
            path = Path(directory, name)
            status = path.lstat()
            content = (
                hashlib.sha256(path.read_bytes()).digest()
                if path.is_file() and status.st_size < 1 << 20
                else b""
            )
            found[path] = (status.st_mode, status.st_size, status.st_mtime_ns, content)
    return found


def musts(label, profile):
    return {found for found in label.findings if rule(found).level[profile] is Level.MUST}


def opened(scene, profile):
    """The error that the engine refuses the image with, None where it opens and reads it."""
    try:
        with open_image(scene.image, profile=profile, confine=scene.confine, revision=scene.take_as) as image:
            image.read(0, min(image.size, 1 << 20))
            image.read(max(image.size - 512, 0), min(image.size, 512))
    except ImageError as error:
        return error
    return None


@pytest.mark.parametrize("profile", Profile)
@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector.id)
def test_engine_agrees_with_the_label(vector, profile, tmp_path, monkeypatch):
    scene = materialize(vector, tmp_path)
    monkeypatch.chdir(os.fsdecode(scene.cwd))
    before = snapshot(tmp_path)
    label = vector.labels[profile]
    refused = opened(scene, profile)
    broken = musts(label, profile)
    if refused is None:
        assert label.result is not Verdict.INVALID
    elif isinstance(refused, UnsupportedImage) and not broken:
        # Where the checker stops with a note, an opener has to go on, and cannot.
        assert refused.rule in {"ACW-NAM-011", "ACW-ENV-002"}
    else:
        allowed = broken | (musts(vector.labels[Profile.REVIEWED], Profile.REVIEWED) & ENDLESS)
        assert refused.rule in allowed.union(*(SAME.get(found, set()) for found in broken))
    assert snapshot(tmp_path) == before
