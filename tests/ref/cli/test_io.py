"""io: qemu-io's commands."""

import io as streams
import re

import pytest

from addcow_ref import Image, open_image
from tests.ref.cli.command import done, failed, img, normal, qemu
from tests.ref.scenes import noise

pytestmark = pytest.mark.usefixtures("home")


def commands(*lines):
    return [word for line in lines for word in ("-c", line)]


def run(disk, *lines, options=()):
    return img("io", *options, *commands(*lines), disk)


@pytest.fixture
def read(disk):
    def read(offset, length):
        with open_image(disk) as image:
            return image.read(offset, length)

    return read


@pytest.mark.parametrize(
    ("line", "offset", "expected"),
    [
        ("write 64k 4k", 65536, b"\xcd" * 4096),
        ("w -P 0xaa 1 3", 0, noise(1) + b"\xaa" * 3 + noise(5)[4:]),
        ("write -P 010 100 2", 100, b"\x08\x08"),
        ("write -P10 0 2", 0, b"\x0a\x0a"),
        ("write 0 2 -P 1", 0, b"\x01\x01"),
        ("write -z 4 8", 3, noise(4)[3:] + bytes(8) + noise(13)[12:]),
        ("write -zuf 64k 64k", 65535, noise(65536)[-1:] + bytes(65536) + noise(131073)[-1:]),
        ("write -zn 64k 4", 65536, bytes(4)),
        ("write -f -p 0 1", 0, b"\xcd"),
        ("write -s pattern 10 8", 10, b"abcabcab"),
        ("writev -P 2 0 1 0 2", 0, b"\x02\x02\x02" + noise(4)[3:]),
        ("aio_write -P 3 0 1 1", 0, b"\x03\x03" + noise(3)[2:]),
        ("aio_write -z -u 0 1", 0, bytes(1) + noise(2)[1:]),
        ("discard 0 2", 0, bytes(2) + noise(3)[2:]),
    ],
)
def test_writes(disk, read, home, line, offset, expected):
    (home / "pattern").write_bytes(b"abc")
    result = run(disk, line)
    assert (result.status, result.errors) == (0, "")
    assert read(offset, len(expected)) == expected


def test_what_is_written_is_durable_and_in_the_bitmap(disk):
    done("io", *commands("write 100k 1", "flush"), disk)
    with open_image(disk) as image:
        assert image.allocated_units() == 1


def test_truncate_and_length(disk):
    assert run(disk, "truncate 1M", "length", "t 512", "l").output == "1 MiB\n512 bytes\n"


def test_alloc_and_map(disk):
    lines = ["write -q 64k 1", "alloc 0 192k", "a 64k", "alloc 1T", "map"]
    assert run(disk, *lines).output.splitlines() == [
        "65536/196608 bytes allocated at offset 0 bytes",
        "512/512 bytes allocated at offset 64 KiB",
        "0/0 bytes allocated at offset 1 TiB",
        "64 KiB (0x10000) bytes not allocated at offset 0 bytes (0x0)",
        "64 KiB (0x10000) bytes     allocated at offset 64 KiB (0x10000)",
        "544 KiB (0x88000) bytes not allocated at offset 128 KiB (0x20000)",
    ]


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("read -P 0x55 100k 4k", 0),
        ("read -P 0x56 100k 4k", 1),
        ("read -P 0 256k 416k", 0),
        ("read -P 0 255k 2k", 1),
        ("read -P 0 -s 1k 255k 2k", 0),
        ("read -P 0x55 -l 1k 255k 2k", 0),
        ("read -P 0 -s 1023 -l 2 255k 2k", 1),
        ("readv -P 0 256k 1 2 3", 0),
        ("aio_read -P 1 256k 1", 1),
    ],
)
def test_patterns(disk, line, status):
    result = run(disk, line, options=["-r"])
    assert (result.status, "Pattern verification failed" in result.output) == (status, bool(status))


def test_one_failure_is_not_made_good_by_what_follows(disk):
    assert run(disk, "read 0 1", "read 1T 1", "read 0 1").status == 1


def test_the_shown_bytes_are_those_of_the_disk(disk, read):
    shown = re.findall(
        r"^[0-9a-f]{8}:  ((?:[0-9a-f]{2} )+)", run(disk, "read -v 250k 7k").output, re.MULTILINE
    )
    assert bytes.fromhex("".join(shown)) == read(250 << 10, 7 << 10)


def test_quit_ends(disk):
    assert run(disk, "length", "q", "read 1T 1").output == "672 KiB\n"


