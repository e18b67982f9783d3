"""ACW-DYN-008 from outside: disks of a pebibyte, and requests over the border of two pages."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from random import Random

import pytest

from addcow_ref import create_image
from addcow_ref._bitmap import PAGE_BITS, PAGE_SIZE
from addcow_spec.errors import UsageError
from addcow_spec.model import Revision
from tests.ref.hooks import hooked
from tests.ref.scenes import CLUSTER, SECTOR, UNIT, Scene, noise

PIB = 1 << 50


def test_cache_smaller_than_a_page_is_refused(scene):
    scene.create(CLUSTER)
    with pytest.raises(UsageError):
        scene.open(cache_size=PAGE_SIZE - 1)


def places(random, size, number):
    """Offsets of sectors, some of them next to each other."""
    found = []
    for _ in range(number // 4):
        start = random.randrange(size // SECTOR - 8) * SECTOR
        found += [start, start + 3 * SECTOR, start + CLUSTER // 2, random.randrange(size // SECTOR) * SECTOR]
    return [place for place in found if place <= size - SECTOR]


@pytest.mark.parametrize("revision_", [Revision.V6, Revision.V10])
def test_pebibyte_in_memory(revision_):
    scene = Scene("memory", "/")
    scene.create(PIB, noise(5000), revision=revision_)
    random = Random(1)  # noqa: S311 - a sample
    written = {
        place: bytes([1 + number % 255]) * SECTOR for number, place in enumerate(places(random, PIB, 800))
    }
    calls = []
    with hooked(scene, lambda *call: calls.append(call[:2]), cache_size=8 * PAGE_SIZE) as image:
        for place, data in written.items():
            image.write(place, data)
            assert len(image._disk.bitmap.pages) <= 8
        assert image.read(0, 5000) == noise(5000)
        # The image file is synced for a batch of pages, not for each write.
        assert calls.count(("sync", b"img")) <= len(written) / 4
        assert image.allocated_units() == len({place // UNIT[revision_] for place in written})
    with scene.open(writable=False, cache_size=8 * PAGE_SIZE) as image:
        for place, data in written.items():
            assert image.read(place, SECTOR) == data


PROGRAM = """
import re, sys
from random import Random
from addcow_ref import open_image
from addcow_spec.model import Revision

path, size, seed = sys.argv[1].encode(), int(sys.argv[2]), int(sys.argv[3])
random = Random(seed)
places = [random.randrange(size // 512) * 512 for _ in range(2000)]
with open_image(path, writable=True, revision=Revision.V6) as image:
    for number, place in enumerate(places):
        image.write(place, bytes([1 + number % 255]) * 512)
with open_image(path, revision=Revision.V6) as image:
    expected = {place: 1 + number % 255 for number, place in enumerate(places)}
    assert all(image.read(place, 512) == bytes([value]) * 512 for place, value in expected.items())
    assert image.allocated_units() == len(expected)
# The peak of this program alone; getrusage has that of the one that started it, too.
print(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1])
"""


@pytest.fixture
def roomy(tmp_path):
    """A directory whose files can be as large as possible, and the largest size of a disk there.

    The file system of shared memory has files of exbibytes, ext4 has none beyond 16 TiB.
    """
    shared = "/dev/shm"  # noqa: S108 - no predictable name is made in it
    with tempfile.TemporaryDirectory(dir=shared if os.access(shared, os.W_OK) else tmp_path) as directory:
        probe = os.path.join(directory, "probe")
        for size in (PIB, 15 << 40, 1 << 40):
            try:
                with open(probe, "wb") as file:
                    file.truncate(size)
            except OSError:
                continue
            os.unlink(probe)
            yield directory, size
            return
        pytest.fail("no file of 1 TiB can be made")


def test_pebibyte_in_files_takes_little_memory(roomy):
    """Bitmap of 256 GiB, 2,000 random writes, and at most 64 MiB in memory."""
    directory, size = roomy
    scene = Scene("files", directory)
    scene.put(b"img", size)
    create_image(scene.path(), b"img", revision=Revision.V6)
    command = [sys.executable, "-c", PROGRAM, os.fsdecode(scene.path()), str(size), "5"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.stderr == ""
    assert int(ended.stdout) < 64 << 10


# -- requests over the end of a page


def full_page(scene, revision, **options):
    """An image of two pages; all bits of the first are set, the page is in the cache."""
    unit = UNIT[revision]
    scene.create((PAGE_BITS + 8) * unit, noise(SECTOR), revision=revision)
    image = scene.open(**options)
    image.write_zeroes(0, PAGE_BITS * unit)
    return image, PAGE_BITS * unit


def test_read_from_a_full_page_into_the_next(scene, revision):
    image, border = full_page(scene, revision)
    with image:
        image._disk.image_file.write(border, b"\xdd" * 9)  # below a clear bit
        assert image.read(border - 9, 18) == bytes(18)


def test_write_from_a_full_page_into_the_next(scene, revision):
    image, border = full_page(scene, revision)
    with image:
        image.write(border - 9, b"\xee" * 18)
        assert image.allocated_units() == PAGE_BITS + 1
        assert image.read(border - 10, 20) == b"\0" + b"\xee" * 18 + b"\0"
    with scene.open(writable=False) as image:
        assert image.read(border - 10, 20) == b"\0" + b"\xee" * 18 + b"\0"


def test_full_page_is_used_without_asking_for_runs(scene, revision):
    """Requests inside it go straight to the image file, and keep the page from leaving."""
    image, border = full_page(scene, revision)
    with image:
        page = image._disk.bitmap.pages[0]
        image._disk.bitmap._lock.acquire()  # nobody needs it
        for request in (lambda: image.read(border - 5, 5), lambda: image.write(border - 5, b"\xee" * 5)):
            page.used = False
            request()
            assert page.used
        image._disk.bitmap._lock.release()
