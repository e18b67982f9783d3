"""Chains of raw, qcow2 and add-cow files: what they read, how deep they go, and which are refused."""

from __future__ import annotations

import os
import threading
from contextlib import closing
from functools import lru_cache

import pytest

from addcow_ref import create_image, open_image
from addcow_ref.memory import MemoryFiles
from addcow_spec.errors import BackingChainError, UnsupportedImage
from addcow_spec.model import QCOW2_MAGIC, Revision
from addcow_spec.rules import Profile
from tests.conformance import by_hand
from tests.ref import qcow2_images
from tests.ref.qcow2_images import assert_covers
from tests.ref.qcow2_images import content as words
from tests.ref.scenes import CLUSTER

content = lru_cache(64)(words)
V10 = Revision.V10
SIZE = 2 * CLUSTER


def qcow2_over(name, kind=b"", size=SIZE):
    """A qcow2 file of 512-byte clusters whose every cluster comes from ``name``; ``kind`` is its format."""
    extensions = (qcow2_images.extension(0xE2792ACA, kind),) if kind else ()
    made = qcow2_images.image(extensions=extensions, size=size, l1_size=-(-size // 32768))
    at = 400
    return (
        bytearray(made[:8])
        + at.to_bytes(8, "big")
        + len(name).to_bytes(4, "big")
        + made[20:at]
        + name
        + made[at + len(name) :]
    )


def descriptors():
    return len(os.listdir("/proc/self/fd"))


def add_cow(memory, name, below, *, size=SIZE, revision=V10, write=None, **options):
    """An add-cow file over ``below`` with an image file of its own, and ``write`` = (offset, data) in it."""
    with closing(memory.create(b"img-" + name)) as image_file:
        image_file.truncate(size)
    target = memory.create(name)
    create_image(target, b"img-" + name, backing_file=below, revision=revision, **options)
    target.close()
    if write:
        with open_image(memory.open(name, writable=True), writable=True, revision=revision) as image:
            image.write(*write)
    return name


# -- mixed


def test_raw_qcow2_and_add_cow_of_every_revision_in_one_chain():
    """v10 over qcow2 over v6 over qcow2 over v4 over raw; each add-cow layer has one sector of its own."""
    memory = MemoryFiles({b"raw": content(CLUSTER + 700, 2)})
    add_cow(memory, b"a", b"raw", revision=Revision.V4, write=(0, b"4" * 512))
    put(memory, b"b", qcow2_over(b"a", b"add-cow"))
    add_cow(memory, b"c", b"b", revision=Revision.V6, write=(512, b"6" * 512))
    put(memory, b"d", qcow2_over(b"c"))
    add_cow(memory, b"e", b"d", write=(CLUSTER, b"a" * 512))
    want = bytearray(content(CLUSTER + 700, 2).ljust(SIZE, b"\0"))
    want[:1024] = b"4" * 512 + b"6" * 512
    want[CLUSTER : CLUSTER + 512] = b"a" * 512
    with open_image(memory.open(b"e")) as image:
        assert [(info.path, info.format, info.revision, info.size) for info in image.chain] == [
            (b"e", "add-cow", "v10", SIZE),
            (b"d", "qcow2", "v3", SIZE),
            (b"c", "add-cow", "v6", SIZE),
            (b"b", "qcow2", "v3", SIZE),
            (b"a", "add-cow", "v4", SIZE),
            (b"raw", "raw", "", CLUSTER + 700),
        ]
        assert [info.image_path for info in image.chain] == [b"img-e", None, b"img-c", None, b"img-a", None]
        assert image.read(0, SIZE) == want
        extents = list(image.extents())
    assert_covers(extents, SIZE)
    for extent in extents:
        part = want[extent.start : extent.start + extent.length]
        if extent.path is None:
            assert not any(part)
        else:
            assert memory.contents(extent.path)[extent.offset : extent.offset + extent.length] == part
    assert {(e.depth, e.path) for e in extents if e.data} == {
        (4, b"img-a"),
        (2, b"img-c"),
        (0, b"img-e"),
        (5, b"raw"),
    }


def put(memory, name, data):
    with closing(memory.create(name)) as file:
        file.write(0, data)


@pytest.mark.parametrize("sizes", [(1, 2, 3), (3, 2, 1), (2, 1, 3), (3, 1, 2), (1, 3, 2)])
def test_what_a_shorter_layer_hides_stays_hidden(sizes):
    """A layer ends where its disk ends, however long what is below it."""
    top, middle, bottom = (size * CLUSTER for size in sizes)
    memory = MemoryFiles({b"raw": content(bottom, 2)})
    add_cow(memory, b"y", b"raw", size=middle)
    add_cow(memory, b"x", b"y", size=top)
    with open_image(memory.open(b"x")) as image:
        visible = content(bottom, 2)[: min(middle, top)]
        assert image.read(0, top) == visible.ljust(top, b"\0")
        assert_covers(list(image.extents()), top)


# -- deep


@pytest.fixture(scope="module")
def tower():
    """Layers 1 to 201, of which 1 is raw; all data come from there."""
    made = {}
    for kinds in ("add-cow", "qcow2", "mixed"):
        memory = MemoryFiles({b"1": content(SIZE, 2)})
        for layer in range(2, 202):
            name, below = b"%d" % layer, b"%d" % (layer - 1)
            if kinds == "add-cow" or (kinds == "mixed" and layer % 2) or layer >= 200:
                with closing(memory.create(b"img-" + name)) as image_file:
                    image_file.truncate(SIZE)
                put_v10(memory, name, below)
            else:
                put(memory, name, qcow2_over(below))
        made[kinds] = memory
    return made


def put_v10(memory, name, below, *, no_probe=False, image=None):
    """A v10 file made by hand: no chain is opened to make it."""
    image = image or b"img-" + name
    names = image + below
    fields = (1, 36 + len(image), len(below), 36, len(image))
    header = b"ADD_COW\xff" + b"".join(value.to_bytes(4, "little") for value in fields)
    header += (1 + 2 * no_probe).to_bytes(8, "little") + names
    put(memory, name, header.ljust(4096, b"\0") + b"\0")


@pytest.mark.parametrize("kinds", ["add-cow", "qcow2", "mixed"])
def test_200_layers_can_be_used(tower, kinds):
    with open_image(tower[kinds].open(b"200", writable=True), writable=True) as image:
        assert len(image.chain) == 200
        assert image.read(0, SIZE) == content(SIZE, 2)
        extents = list(image.extents())
        assert {(e.depth, e.path) for e in extents} == {(199, b"1")}
        assert_covers(extents, SIZE)
        found = []
        thread = threading.Thread(target=lambda: found.append(image.read(5, 100)))
        thread.start()
        thread.join(30)
        assert found == [content(SIZE, 2)[5:105]]


def test_201_layers_are_refused(tower):
    for kinds in tower:
        with pytest.raises(BackingChainError) as refused:
            open_image(tower[kinds].open(b"201"))
        assert refused.value.rule == "ACW-CHN-004"


def test_200_layers_of_real_files(tmp_path):
    """400 descriptors are opened and closed; the top is written and streamed."""
    disk = content(SIZE, 2)
    (tmp_path / "1").write_bytes(disk)
    for layer in range(2, 201):
        by_hand.v10(
            tmp_path / f"{layer}", image=b"img-%d" % layer, backing=b"%d" % (layer - 1), features=1, size=SIZE
        )
        (tmp_path / f"img-{layer}").touch()
        os.truncate(tmp_path / f"img-{layer}", SIZE)
    before = descriptors()
    for _ in range(2):
        with open_image(tmp_path / "200", writable=True) as image:
            assert image.read(0, SIZE) == disk
            image.write(7, disk[7:12])
        assert descriptors() == before


# -- round and round


@pytest.mark.parametrize("profile", Profile)
@pytest.mark.parametrize(
    ("links", "rule"),
    [
        ({b"x": b"x"}, "ACW-CHN-001"),
        ({b"x": b"y", b"y": b"x"}, "ACW-CHN-002"),
        ({b"x": b"y", b"y": b"z", b"z": b"y"}, "ACW-CHN-002"),
        ({b"x": b"y", b"y": b"z", b"z": b"./x"}, "ACW-CHN-002"),
    ],
)
def test_cycles_are_refused(links, rule, profile):
    memory = MemoryFiles()
    for name, below in links.items():
        with closing(memory.create(b"img-" + name)) as image_file:
            image_file.truncate(SIZE)
        put_v10(memory, name, below)
    for writable in (False, True):
        with pytest.raises(BackingChainError) as refused:
            open_image(memory.open(b"x", writable=writable), writable=writable, profile=profile)
        assert refused.value.rule == rule


def test_qcow2_cycles_are_refused():
    memory = MemoryFiles()
    for name, below in ((b"y", b"z"), (b"z", b"y")):
        put(memory, name, qcow2_over(below))
    with closing(memory.create(b"img-x")) as image_file:
        image_file.truncate(SIZE)
    put_v10(memory, b"x", b"y")
    with pytest.raises(BackingChainError) as refused:
        open_image(memory.open(b"x"))
    assert refused.value.rule == "ACW-CHN-002"


def two_parts(files, how):
    """An image one file of which has two parts, under two names."""
    files.put(b"img", content(SIZE, 3))
    files.put(b"base", content(SIZE, 2))
    create_image(files.path(), b"img", backing_file=b"base", backing_format="raw")
    wanted = {"image as backing": (b"base", b"img"), "itself as image": (b"img", b"x")}
    name, target = wanted.get(how, (None, None))
    if name is None:
        files.put(b"img2", bytes(SIZE))
        create_image(files.path(b"y"), b"img2", backing_file=b"x")
        os.unlink(files.path(b"img2"))
        os.link(files.path(b"img"), files.path(b"img2"))
        return files.path(b"y")
    os.unlink(files.path(name))
    os.symlink(target, files.path(name)) if how == "image as backing" else os.link(
        files.path(target), files.path(name)
    )
    return files.path()


@pytest.mark.parametrize("how", ["image as backing", "itself as image", "one image file of two layers"])
def test_one_file_with_two_parts(files, how):
    path = two_parts(files, how)
    with pytest.raises(BackingChainError) as refused:
        open_image(path, lock=False)
    assert refused.value.rule == "ACW-CHN-001"
    with pytest.raises(BackingChainError) as refused:
        open_image(path, writable=True, profile=Profile.AS_WRITTEN)
    assert refused.value.rule == "ACW-CHN-001"
    if how == "image as backing":
        with open_image(path, profile=Profile.AS_WRITTEN, lock=False) as image:
            assert image.read(0, SIZE) == content(SIZE, 3)


# -- formats


def test_no_probe_takes_what_looks_like_qcow2_for_raw(scene):
    disk = qcow2_images.mixed().ljust(CLUSTER, b"\0")
    scene.create(CLUSTER, disk, backing_format="raw")
    with scene.open() as image:
        assert image.notes == ()
        assert image.chain[1].format == "raw"
        assert image.read(0, CLUSTER) == disk[:CLUSTER]


def test_no_probe_of_what_looks_like_add_cow_or_of_itself_names_no_chain(scene):
    other = b"ADD_COW\xff" + bytes(5000)
    scene.create(CLUSTER, other, backing_format="raw")
    with scene.open() as image:
        assert image.read(0, len(other)) == other


def test_probing_is_a_note(scene):
    disk = qcow2_images.mixed()
    scene.create(qcow2_images.DISK, disk, backing_format=None)
    guest = qcow2_images.read(qcow2_images.opened(disk), 0, qcow2_images.DISK)
    for writable in (False, True):
        with scene.open(writable=writable) as image:
            assert [note.rule for note in image.notes] == ["ACW-CHN-003"]
            assert image.chain[1].format == "qcow2"
            assert image.read(0, qcow2_images.DISK) == guest


@pytest.mark.parametrize(
    ("offset", "magic", "noted"),
    [
        (0, b"", False),
        (0, b"QFI", False),
        (0, b"KDMV", True),
        (0, b"vhdxfile", True),
        (0, b"conectix", True),
        (64, b"\x7f\x10\xda\xbe", True),
        (65, b"\x7f\x10\xda\xbe", False),
        (1, QCOW2_MAGIC, False),
    ],
)
def test_what_is_not_read_here_is_raw_and_told(scene, offset, magic, noted):
    disk = (bytes(offset) + magic).ljust(CLUSTER, b"\0")
    scene.create(CLUSTER, disk, backing_format=None)
    with scene.open() as image:
        assert [note.rule for note in image.notes] == ["ACW-CHN-003"] * noted
        assert image.read(0, CLUSTER) == disk


@pytest.mark.parametrize("length", [0, 1, 3])
def test_shortest_backing_files_are_probed(scene, length):
    scene.create(CLUSTER, b"QFI"[:length], backing_format=None)
    with scene.open() as image:
        assert image.read(0, 4) == b"QFI"[:length].ljust(4, b"\0")


def test_stated_format_of_qcow2_is_taken():
    disk = qcow2_images.mixed().ljust(SIZE, b"\0")
    memory = MemoryFiles({b"raw": disk})
    put(memory, b"y", qcow2_over(b"raw", b"raw"))
    put(memory, b"z", qcow2_over(b"raw"))
    put(memory, b"w", qcow2_over(b"raw", b"vmdk"))
    for name, want in ((b"y", disk), (b"z", None)):
        with closing(memory.create(b"img-x")) as image_file:
            image_file.truncate(SIZE)
        put_v10(memory, b"x", name)
        with open_image(memory.open(b"x")) as image:
            assert (image.read(0, SIZE) == want) is (want is not None)
    put_v10(memory, b"x", b"w")
    with pytest.raises(UnsupportedImage) as refused:
        open_image(memory.open(b"x"))
    assert refused.value.rule == "ACW-ENV-002"