def test_read_only_writes_nothing(disk, read):
    result = run(disk, "write 0 4k", "discard 0 1", "truncate 1", "aio_write 0 1", "flush", options=["-r"])
    assert (result.status, result.output, result.errors.count("\n")) == (1, "", 4)
    assert read(0, 4096) == noise(4096)


def test_unlocked_reading_of_an_image_in_use(disk):
    with open_image(disk, writable=True):
        assert "ACW-DYN-014" in failed("io", "-c", "length", disk)
        assert "ACW-DYN-014" in failed("io", "-r", "-c", "length", disk)
        assert run(disk, "length", options=["-rU"]).output == "672 KiB\n"
    failed("io", "-U", "-c", "length", disk, status=64)


def test_lines_of_standard_input(disk, monkeypatch):
    monkeypatch.setattr("sys.stdin", streams.StringIO("length\n\nnosuch\nread -q 0 1\nquit\nlength\n"))
    result = img("io", disk)
    assert result == (1, "qemu-io> 672 KiB\n" + "qemu-io> " * 4, 'command "nosuch" not found\n')


def test_help_names_every_command(disk):
    listed = [line.split(" ")[0] for line in done("io", "-c", "help", disk).splitlines() if " -- " in line]
    assert {"read", "write", "flush", "help", "quit"} < set(listed)
    for name in listed:
        assert done("io", "-c", f"help {name}", disk).startswith(f"{name} ")


def test_hostile_lines(disk):
    result = run(disk, "\x1b[31m\udcff", "read \x1b 1", "write -P \x07 0 1", "read -\x1b 0 1", "help \x1b")
    assert result.status == 1
    assert not {"\x1b", "\x07", "\udcff"} & set(result.output + result.errors)


def test_the_image_itself_cannot_be_opened():
    assert failed("io", "-c", "length", "nosuch").startswith("addcow-img: nosuch: ")
    failed("io", status=64)
    failed("io", "a", "b", status=64)
    failed("io", "-x", "a", status=64)


SAME = [
    "",
    "nosuch",
    "read",
    "read 0",
    "read 0 1 2",
    "read -x 0 1",
    "read -qx 0 1",
    "read -1 1",
    "read 0 -- -1",
    "read --long 0 1",
    "read 0 4 -P",
    "read x 1",
    "read 0 x",
    "read 0 8e",
    "read 0 3g",
    "read -s 1 0 4k",
    "read -l 1 0 4k",
    "read -P 1 -l x 0 4k",
    "read -P 1 -s x 0 4k",
    "read -P 1 -s 4000 -l 200 0 4k",
    "read -P 1 -s 5000 0 4k",
    "read -P x 0 1",
    "read -P 256 0 1",
    "read -P 0x100 0 1",
    "read -P -1 0 1",
    "read -P 1k 0 1",
    "read -P 0 0 4k",
    "read -P 1 0 4k",
    "read -P 1 -s 512 -l 512 0 4k",
    "read -q -P 1 0 4k",
    "read -v 64k 40",
    "read -vq 64k 40",
    "read -C 0 1",
    "read 0 0",
    "read 1M 0",
    "read 1M 1",
    "read 0 1025k",
    "read 1P 1",
    "readv 0",
    "readv x 1",
    "readv 0 x",
    "readv 0 1 0 5",
    "readv 0 3g",
    "readv 0 1g 1g",
    "readv -s 1 0 8",
    "readv -P 1 0 8",
    "readv 0 512k 513k",
    "write",
    "write 0",
    "write 0 1 2",
    "write 0 0",
    "write 5 7",
    "write -P 7 0 70000",
    "write -z -P 1 0 4k",
    "write -z -s f 0 4k",
    "write -s f -P 1 0 4k",
    "write -s nosuch 0 4k",
    "write -s empty 0 4k",
    "write -s f 0 4k",
    "write -u 0 4k",
    "write -n 0 4k",
    "write -z 0 4k",
    "write -zu 0 64k",
    "write -zuf -q 0 4k",
    "write -zC 0 4k",
    "write -z 0 3g",
    "write 0 3g",
    "write 0 1025k",
    "write -z 0 1025k",
    "write 1M 1",
    "writev 0 1 0 5",
    "writev 0 1M 1",
    "writev -z 0 8",
    "writev -f 0 8",
    "writev -P x 0 8",
    "aio_write -u 0 4k",
    "aio_write -z 0 1 2",
    "aio_write -n 0 4",
    "aio_write",
    "aio_read 0",
    "aio_read -x 0 1",
    "aio_flush",
    "aio_flush x",
    "discard",
    "discard 0",
    "discard 0 1 2",
    "discard x 5",
    "discard 0 64k",
    "discard -C 0 64k",
    "discard -q 0 64k",
    "discard 0 3g",
    "discard 0 1025k",
    "flush",
    "flush x",
    "length",
    "length x",
    "truncate",
    "truncate x",
    "truncate -x 1",
    "truncate 2M",
    "alloc",
    "alloc 0",
    "alloc 0 1M",
    "alloc 60k 100k",
    "alloc 1M",
    "alloc 1M 1k",
    "alloc x",
    "alloc 0 x",
    "alloc -1",
    "alloc 0 1 2",
    "map",
    "map x",
    "help nosuch",
    "help a b",
    "quit",
    "quit x",
]


