"""ACW-DYN-005: bits follow their data, shown by the order of what is written and by every loss of power."""

from __future__ import annotations

import pytest

from addcow_ref.testing import SyncEvent, WriteEvent, ZeroesEvent
from addcow_spec.model import Revision
from tests.ref.hooks import PATIENCE, Crew, Stop, hooked
from tests.ref.scenes import CLUSTER, SECTOR, UNIT, noise

V10 = Revision.V10
PAGE = 4096
PAGE_UNITS = PAGE * 8
SIZE = 2 * CLUSTER + SECTOR
GARBAGE = b"\xdd" * SIZE


def told(scene, log):
    """The log as pairs of operation and file; neighbours that are alike are one."""
    names = {scene.identity(b"x"): "x", scene.identity(b"img"): "img"}
    found = []
    for event in log:
        kind = {WriteEvent: "write", ZeroesEvent: "write", SyncEvent: "sync"}[type(event)]
        step = f"{kind} {names[event.file]}"
        if not found or found[-1] != step:
            found.append(step)
    return found


FLUSHED = ["write img", "sync img", "write x", "sync x"]

WRITES = {
    "part": lambda image: image.write(5, b"\xee" * 100),
    "whole": lambda image: image.write(0, b"\xee" * CLUSTER),
    "across": lambda image: image.write(CLUSTER - 5, b"\xee" * 10),
    "zeroes": lambda image: image.write_zeroes(700, 5000),
    "zeroes-kept": lambda image: image.write_zeroes(700, 5000, unmap=False),
}


# -- the order


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_flush_puts_a_barrier_between_data_and_bits(scene, revision, write):
    scene.create(GARBAGE, noise(SIZE), revision=revision)
    image, log = scene.recorded()
    with image:
        write(image)
        assert told(scene, log) == ["write img"]
        image.flush()
        assert told(scene, log) == FLUSHED


def test_fua_returns_when_it_is_durable(scene, revision):
    scene.create(GARBAGE, noise(SIZE), revision=revision)
    image, log = scene.recorded()
    with image:
        image.write(0, b"\xee", fua=True)
        assert told(scene, log) == FLUSHED
        log.clear()
        image.write_zeroes(CLUSTER, 100, fua=True)
        assert told(scene, log) == FLUSHED


def test_writes_are_not_synced_one_by_one(scene, revision):
    scene.create(GARBAGE, noise(SIZE), revision=revision)
    image, log = scene.recorded()
    with image:
        for at in range(0, SIZE - 600, 600):
            image.write(at, b"\xee" * 600)
            image.write_zeroes(at, 10)
        assert SyncEvent not in map(type, log)


@pytest.mark.parametrize("close", [False, True])
def test_without_changed_bits_the_image_file_alone_is_synced(scene, revision, close):
    scene.create(GARBAGE, noise(SIZE), revision=revision)
    image, log = scene.recorded()
    image.write(0, b"\xee" * CLUSTER)
    image.flush()
    log.clear()
    image.write(100, b"\xff")
    image.close() if close else image.flush()
    assert told(scene, log) == ["write img", "sync img"]
    image.close()


def test_close_flushes(scene, revision):
    scene.create(GARBAGE, noise(SIZE), revision=revision)
    image, log = scene.recorded()
    image.write(0, b"\xee")
    image.close()
    assert told(scene, log) == FLUSHED


def test_reader_syncs_and_writes_nothing(scene):
    scene.create(GARBAGE, noise(SIZE))
    image, log = scene.recorded(writable=False)
    with image:
        image.read(0, SIZE)
        image.flush()
    assert log == []


def test_stream_keeps_the_order(scene, revision, monkeypatch):
    monkeypatch.setattr("addcow_ref._stream._FLUSH_EVERY", 1)
    monkeypatch.setattr("addcow_ref._stream._PIECE", CLUSTER)
    scene.create(GARBAGE, noise(SIZE), revision=revision)
    image, log = scene.recorded()
    with image:
        assert image.stream()
        steps = told(scene, log)
        pieces, rest = divmod(len(steps), 4)
        assert pieces == 3
        # The last flush finds nothing left to write.
        assert steps == FLUSHED * pieces + ["sync img"] * bool(rest)


def test_page_leaves_the_cache_behind_the_barrier(scene):
    """Two pages take turns in a cache of one; what was written is synced before its page, not with each."""
    unit = UNIT[Revision.V6]
    scene.create(2 * PAGE_UNITS * unit, revision=Revision.V6)
    image, log = scene.recorded(cache_size=PAGE)
    with image:
        for at in (0, unit, 2 * unit):
            image.write(at, b"\xee" * unit)
        assert told(scene, log) == ["write img"]
        image.write(PAGE_UNITS * unit, b"\xee" * unit)
        assert told(scene, log) == ["write img", "sync img", "write x", "write img"]
        page = next(
            event for event in log if type(event) is WriteEvent and event.file == scene.identity(b"x")
        )
        assert (page.offset, page.data[:2]) == (2560, b"\x07\0")
        # The flush makes the page durable that went before, and the one that is left.
        image.flush()
        assert told(scene, log)[4:] == ["sync img", "write x", "sync x"]


def test_page_that_left_is_made_durable_by_a_flush_without_changed_pages(scene):
    unit = UNIT[Revision.V6]
    scene.create(2 * PAGE_UNITS * unit, revision=Revision.V6)
    image, log = scene.recorded(cache_size=PAGE)
    with image:
        image.write(0, b"\xee")
        image.read(PAGE_UNITS * unit, 1)
        assert told(scene, log) == ["write img", "sync img", "write x"]
        image.flush()
        assert told(scene, log)[3:] == ["sync img", "sync x"]


