"""Random programs of requests against a disk that is nothing but bytes."""

from __future__ import annotations

import tempfile
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from addcow_spec.model import Revision
from tests.ref.qcow2_images import COPIED, ROOM, content
from tests.ref.qcow2_images import image as qcow2
from tests.ref.scenes import CLUSTER, SECTOR, Scene, noise

SIZES = [
    0,
    1,
    511,
    512,
    513,
    4096,
    CLUSTER - 1,
    CLUSTER,
    CLUSTER + 1,
    2 * CLUSTER,
    2 * CLUSTER + 512,
    8 * CLUSTER + 7,
]
# A qcow2 file of 64 KiB with data in its guest clusters 1 and 100.
QCOW2_DATA = content(2 * SECTOR, 5)
QCOW2 = qcow2({1: COPIED | ROOM, 100: COPIED | ROOM + SECTOR}, parts={ROOM: QCOW2_DATA})
QCOW2_DISK = bytearray(CLUSTER)
QCOW2_DISK[SECTOR : 2 * SECTOR] = QCOW2_DATA[:SECTOR]
QCOW2_DISK[100 * SECTOR : 101 * SECTOR] = QCOW2_DATA[SECTOR:]
BACKINGS = {"none": None, "short": 700, "shorter": CLUSTER + 100, "longer": 9 * CLUSTER, "qcow2": QCOW2}

# Where a request lies, in thousandths of the disk or at the edge of a unit; cut to fit later.
PLACES = st.one_of(
    st.integers(0, 9 * CLUSTER),
    st.builds(
        lambda unit, number, delta: max(unit * number + delta, 0),
        st.sampled_from([SECTOR, CLUSTER]),
        st.integers(0, 9),
        st.integers(-1, 1),
    ),
)
LENGTHS = st.one_of(
    st.integers(0, 1500), st.sampled_from([SECTOR, CLUSTER - 1, CLUSTER, CLUSTER + 1, 3 * CLUSTER])
)
STEPS = st.one_of(
    st.tuples(st.just("write"), PLACES, LENGTHS),
    st.tuples(st.just("write"), PLACES, LENGTHS),
    st.tuples(st.just("zero"), PLACES, LENGTHS),
    st.tuples(st.just("keep zero"), PLACES, LENGTHS),
    st.tuples(st.just("read"), PLACES, LENGTHS),
    st.tuples(st.just("resize"), st.sampled_from(SIZES), st.just(0)),
    st.tuples(st.sampled_from(["flush", "stream", "reopen"]), st.just(0), st.just(0)),
)


class Program:
    """An image beside the bytes that its disk is to have."""

    def __init__(self, scene, size, backing, revision):
        self.scene = scene
        self.old = revision is not Revision.V10
        self.below = {"none": b"", "qcow2": bytes(QCOW2_DISK)}.get(backing) or b""
        base = BACKINGS[backing]
        if isinstance(base, int):
            base = self.below = noise(base, 3)
        size = self.fitting(size)
        options = {"backing_format": None} if backing == "qcow2" else {}
        scene.create(b"\xdd" * size, base, revision=revision, **options)
        self.disk = bytearray(self.below[:size].ljust(size, b"\0"))
        self.unit = SECTOR if self.old else CLUSTER
        self.set = set()
        self.image = self.open()
        self.numbers = count(1)

    def open(self):
        return self.scene.open(cache_size=4096)

    def fitting(self, size):
        return size // SECTOR * SECTOR if self.old else size

    def touch(self, start, end):
        if start < end:
            self.set |= set(range(start // self.unit, -(-end // self.unit)))

    def run(self, kind, place, length):
        start = min(place, len(self.disk))
        end = min(start + length, len(self.disk))
        match kind:
            case "write":
                data = noise(end - start, next(self.numbers))
                self.image.write(start, data)
                self.disk[start:end] = data
                self.touch(start, end)
            case "zero" | "keep zero":
                self.image.write_zeroes(start, end - start, unmap=kind == "zero")
                self.disk[start:end] = bytes(end - start)
                self.touch(start, end)
            case "read":
                assert self.image.read(start, end - start) == self.disk[start:end]
            case "resize":
                self.resize(self.fitting(place))
            case "flush":
                self.image.flush()
                assert self.scene.bits() == self.set
            case "stream":
                assert self.image.stream()
                self.touch(0, len(self.disk))
            case "reopen":
                self.close()
                self.image = self.open()

    def resize(self, size):
        self.image.resize(size)
        before = len(self.disk)
        del self.disk[size:]
        # A last unit that was short goes on where it is: its rest is zeros if its bit is set.
        kept = -(-before // self.unit) * self.unit if (before - 1) // self.unit in self.set else before
        self.disk += bytes(max(min(kept, size) - len(self.disk), 0))
        self.disk += self.below[len(self.disk) : size]
        self.disk += bytes(size - len(self.disk))
        self.set = {unit for unit in self.set if unit * self.unit < size}

    def close(self):
        assert self.image.size == len(self.disk)
        assert self.image.read(0, len(self.disk)) == self.disk
        assert self.image.allocated_units() == len(self.set)
        self.image.close()
        assert self.scene.bits() == self.set
        # Warnings of what a program cannot help: a format found by content, a backing file that is longer.
        assert set(self.scene.findings()) <= {"ACW-CHN-003", "ACW-SIZ-004"}


@pytest.mark.parametrize("kind", ["memory", "files"])
@given(
    size=st.sampled_from(SIZES),
    backing=st.sampled_from(sorted(BACKINGS)),
    revision=st.sampled_from(Revision),
    steps=st.lists(STEPS, max_size=12),
)
@settings(max_examples=120, deadline=None)
def test_program_keeps_the_disk(kind, size, backing, revision, steps):
    with tempfile.TemporaryDirectory() as directory:
        program = Program(Scene(kind, directory), size, backing, revision)
        for step in steps:
            program.run(*step)
        program.close()