@pytest.mark.system
@pytest.mark.parametrize("options", [[], ["-r"]], ids=" ".join)
def test_words_are_those_of_qemu_io(home, options):
    """Every line on an image without a backing file, and on a qcow2 file of that size."""
    (home / "f").write_bytes(b"abc")
    (home / "empty").touch()
    done("create", "-q", "-o", "image_file=i.raw", "x", "1M")
    qemu("qemu-img", "create", "-q", "-f", "qcow2", "q", "1M")
    first = ["write -P 9 64k 128k", "length"]
    assert run("x", *first).status == qemu("qemu-io", *commands(*first), "q").status == 0
    differ = {}
    for line in SAME:
        ours, theirs = run("x", line, options=options), qemu("qemu-io", *options, *commands(line), "q")
        errors = ours.errors.replace("addcow-img: x: ", "qemu-io: ").replace("addcow-img: ", "")
        ours = ours._replace(output=normal(ours.output), errors=errors)
        theirs = theirs._replace(output=normal(theirs.output))
        if ours != theirs:
            differ[line] = (ours, theirs)
    assert differ == {}


LONG = [
    "write -P 1 3 3M",
    "write -P 2 1048573 6",
    "read -P 1 3 3M",
    "read -P 1 -s 1048570 -l 1 3 3M",
    "read -P 2 -s 1048570 -l 6 3 3M",
    "read -P 2 -s 1048570 -l 7 3 3M",
    "read -P 2 -s 1048569 -l 7 3 3M",
    "read -P 1 -s 1048576 3 3M",
    "read -qv -P 1 3 3M",
    "read -P 1 -v 1 1025k",
    "read -P 1 3 4M",
    "write -s f -f 5 3M",
    "read -P 98 -s 3145726 3 3145727",
    "write -s long 5 3M",
    "read -v 2620000 60",
    "write -P 3 3 4M",
    "write -P 3 8M 0",
    "read 8M 0",
    "read -P 98 3 2M",
]


@pytest.mark.system
def test_requests_of_many_pieces_are_those_of_qemu_io(home):
    (home / "f").write_bytes(b"abc")
    (home / "long").write_bytes(noise(2621440 - 7))
    (home / "r").write_bytes(bytes(4 << 20))
    done("create", "-q", "-o", "image_file=i.raw", "x", "4M")
    theirs = qemu("qemu-io", "-f", "raw", *commands(*LONG), "r")
    ours = run("x", *LONG)
    assert (normal(ours.output), ours.errors) == (normal(theirs.output), theirs.errors)
    done("compare", "-F", "raw", "x", "r")


def test_a_request_needs_no_memory_of_its_length(disk, monkeypatch):
    lengths = []

    def told(name):
        real = getattr(Image, name)

        def call(image, offset, data, **options):
            lengths.append(len(data))
            return real(image, offset, data, **options)

        monkeypatch.setattr(Image, name, call)

    told("write")
    told("read_into")
    assert run(disk, "truncate 5M", "write 0 4M", "read -P 0xcd 0 4M").status == 0
    assert sum(lengths) == 8 << 20
    assert max(lengths) <= 1 << 20


@pytest.mark.system
def test_prompts_are_those_of_qemu_io(monkeypatch):
    done("create", "-q", "-o", "image_file=i.raw", "x", "1M")
    qemu("qemu-img", "create", "-q", "-f", "qcow2", "q", "1M")
    text = "read 0 4k\n\nnosuch\n   length\nread -P 1 0 1k\nlength"
    theirs = qemu("qemu-io", "q", text=text)
    monkeypatch.setattr("sys.stdin", streams.StringIO(text))
    ours = img("io", "x")
    assert ours._replace(output=normal(ours.output)) == theirs._replace(output=normal(theirs.output))
