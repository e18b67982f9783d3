"""Where the bytes of a disk come from, as the bits and the files say, and as QEMU says."""

from __future__ import annotations

import json
import os
import subprocess
from contextlib import closing
from functools import lru_cache
from itertools import pairwise

import pytest

from addcow_ref import FileStorage, create_image, open_image
from addcow_ref.testing import FaultPlan, FaultyStorage
from addcow_spec.errors import UsageError
from addcow_spec.geometry import Geometry
from addcow_spec.model import Revision
from tests.ref import qcow2_images
from tests.ref.qcow2_images import assert_covers
from tests.ref.qcow2_images import content as words
from tests.ref.scenes import CLUSTER, SECTOR, UNIT, Scene

content = lru_cache(64)(words)


def sparse(scene, name, size, places):
    """Give a file data at some places and holes between."""
    scene.put(name, b"")
    storage = (
        scene.memory.open(name, writable=True)
        if scene.kind == "memory"
        else FileStorage.open_path(scene.path(name), writable=True)
    )
    with closing(storage) as file:
        file.truncate(size)
        for at, length in places:
            file.write(at, content(length, 5))


def tell(extents):
    return [(e.start, e.length, e.depth, e.present, e.zero, e.data, e.offset, e.path) for e in extents]


@pytest.fixture
def layered(scene):
    """Eight clusters: written 1 and 2 (data), 5 (a hole); base has data in 0-2 and 4, and ends in 6."""
    scene.create(0, b"")
    sparse(scene, b"img", 8 * CLUSTER, [])
    sparse(scene, b"base", 6 * CLUSTER + 4096, [(0, 3 * CLUSTER), (4 * CLUSTER, CLUSTER)])
    scene.create_again()
    with scene.open() as image:
        image.write(CLUSTER, b"a" * 2 * CLUSTER)
        image.write_zeroes(5 * CLUSTER, CLUSTER)
    return scene


@pytest.fixture(autouse=True)
def again(monkeypatch):
    """`Scene.create` over files that are there."""

    def create_again(scene, revision=Revision.V10, backing_format="raw"):
        scene.revision = revision
        target = scene.memory.create(b"x") if scene.kind == "memory" else scene.path()
        options = {"backing_format": backing_format} if revision is Revision.V10 else {}
        create_image(target, b"img", backing_file=b"base", revision=revision, overwrite=True, **options)
        if scene.kind == "memory":
            target.close()

    monkeypatch.setattr(Scene, "create_again", create_again, raising=False)


def test_each_run_of_bits_is_told_by_its_own_file(layered):
    with layered.open(writable=False) as image:
        img, base = image.image_path, image.chain[1].path
        found = tell(image.extents())
    c = CLUSTER
    assert found == [
        (0, c, 1, True, False, True, 0, base),
        (c, 2 * c, 0, True, False, True, c, img),
        (3 * c, c, 1, True, True, False, 3 * c, base),
        (4 * c, c, 1, True, False, True, 4 * c, base),
        (5 * c, c, 0, True, True, False, 5 * c, img),
        (6 * c, 4096, 1, True, True, False, 6 * c, base),
        (6 * c + 4096, 2 * c - 4096, 0, False, True, False, None, None),
    ]


@pytest.mark.parametrize(
    ("offset", "length"), [(0, 0), (8 * CLUSTER, 0), (3, 1), (CLUSTER - 1, 2), (70000, 330000)]
)
def test_a_range_is_cut_out_of_the_whole(layered, offset, length):
    with layered.open(writable=False) as image:
        want = []
        for extent in image.extents():
            start = max(extent.start, offset)
            end = min(extent.start + extent.length, offset + length)
            if start < end:
                at = None if extent.offset is None else extent.offset + start - extent.start
                want.append(extent._replace(start=start, length=end - start, offset=at))
        assert list(image.extents(offset, length)) == want
        assert list(image.extents(offset))[:1] == list(image.extents(offset, image.size - offset))[:1]


def test_range_is_judged_before_the_first_extent(layered):
    with layered.open(writable=False) as image:
        for offset, length in ((0, 8 * CLUSTER + 1), (8 * CLUSTER + 1, None), (-1, None), (-1, 1)):
            with pytest.raises(UsageError) as refused:
                image.extents(offset, length)
            assert refused.value.rule == "ACW-DYN-007"


@pytest.mark.parametrize("written", [(), (0,), (0, 1, 2), (1, 3, 5, 7), (8,), tuple(range(9))])
@pytest.mark.parametrize("base", [None, 0, 5 * CLUSTER + 5, 20 * CLUSTER])
def test_depth_0_is_where_the_bits_are(scene, revision, written, base):
    size = 9 * UNIT[revision]
    below = None if base is None else content(base, 2)
    scene.create(content(size, 3), below, revision=revision)
    with scene.open() as image:
        for unit in written:
            image.write(unit * UNIT[revision], b"a")
        extents = list(image.extents())
        assert_covers(extents, size)
        disk = image.read(0, size)
    seen = set()
    for extent in extents:
        first, last = extent.start // UNIT[revision], (extent.start + extent.length - 1) // UNIT[revision]
        if extent.path is not None:
            held = scene.get(os.path.basename(extent.path))
            part = held[extent.offset : extent.offset + extent.length]
            assert part == disk[extent.start : extent.start + extent.length]
        else:
            assert not any(disk[extent.start : extent.start + extent.length])
        if extent.depth == 0 and extent.present:
            seen |= set(range(first, last + 1))
    assert seen == set(written)
    for one, other in pairwise(extents):
        assert one[2:6] != other[2:6] or one.path != other.path


