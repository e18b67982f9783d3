"""The files of a chain: how they are locked, opened, named and confined."""

from __future__ import annotations

import os
import threading
from functools import lru_cache

import pytest

from addcow_ref import create_image, open_image
from addcow_spec.errors import AddCowError, BackingChainError, ImageInUse, UnsupportedImage
from tests.conformance import by_hand
from tests.ref.qcow2_images import content as words
from tests.ref.scenes import CLUSTER

content = lru_cache(64)(words)
SIZE = 2 * CLUSTER


def descriptors():
    return len(os.listdir("/proc/self/fd"))


# -- locks


def test_lower_layers_are_never_locked_exclusively(files):
    """Two writers share base and y; a writer of y is kept out by them, and they by it."""
    files.put(b"base", content(SIZE, 2))
    for name, below in ((b"y", b"base"), (b"x", b"y"), (b"z", b"y")):
        files.put(b"img" + name, bytes(SIZE))
        create_image(files.path(name), b"img" + name, backing_file=below)
    with (
        open_image(files.path(b"x"), writable=True) as first,
        open_image(files.path(b"z"), writable=True) as other,
    ):
        first.write(0, b"a")
        assert other.read(0, 1) == content(SIZE, 2)[:1]
        with open_image(files.path(b"y")) as reader:
            assert reader.read(0, 8) == content(SIZE, 2)[:8]
        with pytest.raises(ImageInUse) as refused:
            open_image(files.path(b"y"), writable=True)
        assert refused.value.path == files.path(b"y")
    with open_image(files.path(b"y"), writable=True), pytest.raises(ImageInUse) as refused:
        open_image(files.path(b"x"))
    assert refused.value.path == files.path(b"y")


def test_lower_layers_are_opened_for_reading(files):
    files.put(b"base", content(SIZE, 2))
    for name, below in ((b"y", b"base"), (b"x", b"y")):
        files.put(b"img" + name, bytes(SIZE))
        create_image(files.path(name), b"img" + name, backing_file=below)
    with open_image(files.path(b"x"), writable=True) as image:
        flags = {}
        for number in os.listdir("/proc/self/fd"):
            try:
                path = os.fsencode(os.readlink(f"/proc/self/fd/{number}"))
                with open(f"/proc/self/fdinfo/{number}") as info:
                    flags[path] = int(info.read().split("flags:")[1].split()[0], 8) & os.O_ACCMODE
            except OSError:
                continue  # the listing's own
        image.write(0, b"a")
    for name, want in ((b"x", os.O_RDWR), (b"imgx", os.O_RDWR), (b"y", 0), (b"imgy", 0), (b"base", 0)):
        assert flags[files.path(name)] == want


# -- names


def test_relative_names_start_at_the_file_that_has_them(files, monkeypatch):
    """From any working directory, which may change while the image is open, and through links."""
    os.makedirs(files.path(b"a/b"))
    files.put(b"base", content(SIZE, 2))
    files.put(b"a/img", bytes(SIZE))
    files.put(b"a/b/img", bytes(SIZE))
    create_image(files.path(b"a/y"), b"img", backing_file=b"../base")
    create_image(files.path(b"a/b/x"), b"img", backing_file=b"../y")
    os.symlink(b"a/b", files.path(b"link"))
    os.symlink(b"a/b/x", files.path(b"straight"))
    for cwd, path in (
        (b"a/b", b"x"),
        (b".", b"a/b/x"),
        (b"a", b"b/../b/x"),
        (b".", b"link/x"),
        (b"link", b"x"),
    ):
        monkeypatch.chdir(os.fsdecode(files.path(cwd)))
        with open_image(path) as image:
            os.chdir("/")
            assert image.read(0, SIZE) == content(SIZE, 2)
            assert len(image.chain) == 3
    with pytest.raises(BackingChainError) as refused:
        open_image(files.path(b"straight"))
    assert refused.value.rule == "ACW-ENV-001"


