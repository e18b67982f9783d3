"""Logs of several straces, put into one order."""

from __future__ import annotations

import pytest

from addcow_conformance.powerloss import CannotTrace
from addcow_conformance.powerloss._logs import Logs
from addcow_conformance.powerloss._strace import parse


def test_lines_of_one_log_keep_their_order(tmp_path):
    (tmp_path / "7").write_text("7 3.5 f(1) = 0\n8  2.5 g(2) = 0\n7 4.0 h(3) = 0\n")
    assert Logs(tmp_path).read() == (["7 f(1) = 0", "8 g(2) = 0", "7 h(3) = 0"], [])


def test_logs_are_put_together_by_time(tmp_path):
    (tmp_path / "7").write_text("7 1.0 a() = 0\n7 5.0 d() = 0\n")
    (tmp_path / "8").write_text("8 2.0 b() = 0\n8 3.0 c() = 0\n")
    lines, _ = Logs(tmp_path).read()
    assert [call.name for call in parse(lines)] == ["a", "b", "c", "d"]


def test_marks_come_before_time(tmp_path):
    logs = Logs(tmp_path)
    logs.mark()
    (tmp_path / "7").write_text("7 9.0 a() = 0\n")
    logs.mark()
    (tmp_path / "8").write_text("8 2.0 b() = 0\n")
    with (tmp_path / "7").open("a") as log:
        log.write("7 9.5 c() = 0\n")
    logs.mark()
    lines, marks = logs.read()
    assert [call.name for call in parse(lines)] == ["a", "b", "c"]
    assert marks == [0, 1, 3]


def test_line_that_is_cut_off_is_a_call_that_goes_on(tmp_path):
    (tmp_path / "7").write_text("7 1.0 read(0x0, 0x7f, 0x9")
    (tmp_path / "8").write_text("8 2.0 b() = 0\n")
    lines, _ = Logs(tmp_path).read()
    assert [(call.name, call.returned) for call in parse(lines)] == [("read", None), ("b", 1)]


def test_line_that_says_no_time_is_an_error(tmp_path):
    (tmp_path / "7").write_text("[ Process PID=7 runs in 32 bit mode. ]\n")
    with pytest.raises(CannotTrace):
        Logs(tmp_path).read()


def test_logs_that_are_too_long_are_not_read(tmp_path):
    logs = Logs(tmp_path)
    with (tmp_path / "7").open("wb") as log:
        log.truncate(1 << 40)
    with pytest.raises(CannotTrace):
        logs.mark()
    with pytest.raises(CannotTrace):
        logs.read()
