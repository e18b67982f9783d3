import os

import pytest

from addcow_conformance.checker import CheckOptions, check_image
from addcow_ref import create_image, open_image
from addcow_spec.errors import StorageError
from tests.ref.cli.command import done, failed, img, qemu

pytestmark = pytest.mark.usefixtures("home")


def create(*arguments):
    return done("create", *arguments)


@pytest.fixture
def base(home):
    (home / "base.raw").write_bytes(b"base" * 32768)
    return home / "base.raw"


@pytest.mark.parametrize("how", ["-o", "--revision"])
@pytest.mark.usefixtures("base")
def test_every_revision(how, revision):
    option = ("-o", f"revision={revision}") if how == "-o" else ("--revision", revision)
    create("-o", "backing_file=base.raw,image_file=i.raw", *option, "x", "1M")
    report = check_image(b"x", CheckOptions(revision=revision))
    assert not {found.rule for found in report.findings} - {"ACW-HDR-005"}
    with open_image("x", revision=revision) as image:
        assert (image.revision, image.size, image.backing_file) == (revision, 1 << 20, b"base.raw")
        assert image.read(0, 8) == b"basebase"


def test_the_raw_file_is_sparse_and_rounded_up_to_sectors(home):
    create("-o", "image_file=i.raw", "x", "1.1k")
    assert (home / "i.raw").stat().st_size == 1536
    create("-o", "image_file=j.raw", "y", "1T")
    assert (home / "j.raw").stat().st_blocks * 512 < 1 << 20


def test_names_lead_from_the_directory_of_the_image(base):
    (base.parent / "d").mkdir()
    create("-o", "image_file=i.raw,backing_file=../base.raw", "d/x")
    assert (base.parent / "d/i.raw").stat().st_size == base.stat().st_size


def test_size_of_the_backing_file_through_its_format(home):
    (home / "base").write_bytes(bytes(1000))
    create("-o", "image_file=i.raw,backing_file=base", "x")
    create("-o", "image_file=j.raw,backing_file=x", "y")
    assert (home / "j.raw").stat().st_size == 1024


@pytest.mark.parametrize(("size", "status"), [("", 0), ("1000", 0), ("1024", 1), ("999", 1)])
def test_a_raw_file_that_is_there_keeps_its_length(home, size, status):
    (home / "i.raw").write_bytes(b"x" * 1000)
    assert img("create", "-o", "image_file=i.raw", "x", *filter(None, [size])).status == status
    assert (home / "i.raw").read_bytes() == b"x" * 1000
    assert (home / "x").exists() == (not status)


def test_a_size_is_taken_for_the_one_that_it_is_rounded_to(home):
    (home / "i.raw").write_bytes(bytes(1024))
    create("-o", "image_file=i.raw,size=1000", "x")


@pytest.mark.parametrize("victim", ["x", "link"])
def test_nothing_is_overwritten(home, victim):
    (home / "x").write_bytes(b"precious")
    os.symlink("nowhere", home / "link")
    assert "ACW-DYN-010" in failed("create", "-o", "image_file=i.raw", victim, "1M")
    assert sorted(os.listdir()) == ["link", "x"]
    assert (home / "x").read_bytes() == b"precious"


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        (["-b", "nosuch", "-o", "image_file=i.raw", "x", "1M"], "ACW-ENV-002"),
        (["-b", ".", "-o", "image_file=i.raw", "x", "1M"], "ACW-ENV-003"),
        (["-b", "nbd:host", "-o", "image_file=i.raw", "x", "1M"], "ACW-NAM-011"),
        (["-o", "image_file=nbd:i", "x", "1M"], "ACW-NAM-011"),
        (["-o", f"image_file={'i' * 200}/../{'j' * 4000}", "x", "1M"], ""),
        (["-b", "i.raw", "-o", "image_file=i.raw", "x", "1M"], "ACW-CHN-001"),
        (["-o", "image_file=x", "x", "1M"], "ACW-"),
        (["-o", "image_file=no/such", "x", "1M"], ""),
        (["-o", "image_file=i.raw", "x", "7E"], ""),
        (["-o", "image_file=i.raw", "no/such", "1M"], ""),
        (["-o", "image_file=i.raw", "x"], ""),
    ],
)
def test_a_failure_leaves_nothing_behind(arguments, rule):
    assert rule in failed("create", *arguments)
    assert os.listdir() == []


def test_confined(home):
    (home / "in").mkdir()
    failed("create", "--confine", "in", "-o", "image_file=../i.raw", "in/x", "1M")
    (home / "i.raw").write_bytes(bytes(512))
    assert "ACW-ENV-004" in failed("create", "--confine", "in", "-o", "image_file=../i.raw", "in/x")
    assert os.listdir("in") == []
    create("--confine", "in", "-o", "image_file=i.raw", "in/x", "1M")


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["x"],
        ["x", "1M"],
        ["-o", "image_file=", "x", "1M"],
        ["-o", "image_file", "x", "1M"],
        ["-o", "image_file=i,colour=red", "x", "1M"],
        ["-o", "image_file=i,size=1M", "x", "1M"],
        ["-o", "image_file=i,size=many", "x"],
        ["-o", "image_file=i,revision=v5", "x", "1M"],
        ["-o", "image_file=i", "x", "many"],
        ["-o", "image_file=i", "x", "9E"],
        ["-o", "image_file=i", "--", "x", "-1"],
        ["-F", "qcow2", "-b", "b", "-o", "image_file=i", "x", "1M"],
        ["-f", "qcow2", "-o", "image_file=i", "x", "1M"],
    ],
)
def test_wrong_usage(arguments):
    failed("create", *arguments, status=64)
    assert os.listdir() == []


