"""resize, stream, finalize."""

import os
import signal
import time

import pytest

from addcow_ref import open_image
from tests.ref.cli.command import HANG, done, failed, img, process, qemu
from tests.ref.scenes import noise

pytestmark = pytest.mark.usefixtures("home")


def size_of(name):
    with open_image(name) as image:
        return image.size


@pytest.mark.parametrize(
    ("arguments", "size"),
    [
        (["1M"], 1 << 20),
        (["+1M"], 688128 + (1 << 20)),
        (["+0"], 688128),
        (["+7"], 688135),
        (["--shrink", "-1k"], 687104),
        (["--shrink", "--", "-1k"], 687104),
        (["--shrink", "64k"], 65536),
    ],
)
def test_resize(disk, arguments, size):
    *options, last = arguments
    separator = options.pop() if options[-1:] == ["--"] else None
    assert done("resize", *options, disk, *filter(None, [separator]), last) == "Image resized.\n"
    assert size_of(disk) == os.path.getsize("disk.raw") == size


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["0"], 1),
        (["--shrink", "0"], 1),
        (["64k"], 1),
        (["-1"], 1),
        (["--shrink", "-1M"], 1),
        (["+8388607T"], 1),
        (["many"], 64),
        (["+-1"], 64),
        (["+"], 64),
        ([], 64),
        (["--preallocate", "1M"], 64),
    ],
)
def test_resize_refuses(disk, arguments, status):
    *options, last = arguments or [None]
    failed("resize", *options, disk, *filter(None, [last]), status=status)
    assert size_of(disk) == 688128


def test_resize_by_the_rule_of_the_revision(home):
    done("create", "-q", "-o", "image_file=i,revision=v4", "x", "1M")
    assert "ACW-SIZ-007" in failed("resize", "--revision", "v4", "x", "+7")
    assert done("resize", "-q", "--revision", "v4", "x", "+512") == ""
    assert (home / "i").stat().st_size == (1 << 20) + 512


@pytest.mark.system
@pytest.mark.parametrize("arguments", [["1M"], ["+1M"], ["--shrink", "-1k"], ["64k"], ["0"], ["+0"]])
def test_resize_succeeds_where_qemu_img_does(disk, arguments):
    qemu("qemu-img", "create", "-q", "-f", "qcow2", "twin", "672k")
    *options, last = arguments
    theirs = qemu("qemu-img", "resize", *options, "twin", last)
    ours = img("resize", *options, disk, last)
    assert (ours.status, ours.output) == (theirs.status, theirs.output)


def test_stream_and_finalize(disk, home):
    assert "ACW-BMP-004" in failed("finalize", "--remove", disk)
    assert "11" in done("stream", disk)
    (home / "base.raw").rename("gone")
    assert failed("finalize", disk).startswith(f"addcow-img: {disk}: ACW-ENV-002")
    (home / "gone").rename("base.raw")
    assert done("finalize", disk).splitlines()[0].startswith("disk.raw alone")
    assert (home / disk).exists()
    done("finalize", "--remove", disk)
    assert not (home / disk).exists()
    assert (home / "disk.raw").read_bytes() == noise(4 * 65536).ljust(688128, b"\0")
    assert (home / "base.raw").read_bytes() == noise(4 * 65536)


def test_quiet(disk):
    assert done("stream", "-q", disk) == done("finalize", "-q", disk) == ""


def test_stream_wants_a_rate_that_ends(disk):
    failed("stream", "--limit", "0", disk, status=64)
    failed("stream", "--limit", "fast", disk, status=64)


@pytest.mark.parametrize("command", ["stream", "resize"])
def test_an_image_in_use_is_refused(disk, command):
    with open_image(disk):
        size = ["1M"] if command == "resize" else []
        assert failed(command, disk, *size).startswith(f"addcow-img: {disk}: ACW-DYN-014: ")


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_stream_goes_on_later(home, number, status):
    (home / "base").write_bytes(noise(64 << 16))
    done("create", "-q", "-b", "base", "-o", "image_file=i.raw", "x")
    running = process("stream", "--limit", "2M", "x")
    deadline = time.monotonic() + HANG
    while not (home / "i.raw").stat().st_blocks and time.monotonic() < deadline:
        time.sleep(0.01)
    running.send_signal(number)
    output, errors = running.communicate(timeout=HANG)
    assert (running.returncode, output, errors.count("\n")) == (status, "", 1)
    assert errors.startswith("addcow-img: x: stopped, ")
    with open_image("x") as image:
        assert 0 < image.allocated_units() < image.units
    done("stream", "x")
    done("finalize", "x")
    assert (home / "i.raw").read_bytes() == noise(64 << 16)
