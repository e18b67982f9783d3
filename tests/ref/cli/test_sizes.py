import pytest

from addcow_ref.cli._sizes import approximate, exact, parse_size
from tests.ref.cli.command import qemu

# Text, and the number of bytes that it stands for.
GOOD = {
    "0": 0,
    "010": 10,
    "+1": 1,
    " 1": 1,
    "1b": 1,
    "1B": 1,
    "1.": 1,
    "1.0": 1,
    "4k": 4096,
    "4K": 4096,
    "1.k": 1024,
    "1.5k": 1536,
    "1.1k": 1126,
    "0.3k": 307,
    "0x10": 16,
    "0X1B": 27,
    "0x1e": 30,
    "0x10k": 16384,
    "1m": 1 << 20,
    "2g": 2 << 30,
    "1t": 1 << 40,
    "1P": 1 << 50,
    "7e": 7 << 60,
    "9223372036854775807": (1 << 63) - 1,
}
BAD = (
    "",
    "x",
    "-1",
    ".5k",
    "0.5",
    "0.1b",
    "1e1",
    "1kb",
    "0x",
    "0x1.8",
    "nan",
    "inf",
    "1_0",
    "3s",
    "1 k",
    "--1",
)
HUGE = ("8e", "16e", "9223372036854775808", "0xffffffffffffffffff", "9" * 5000)


@pytest.mark.parametrize("text", GOOD)
def test_sizes_are_read(text):
    assert parse_size(text) == GOOD[text]


@pytest.mark.parametrize("text", [*BAD, "\N{ARABIC-INDIC DIGIT THREE}"])
def test_what_is_no_size(text):
    with pytest.raises(ValueError, match="bytes"):
        parse_size(text)


@pytest.mark.parametrize("text", HUGE, ids=lambda text: text[:20])
def test_sizes_beyond_an_offset(text):
    with pytest.raises(OverflowError):
        parse_size(text)


@pytest.mark.system
def test_qemu_io_reads_the_same_sizes(home):
    """Offsets of reads; only those on the disk are told."""
    (home / "disk.raw").write_bytes(bytes(1 << 20))
    texts = [text for text in (*GOOD, *BAD, *HUGE) if text and " " not in text and not text.startswith("-")]
    commands = [word for text in texts for word in ("-c", f"read {text} 1")]
    lines = iter(qemu("qemu-io", "-f", "raw", *commands, "disk.raw").output.splitlines())
    for text in texts:
        line = next(lines)
        if text not in GOOD:
            assert line.startswith(
                "Parsing error: argument too large" if text in HUGE else "Parsing error: non"
            )
        elif GOOD[text] < 1 << 20:
            assert line == f"read 1/1 bytes at offset {GOOD[text]}"
            next(lines)
        else:
            assert line == "read failed: Input/output error"


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (512, "512 B"),
        (999, "999 B"),
        (1000, "0.977 KiB"),
        (1536, "1.5 KiB"),
        (2000384, "1.91 MiB"),
        (3 << 30, "3 GiB"),
        ((1 << 63) - 512, "8 EiB"),
    ],
)
def test_sizes_as_qemu_img_shows_them(size, text):
    assert approximate(size) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 bytes"),
        (5, "5 bytes"),
        (851.358545, "851.358545 bytes"),
        (1023, "1023 bytes"),
        (1024, "1 KiB"),
        (4608, "4.500 KiB"),
        (4611, "4.503 KiB"),
        (1 << 20, "1 MiB"),
        (5 << 60, "5 EiB"),
    ],
)
def test_sizes_as_qemu_io_shows_them(size, text):
    assert exact(size) == text
