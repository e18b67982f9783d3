"""Bytes from outside as text: printable, on one line, and never two for one."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from addcow_spec.text import printable, quantity

ESCAPE = re.compile(r"\\(?:\\|x([89a-f][0-9a-f])|u\{([0-9a-f]+)\})")


def bytes_of(shown: str) -> bytes:
    """The bytes that a text stands for, by the rules that the documentation gives."""

    def one(match: re.Match[str]) -> str:
        byte, code = match.groups()
        if byte:
            return chr(0xDC00 + int(byte, 16))
        return chr(int(code, 16)) if code else "\\"

    return ESCAPE.sub(one, shown).encode("utf-8", "surrogateescape")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (b"disk one.raw", "disk one.raw"),
        ("däta-日本".encode(), "däta-日本"),
        (b"a\\b", r"a\\b"),
        (b"a\\x80", r"a\\x80"),
        (b"\0\t\n\x1b\x7f", r"\u{0}\u{9}\u{a}\u{1b}\u{7f}"),
        ("\x85\u2028\u202e\u200b".encode(), r"\u{85}\u{2028}\u{202e}\u{200b}"),
        (b"\x80\xff", r"\x80\xff"),
        (b"\xed\xa0\x80", r"\xed\xa0\x80"),
        (b"", ""),
    ],
)
def test_printable(value, shown):
    assert printable(value) == shown


@given(st.binary() | st.text().map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_what_is_shown_says_which_bytes_there_were(value):
    shown = printable(value)
    assert shown.isprintable()
    assert bytes_of(shown) == value


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        (0, "0 bytes"),
        (1023, "1023 bytes"),
        (1024, "1 KiB"),
        (1536, "1.5 KiB"),
        (1000 * 1024, "1000 KiB"),
        (1 << 20, "1 MiB"),
        (3 << 40, "3 TiB"),
        (1 << 63, "8 EiB"),
        (1 << 70, "1024 EiB"),
    ],
)
def test_quantity(size, shown):
    assert quantity(size) == shown
