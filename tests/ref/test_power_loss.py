"""ACW-DYN-005: every loss of power that the log of a scene allows, on real files and in memory."""

from __future__ import annotations

import pytest

from addcow_ref.testing import SyncEvent, WriteEvent
from addcow_spec.geometry import Geometry
from addcow_spec.model import Revision
from tests.ref.crashes import Crashes, sectors
from tests.ref.scenes import CLUSTER, SECTOR, UNIT, noise

PAGE = 4096
PAGE_UNITS = PAGE * 8
SIZE = 2 * CLUSTER + SECTOR
GARBAGE = b"\xdd" * SIZE


def allowed(steps, cut):
    """The values that each sector may have after a crash; ``steps`` has begin, end, flushed?, disk."""
    last = max(number for number, step in enumerate(steps) if step[2] and step[1] <= cut)
    begun = [step[3] for number, step in enumerate(steps) if number >= last and step[0] <= cut]
    return [set(values) for values in zip(*map(sectors, begun), strict=True)]


class Diary:
    """An image that is recorded, and how the disk was to be after each request."""

    def __init__(self, scene, disk, **options):
        self.image, self.log = scene.recorded(**options)
        self.crashes = Crashes(scene, self.log)
        self.disk = bytearray(disk)
        self.steps = [(0, 0, True, bytes(disk))]

    def do(self, call, *arguments, flushed=False):
        begin = len(self.log)
        call(*arguments)
        self.steps.append((begin, len(self.log), flushed, bytes(self.disk)))

    def write(self, offset, data):
        self.disk[offset : offset + len(data)] = data
        self.do(self.image.write, offset, data)

    def zero(self, offset, length):
        self.disk[offset : offset + length] = bytes(length)
        self.do(self.image.write_zeroes, offset, length)

    def flush(self):
        self.do(self.image.flush, flushed=True)

    def prove(self):
        """Every state that any cut of the log can leave reads old or new, by sectors."""
        proved = 0
        for cut in range(len(self.log) + 1):
            values = allowed(self.steps, cut)
            for state in self.crashes.states(cut):
                found = sectors(self.crashes.read(state))
                wrong = [at for at, sector in enumerate(found) if sector not in values[at]]
                assert not wrong, f"after {cut} of {len(self.log)} events: sectors {wrong[:5]}"
                proved += 1
        return proved


@pytest.mark.parametrize("backing", [None, 70000, SIZE])
def test_each_loss_of_power_leaves_old_or_new(scene, revision, backing):
    base = None if backing is None else noise(backing)
    scene.create(GARBAGE, base, revision=revision)
    diary = Diary(scene, (base or b"").ljust(SIZE, b"\0"))
    with diary.image:
        diary.write(1000, b"\xe1" * 700)
        diary.flush()
        diary.write(CLUSTER - 100, b"\xe2" * 900)
        diary.zero(600, 600)
        diary.flush()
        diary.zero(CLUSTER + 5000, CLUSTER - 5000 + 100)
        diary.write(1200, b"\xe3" * 50)
        diary.flush()
    assert diary.prove() > 40


@pytest.mark.parametrize("old", [Revision.V4, Revision.V6])
def test_loss_of_power_while_pages_leave_the_cache(scene, old):
    """A disk of three pages of the bitmap, behind a cache of one."""
    unit = UNIT[old]
    size = 2 * PAGE_UNITS * unit + 8 * unit
    places = [0, PAGE_UNITS * unit, 2 * PAGE_UNITS * unit]
    scene.create(size, revision=old)
    image, log = scene.recorded(cache_size=PAGE)
    names = {scene.identity(b"x"): b"x", scene.identity(b"img"): b"img"}
    start = Geometry(old, size).bitmap_offset
    with image:
        for turn in range(3):
            for place in places:
                image.write(place + turn * unit, bytes([0xE0 + turn]) * unit)
    # What a bit stands for is durable before the page that holds it is written, at any time.
    data, durable, pages = set(), set(), 0
    for event in log:
        kind = names[event.file], type(event)
        if kind == (b"img", WriteEvent):
            data |= set(range(event.offset // unit, -(-(event.offset + len(event.data)) // unit)))
        elif kind == (b"img", SyncEvent):
            durable |= data
        elif kind == (b"x", WriteEvent):
            pages += 1
            first = (event.offset - start) * 8
            bits = int.from_bytes(event.data, "little")
            assert {first + bit for bit in range(bits.bit_length()) if bits >> bit & 1} <= durable
    assert pages >= 9
    assert len(durable) == 9


def test_loss_of_power_while_streaming(scene, revision, monkeypatch):
    """A stream changes nothing that a guest sees, whenever it is cut off."""
    monkeypatch.setattr("addcow_ref._stream._FLUSH_EVERY", CLUSTER)
    monkeypatch.setattr("addcow_ref._stream._PIECE", CLUSTER)
    base = noise(CLUSTER) + bytes(3000) + noise(9000, 3)
    scene.create(GARBAGE, base, revision=revision)
    diary = Diary(scene, base.ljust(SIZE, b"\0"))
    with diary.image as image:
        diary.do(image.stream, flushed=True)
    diary.prove()
    assert sorted(scene.bits()) == list(range(-(-SIZE // UNIT[revision])))


def test_what_was_flushed_needs_no_close(scene, revision):
    scene.create(GARBAGE, noise(SIZE), revision=revision)
    diary = Diary(scene, noise(SIZE))
    with diary.image:
        diary.write(CLUSTER - 7, b"\xee" * 20)
        diary.flush()
        for state in diary.crashes.states(len(diary.log)):
            assert diary.crashes.read(state) == diary.disk