def test_first_flush_makes_bits_durable_that_a_killed_process_wrote(scene):
    """A page left the cache and was not synced. Who opens the image next reads what its bits show."""
    border = PAGE_UNITS * SECTOR
    scene.create(border + SECTOR, revision=Revision.V6)
    image, _ = scene.recorded(cache_size=PAGE)
    image.write(border - SECTOR, b"\xee" * 2 * SECTOR)
    for file in (image._disk.image_file, image._disk.file):
        file.close()
    image, log = scene.recorded()
    with image:
        assert image.read(border - SECTOR, 2 * SECTOR) == b"\xee" * SECTOR + bytes(SECTOR)
        image.flush()
        assert told(scene, log) == ["sync img", "sync x"]
        log.clear()
        image.flush()
        assert told(scene, log) == ["sync img"]


# -- two at once


def test_bit_set_after_the_barrier_waits_for_the_next_flush(scene, revision):
    """A write that ends while the flush is in its barrier: its data may not be covered, so its bit stays."""
    scene.create(GARBAGE, noise(SIZE), revision=revision)
    stop = Stop("sync", b"img")
    unit = UNIT[revision]
    with hooked(scene, stop) as image, Crew() as crew:
        image.write(0, b"\xee" * unit)
        crew.start(image.flush)
        assert stop.reached.wait(PATIENCE)
        image.write(unit, b"\xee" * unit)
        stop.let_go.set()
        crew.__exit__(None)
        assert scene.bits() == {0}
        image.flush()
        assert scene.bits() == {0, 1}


def test_flush_covers_pages_that_another_wrote_while_one_synced(scene):
    """One flush syncs while a page leaves the cache; the next flush has to sync that page."""
    unit = UNIT[Revision.V6]
    pages = [page * PAGE_UNITS * unit for page in range(3)]
    scene.create(3 * PAGE_UNITS * unit, revision=Revision.V6)
    calls = []
    in_flush, page_1 = Stop("sync", b"img"), Stop("write", b"x", 2560 + PAGE)
    armed = False

    def hook(*call):
        calls.append(call[:2])
        if armed:
            in_flush(*call)
            page_1(*call)

    with hooked(scene, hook, cache_size=PAGE) as image, Crew() as crew:
        image.write(pages[0], b"\xee")
        image.read(pages[1], 1)  # page 0 is written, and not synced
        armed = True
        first = crew.start(image.flush)
        assert in_flush.reached.wait(PATIENCE)
        image.write(pages[1], b"\xee")
        second = crew.start(image.read, pages[2], 1)  # page 1 leaves
        assert page_1.reached.wait(PATIENCE)
        in_flush.let_go.set()
        assert crew.ended(first, PATIENCE)
        page_1.let_go.set()
        assert crew.ended(second, PATIENCE)
        calls.clear()
        image.flush()
        assert ("sync", b"x") in calls


def test_page_that_is_written_while_bits_are_synced_is_synced_next_time(scene):
    unit = UNIT[Revision.V6]
    scene.create(3 * PAGE_UNITS * unit, revision=Revision.V6)
    stop, calls = Stop("sync", b"x"), []

    def hook(*call):
        calls.append(call[:2])
        stop(*call)

    with hooked(scene, hook, cache_size=PAGE) as image, Crew() as crew:
        image.write(0, b"\xee")
        flush = crew.start(image.flush)
        assert stop.reached.wait(PATIENCE)
        image.write(unit, b"\xee")
        image.read(PAGE_UNITS * unit, 1)  # the page leaves
        stop.let_go.set()
        assert crew.ended(flush, PATIENCE)
        calls.clear()
        image.flush()
        assert calls == [("sync", b"img"), ("sync", b"x")]


def test_flush_waits_for_one_that_makes_its_bits_durable(scene, revision):
    """Both were asked for the same write; neither may return before its bits are durable."""
    scene.create(GARBAGE, noise(SIZE), revision=revision)
    stop = Stop("sync", b"x")
    with hooked(scene, stop) as image, Crew() as crew:
        image.write(0, b"\xee")
        crew.start(image.flush)
        assert stop.reached.wait(PATIENCE)
        second = crew.start(image.flush)
        assert not crew.ended(second)
        stop.let_go.set()


# -- zeros over holes


def test_rest_of_a_unit_that_is_a_hole_is_not_written(scene):
    scene.create(3 * CLUSTER)
    image, log = scene.recorded()
    with image:
        image.write(CLUSTER + 5000, b"\xee")
        image.write_zeroes(9, CLUSTER - 20)
        assert [type(event) for event in log] == [WriteEvent]


def test_zeroes_that_keep_their_room_are_written_over_a_hole(scene):
    scene.create(3 * CLUSTER)
    image, log = scene.recorded()
    with image:
        image.write_zeroes(0, CLUSTER, unmap=False)
        assert log == [ZeroesEvent(scene.identity(b"img"), 0, CLUSTER, unmap=False)]


@pytest.mark.parametrize("place", [0, CLUSTER, 3 * CLUSTER - 1])
def test_zeroes_hide_what_lies_between_holes(scene, revision, place):
    """The image file has old bytes somewhere under the clear bits."""
    scene.create(4 * CLUSTER, revision=revision)
    with scene.open() as image:
        image._disk.image_file.write(place, b"\xdd")
        image.write_zeroes(0, 3 * CLUSTER)
        assert image.read(0, 4 * CLUSTER) == bytes(4 * CLUSTER)
