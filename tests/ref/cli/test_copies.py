"""convert and compare."""

import os
import stat

import pytest

from addcow_ref import open_image
from tests.ref.cli.command import done, failed, img, qemu
from tests.ref.scenes import noise

pytestmark = pytest.mark.usefixtures("home")


@pytest.fixture
def written(disk):
    done("io", "-c", "write -q -P 7 100k 100k", "-c", "write -q 600k 1", disk)
    return disk


def contents(name):
    with open_image(name) as image:
        return image.read(0, image.size)


def test_convert_copies_the_disk(written, home):
    assert done("convert", written, "copy") == ""
    assert (home / "copy").read_bytes() == contents(written)
    assert done("compare", written, "copy") == "Images are identical.\n"
    assert sorted(os.listdir()) == ["base.raw", "copy", "disk.add-cow", "disk.raw"]


def test_zeros_become_holes(home):
    (home / "base").write_bytes(bytes(1 << 20) + b"x" + bytes((1 << 20) - 1))
    done("create", "-q", "-b", "base", "-o", "image_file=i.raw", "x", "1G")
    done("convert", "x", "copy")
    assert (home / "copy").stat().st_size == 1 << 30
    assert (home / "copy").stat().st_blocks * 512 <= 64 << 10


def test_an_empty_disk(home):
    (home / "i.raw").touch()
    done("create", "-q", "-o", "image_file=i.raw", "x")
    done("convert", "x", "copy")
    assert (home / "copy").stat().st_size == 0
    assert done("compare", "x", "copy") == "Images are identical.\n"
    assert done("map", "--output", "json", "x") == "[]\n"


def test_convert_replaces_a_file_whole_and_keeps_its_mode(written, home):
    (home / "copy").write_bytes(b"old" * 1000000)
    (home / "copy").chmod(0o640)
    os.symlink("copy", "link")
    done("convert", written, "link")
    assert (home / "link").is_symlink()
    assert (home / "copy").read_bytes() == contents(written)
    assert stat.S_IMODE((home / "copy").stat().st_mode) == 0o640


@pytest.mark.parametrize("victim", ["disk.add-cow", "disk.raw", "base.raw", "link", "hard"])
def test_convert_never_replaces_what_it_reads(written, home, victim):
    os.symlink("base.raw", "link")
    os.link("disk.raw", "hard")
    before = {name: (home / name).read_bytes() for name in os.listdir()}
    assert failed("convert", written, victim).startswith(f"addcow-img: {victim}: ")
    assert {name: (home / name).read_bytes() for name in os.listdir()} == before


@pytest.mark.parametrize("target", [".", "no/such", "/dev/null", "fifo"])
def test_convert_wants_a_regular_file(written, target):
    os.mkfifo("fifo")
    failed("convert", written, target)
    assert sorted(os.listdir()) == ["base.raw", "disk.add-cow", "disk.raw", "fifo"]


def test_convert_leaves_a_file_alone_that_is_in_use(written, home):
    (home / "i.raw").write_bytes(bytes(512))
    done("create", "-q", "-o", "image_file=i.raw", "other")
    with open_image("other"):
        assert "ACW-DYN-014" in failed("convert", written, "i.raw")
    done("convert", written, "i.raw")


@pytest.mark.system
def test_a_failed_convert_leaves_the_old_file(home):
    (home / "base").write_bytes(b"b" * 65536)
    assert qemu("qemu-img", "create", "-q", "-f", "qcow2", "-b", "base", "-F", "raw", "q").status == 0
    assert qemu("qemu-io", "-c", "write 0 64k", "q").status == 0
    os.truncate("q", 4 * 65536)
    (home / "copy").write_bytes(b"old")
    assert "ACW-QC2-017" in failed("convert", "-f", "qcow2", "q", "copy")
    assert (home / "copy").read_bytes() == b"old"
    assert sorted(os.listdir()) == ["base", "copy", "q"]