def test_neighbours_over_pages_of_the_bitmap_are_one(tmp_path):
    scene = Scene("memory", tmp_path)
    scene.create(0, revision=Revision.V4)
    with scene.open(cache_size=4096) as image:
        image.resize(3 * 32768 * 512)
        assert len(list(image.extents())) == 1
        image.write_zeroes(0, image.size)
        found = list(image.extents())
        assert [(e.start, e.length, e.present) for e in found] == [(0, image.size, True)]


def test_qcow2_below(scene):
    disk = qcow2_images.mixed()
    scene.create(qcow2_images.DISK + CLUSTER, disk, backing_format=None)
    layer = qcow2_images.opened(disk)
    want = [e._replace(depth=e.depth + 1) for e in layer.extents(0, qcow2_images.DISK)]
    with scene.open(writable=False) as image:
        found = list(image.extents())
        path = image.chain[1].path
    assert [e._replace(path=None) for e in found[:-1]] == [e._replace(path=None) for e in want]
    assert {e.path for e in found} == {None, path}
    assert found[-1].start == qcow2_images.DISK
    assert not found[-1].present


def test_depth_counts_layers(scene):
    """x over y over z over base; each has one cluster of its own."""
    names = (b"z", b"y", b"x")
    scene.put(b"base", content(4 * CLUSTER, 9))
    below = b"base"
    for number, name in enumerate(names):
        scene.put(b"img" + name, bytes(4 * CLUSTER))
        target = scene.memory.create(name) if scene.kind == "memory" else scene.path(name)
        create_image(target, b"img" + name, backing_file=below)
        if scene.kind == "memory":
            target.close()
        opened = scene.memory.open(name, writable=True) if scene.kind == "memory" else scene.path(name)
        with open_image(opened, writable=True) as image:
            image.write(number * CLUSTER, b"a")
        below = name
    with scene.open(writable=False) as image:
        found = list(image.extents())
        assert [(e.start, e.depth, os.path.basename(e.path)) for e in found] == [
            (0, 2, b"imgz"),
            (CLUSTER, 1, b"imgy"),
            (2 * CLUSTER, 0, b"imgx"),
            (3 * CLUSTER, 3, b"base"),
        ]
        assert [info.format for info in image.chain] == ["add-cow"] * 3 + ["raw"]


def test_calls_are_bounded_on_a_huge_sparse_disk(tmp_path):
    scene = Scene("memory", tmp_path)
    size = 1 << 50
    scene.create(0, b"")
    for name in (b"img", b"base"):
        sparse(scene, name, size, [(1 << 45, CLUSTER)])
    with closing(scene.memory.open(b"x", writable=True)) as file:
        file.truncate(Geometry(Revision.V10, size).bitmap_end)
    with scene.open() as image:
        image.write(1 << 49, b"a")
    plan = FaultPlan()
    with open_image(FaultyStorage(scene.storage(writable=False), plan)) as image:
        plan.calls.clear()
        found = list(image.extents())
        assert_covers(found, size)
        assert [e.start for e in found if e.data] == [1 << 45, 1 << 49]
        assert image.allocated_units() == 1
        assert sum(plan.calls.values()) < 200


@pytest.mark.system
def test_as_qemu_maps_raw_files(files):
    """All bits set: the map of the image file itself. All clear: that of the base, one layer down."""
    for name in (b"img", b"base"):
        sparse(files, name, 8 * CLUSTER, [(CLUSTER, 3 * CLUSTER), (6 * CLUSTER, 8192)])
    files.create_again()
    qemu = {}
    for name in (b"img", b"base"):
        command = ["qemu-img", "map", "-f", "raw", "--output=json", os.fsdecode(files.path(name))]
        out = subprocess.run(command, check=True, capture_output=True).stdout
        qemu[name] = [(e["start"], e["length"], e["zero"], e["data"], e["offset"]) for e in json.loads(out)]

    def mapped(depth):
        with files.open(writable=False) as image:
            found = list(image.extents())
        assert {e.depth for e in found} == {depth}
        return [(e.start, e.length, e.zero, e.data, e.offset) for e in found]

    assert mapped(1) == qemu[b"base"]
    with open(files.path(), "r+b") as file:
        file.seek(4096)
        file.write(b"\xff")
    assert mapped(0) == qemu[b"img"]


def test_a_disk_that_shrinks_meanwhile_ends_the_extents(scene):
    scene.create(4000 * SECTOR, revision=Revision.V6)
    with scene.open() as image:
        for unit in range(0, 4000, 2):
            image.write(unit * SECTOR, b"\xee" * SECTOR)
        extents = image.extents()
        first = next(extents)
        image.resize(2000 * SECTOR)
        found = [first, *extents]
    assert sum(extent.length for extent in found) == 2000 * SECTOR
