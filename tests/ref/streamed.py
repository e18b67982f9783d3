"""What the tests of streaming share."""

from __future__ import annotations

from functools import lru_cache

from addcow_spec.geometry import Geometry
from addcow_spec.model import Revision
from tests.ref.qcow2_images import content as words

__all__ = ["V10", "below", "check", "content", "stop_after"]

V10 = Revision.V10
content = lru_cache(64)(words)


def below(base, size):
    return (base or b"")[:size].ljust(size, b"\0")


def check(scene, want):
    """Every bit is set, and the image file alone is the disk."""
    size = len(want)
    assert scene.get(b"img") == want
    assert scene.bits() == set(range(Geometry(scene.revision, size).units))
    assert set(scene.findings()) <= {"ACW-SIZ-004", "ACW-CHN-003"}
    with scene.open(writable=False) as image:
        assert image.read(0, size) == want


def stop_after(calls):
    left = iter(range(calls))
    return lambda: next(left, None) is None