@pytest.mark.parametrize("role", ["image", "backing"])
@pytest.mark.parametrize("name", [b"nbd:host", b"json:{}", b"http://host/x"])
def test_protocol_names_are_refused(tmp_path, role, name):
    path = by_hand.v10(tmp_path / "x", **{role: name}, features=role == "backing")
    with pytest.raises(UnsupportedImage) as refused:
        open_image(path)
    assert refused.value.rule == "ACW-NAM-011"


@pytest.mark.parametrize("role", ["image", "backing"])
def test_devices_fifos_and_directories_are_refused(tmp_path, role):
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "directory").mkdir()
    devices = [
        name for name in ("/dev/loop0", "/dev/vda", "/dev/sda", "/dev/nvme0n1") if os.path.exists(name)
    ]
    for name in ("/dev/zero", "/dev/full", "fifo", "directory", *devices):
        path = by_hand.v10(tmp_path / "x", **{role: os.fsencode(name)}, features=role == "backing")
        with pytest.raises(BackingChainError) as refused:
            open_image(path)
        assert refused.value.rule == "ACW-ENV-003"


@pytest.mark.parametrize("role", ["image", "backing"])
@pytest.mark.parametrize("name", [b"./", b".", b"d/", b"link/", b"d//"])
def test_directory_within_is_refused_as_one_where_names_are_confined(tmp_path, role, name):
    (tmp_path / "d").mkdir()
    inner = tmp_path / "d" / "inner"
    (inner / "d").mkdir(parents=True)
    os.symlink("d", inner / "link")
    path = by_hand.v10(inner / "x", **{role: name}, features=role == "backing")
    with pytest.raises(BackingChainError) as refused:
        open_image(path, confine=bytes(tmp_path / "d"))
    assert refused.value.rule == "ACW-ENV-003"


def test_confined_chain_with_links_that_change(files):
    """A thread lets a link lead in and out; what is opened is always inside."""
    os.mkdir(files.path(b"in"))
    files.put(b"out", b"secret".ljust(SIZE, b"!"))
    files.put(b"in/base", content(SIZE, 2))
    files.put(b"in/img", bytes(SIZE))
    os.symlink(b"base", files.path(b"in/link"))
    create_image(files.path(b"in/x"), b"img", backing_file=b"link", backing_format="raw")
    stop = threading.Event()

    def flip():
        turn = 0
        while not stop.is_set():
            turn += 1
            os.symlink(b"base" if turn % 2 else b"../out", files.path(b"in/new"))
            os.rename(files.path(b"in/new"), files.path(b"in/link"))

    thread = threading.Thread(target=flip)
    thread.start()
    outcomes = {"in": 0, "ACW-ENV-004": 0}
    try:
        for _ in range(4000):
            try:
                with open_image(files.path(b"in/x"), confine=files.path(b"in")) as image:
                    assert image.read(0, 64) == content(SIZE, 2)[:64]
                    outcomes["in"] += 1
            except BackingChainError as refused:
                outcomes[refused.rule] += 1
            if min(outcomes.values()) >= 40:
                break
    finally:
        stop.set()
        thread.join(30)
    assert min(outcomes.values()) >= 1


def test_refused_chain_leaves_no_descriptor_and_no_lock(files):
    files.put(b"base", content(SIZE, 2))
    files.put(b"img", bytes(SIZE))
    create_image(files.path(), b"img", backing_file=b"base", backing_format="raw")
    files.put(b"imgy", bytes(SIZE))
    create_image(files.path(b"y"), b"imgy", backing_file=b"x")
    before = descriptors()
    breaks = {
        b"base": lambda: os.unlink(files.path(b"base")),
        b"img": lambda: os.truncate(files.path(b"img"), 1 << 40),
        b"x": lambda: os.truncate(files.path(b"x"), 4000),
    }
    for name, break_it in breaks.items():
        kept = files.get(name)
        break_it()
        for writable in (False, True):
            with pytest.raises(AddCowError):
                open_image(files.path(b"y"), writable=writable)
            assert descriptors() == before
        files.put(name, kept)
        with open_image(files.path(b"y"), writable=True) as image:
            assert image.read(0, SIZE) == content(SIZE, 2)
        with open_image(files.path(b"x"), writable=True):
            pass
    assert descriptors() == before