def test_a_backing_format_wants_a_backing_file():
    failed("create", "-F", "raw", "-o", "image_file=i.raw", "x", "1M")
    assert os.listdir() == []


@pytest.mark.parametrize("key", ["backing_fmt", "backing_format"])
def test_stated_raw_is_not_probed(base, key):
    base.write_bytes(b"QFI\xfb".ljust(65536, b"\0"))
    create("-o", f"backing_file=base.raw,{key}=raw,image_file=i.raw", "x", "64k")
    with open_image("x") as image:
        assert image.read(0, 4) == b"QFI\xfb"


def test_commas_are_doubled(home):
    (home / "b,=.raw").write_bytes(b"b" * 512)
    create("-o", "backing_file=b,,=.raw,image_file=i,,.raw", "x")
    assert sorted(os.listdir()) == ["b,=.raw", "i,.raw", "x"]


def test_hostile_names():
    name = b"i\n\x1b[31m\xff.raw"
    output = create("-o", b"image_file=" + name, "x", "512")
    assert output.count("\n") == 1
    assert "\x1b" not in output
    assert os.path.getsize(name) == 512


@pytest.mark.usefixtures("base")
def test_quiet():
    assert create("-q", "-b", "base.raw", "-o", "image_file=i.raw", "x") == ""


@pytest.mark.system
@pytest.mark.parametrize("size", ["1M", "1.1k", "2000001"])
@pytest.mark.usefixtures("base")
def test_what_is_said_is_what_qemu_img_says(size):
    ours = create("-b", "base.raw", "-F", "raw", "-o", "image_file=i.raw", "x", size).split()
    theirs = qemu(
        "qemu-img", "create", "-f", "qcow2", "-b", "base.raw", "-F", "raw", "x", size
    ).output.split()
    shared = ("Formatting", "'x',", "size=", "backing_file=", "backing_fmt=")
    assert [w for w in theirs if w.startswith(shared)][:2] == ours[:2]
    assert {w for w in theirs if w.startswith(shared[3:])} == {w for w in ours if w.startswith(shared[3:])}
    raw = qemu("qemu-img", "create", "-f", "raw", "r", size)
    assert raw.status == 0
    assert os.path.getsize("r") == os.path.getsize("i.raw")


@pytest.fixture
def meanwhile(monkeypatch):
    """Let something happen after the raw file was made and before the image is; it fails then, if told to."""

    def install(action, *, fails=True):
        def call(*arguments, **options):
            action()
            if fails:
                raise StorageError("no such luck")
            create_image(*arguments, **options)

        monkeypatch.setattr("addcow_ref.cli.create.create_image", call)

    return install


def test_a_raw_file_that_was_made_goes_when_the_image_fails(meanwhile):
    seen = []
    meanwhile(lambda: seen.extend(sorted(os.listdir())))
    failed("create", "-o", "image_file=i.raw", "x", "1M")
    assert seen == ["i.raw"]
    assert os.listdir() == []


def test_a_raw_file_of_another_is_not_taken_for_the_own(home, meanwhile):
    def replaced():
        (home / "i.raw").rename("old")
        (home / "i.raw").write_bytes(b"theirs")

    meanwhile(replaced)
    failed("create", "-o", "image_file=i.raw", "x", "1M")
    assert sorted(os.listdir()) == ["i.raw", "old"]


def test_a_raw_file_that_somebody_has_open_is_not_removed(meanwhile):
    opened = []

    def used():
        create_image("y", "i.raw")
        opened.append(open_image("y"))

    meanwhile(used)
    failed("create", "-o", "image_file=i.raw", "x", "1M")
    opened.pop().close()
    assert sorted(os.listdir()) == ["i.raw", "y"]


@pytest.mark.parametrize(("size", "status"), [(1 << 20, 0), (512, 1)])
def test_a_raw_file_that_comes_to_be_meanwhile_is_one_that_is_there(home, monkeypatch, size, status):
    real = os.link

    def overtaken(*arguments, **options):
        monkeypatch.setattr(os, "link", real)
        (home / "i.raw").write_bytes(b"x" * size)
        return real(*arguments, **options)

    monkeypatch.setattr(os, "link", overtaken)
    assert img("create", "-o", "image_file=i.raw", "x", "1M").status == status
    assert (home / "i.raw").read_bytes() == b"x" * size
    assert sorted(os.listdir()) == ["i.raw", *([] if status else ["x"])]


def test_nobody_sees_a_raw_file_that_is_too_short(monkeypatch):
    real, lengths = os.ftruncate, []

    def seen(descriptor, length):
        lengths.append(os.path.exists("i.raw"))
        real(descriptor, length)

    monkeypatch.setattr(os, "ftruncate", seen)
    create("-o", "image_file=i.raw", "x", "1M")
    assert lengths[0] is False
    assert sorted(os.listdir()) == ["i.raw", "x"]


@pytest.mark.parametrize("name", ["i.raw/", "d/", ".", "dangling"])
def test_a_raw_file_is_a_file(home, name):
    (home / "d").mkdir()
    os.symlink("nowhere", "dangling")
    failed("create", "-o", f"image_file={name}", "x", "1M")
    assert sorted(os.listdir()) == ["d", "dangling"]


def test_what_is_outside_is_not_measured(home):
    (home / "in").mkdir()
    messages = set()
    for length in (512, 65_536):
        (home / "secret").write_bytes(bytes(length))
        messages.add(failed("create", "--confine", "in", "-o", "image_file=../secret", "in/x", "1M"))
    (message,) = messages
    assert "ACW-ENV-004" in message
