"""Standard error of a program: what is there is known at once, whatever the thread has read by then."""

from __future__ import annotations

import os
from threading import Thread

import pytest

from addcow_conformance.adapters._last_words import LastWords

REPORT = b"==7==ERROR: AddressSanitizer: heap-use-after-free\n"


@pytest.fixture
def pipe():
    """The words of a pipe, and the descriptor that writes to it."""
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb", buffering=0) as errors, os.fdopen(writer, "wb", buffering=0) as program:
        yield LastWords(errors), program


def test_report_is_known_as_soon_as_it_is_written(pipe):
    words, program = pipe
    assert words.take()
    assert words.sanitizer == ""
    program.write(b"before\n" + REPORT + b"after\n")
    assert words.take()
    assert words.sanitizer == REPORT.decode().strip()
    assert words.said == ("before", REPORT.decode().strip(), "after")


def test_report_may_come_in_two_parts(pipe):
    words, program = pipe
    program.write(REPORT[:9])
    words.take()
    assert (words.sanitizer, words.said) == ("", ())
    program.write(REPORT[9:])
    words.take()
    assert words.sanitizer == REPORT.decode().strip()


def test_last_line_needs_no_end(pipe):
    words, program = pipe
    program.write(b"one\ntwo")
    assert words.take()
    assert words.said == ("one",)
    program.close()
    assert not words.take()
    assert not words.take()
    assert words.said == ("one", "two")


def test_long_lines_and_many_are_cut(pipe):
    words, program = pipe
    thread = Thread(target=words.listen)
    thread.start()
    program.write(b"x" * (1 << 20) + b"\n" + b"line\n" * 100)
    program.close()
    thread.join(60)
    assert not thread.is_alive()
    assert words.said == ("line",) * 20


def test_endless_line_is_not_kept(pipe):
    words, program = pipe
    for _ in range(40):
        program.write(b"x" * (32 << 10))
        assert words.take()
    assert len(words._rest) < 128 << 10
    assert set(words.said) == {"x" * 400}