def test_formats_are_taken_as_stated(home):
    (home / "x").write_bytes(b"QFI\xfb" + bytes(508))
    failed("convert", "x", "copy")
    done("convert", "-f", "raw", "-O", "raw", "x", "copy")
    assert done("compare", "-f", "raw", "-F", "raw", "x", "copy") == "Images are identical.\n"
    failed("convert", "-O", "qcow2", "x", "copy", status=64)


def sparse(name, size, *data):
    with open(name, "wb") as file:
        file.truncate(size)
        for offset, piece in data:
            file.seek(offset)
            file.write(piece)


PAIRS = {
    "same": ((65536, (100, b"x")), (65536, (100, b"x"))),
    "differ": ((65536, (100, b"x")), (65536, (100, b"y"))),
    "differ later": ((3 << 20, (2500000, b"x")), (3 << 20, (2500001, b"x"))),
    "data and hole": ((131072, (70000, b"x")), (131072,)),
    "hole and data": ((131072,), (131072, (70000, b"x"))),
    "zeros and hole": ((131072, (0, bytes(65536))), (131072,)),
    "shorter": ((65536, (0, b"x")), (131072, (0, b"x"))),
    "longer, not zeros": ((131072, (70000, b"x")), (65536,)),
    "shorter, not zeros": ((65536,), (3 << 20, (2500000, b"x"))),
    "both": ((65536, (1000, b"x")), (131072, (70000, b"x"))),
}


@pytest.mark.system
@pytest.mark.parametrize("options", [[], ["-s"], ["-q"], ["-sq"]], ids=" ".join)
@pytest.mark.parametrize("pair", PAIRS)
def test_compare_says_what_qemu_img_says(pair, options):
    for name, made in zip("ab", PAIRS[pair], strict=True):
        sparse(name, *made)
    ours = img("compare", "-f", "raw", "-F", "raw", *options, "a", "b")
    theirs = qemu("qemu-img", "compare", "-f", "raw", "-F", "raw", *options, "a", "b")
    if pair in {"data and hole", "hole and data"} and options == ["-s"]:
        # There qemu-img tells an offset before the one where they differ: a hole that reaches the end of the
        # file has a status of its own.
        assert ours.output == "Strict mode: Offset 69632 block status mismatch!\n"
        ours = ours._replace(output=theirs.output)
    assert ours == theirs


@pytest.mark.parametrize(("byte", "status"), [(7, 0), (8, 1)])
def test_compare_of_an_image_and_its_copy(written, byte, status):
    done("convert", written, "copy")
    with open("copy", "r+b") as file:
        file.seek(150000)
        file.write(bytes([byte]))
    assert img("compare", written, "copy").status == img("compare", "copy", written).status == status


def test_compare_that_cannot_be_done_is_no_verdict(written):
    failed("compare", written, "nosuch", status=2)
    failed("compare", "nosuch", written, status=2)
    failed("compare", written, status=64)
    with open_image(written, writable=True):
        failed("compare", written, "disk.raw", status=2)
        assert img("compare", "-U", written, "disk.raw").status == 1


@pytest.mark.system
def test_compare_tells_a_failure_to_read(home):
    (home / "base").write_bytes(b"b" * 65536)
    assert qemu("qemu-img", "create", "-q", "-f", "qcow2", "-b", "base", "-F", "raw", "q").status == 0
    assert qemu("qemu-io", "-c", "write 0 64k", "q").status == 0
    os.truncate("q", 4 * 65536)
    assert "ACW-QC2-017" in failed("compare", "-f", "qcow2", "q", "base", status=4)


@pytest.mark.system
def test_a_copy_is_that_of_qemu_img(home):
    (home / "base").write_bytes(noise(300000))
    assert qemu("qemu-img", "create", "-q", "-f", "qcow2", "-b", "base", "-F", "raw", "q", "1M").status == 0
    assert qemu("qemu-io", "-c", "write 100k 100k", "-c", "write -z 250k 64k", "q").status == 0
    done("convert", "-f", "qcow2", "q", "ours")
    assert qemu("qemu-img", "convert", "-O", "raw", "q", "theirs").status == 0
    assert (home / "ours").read_bytes() == (home / "theirs").read_bytes()
    assert (home / "ours").stat().st_blocks <= (home / "theirs").stat().st_blocks
