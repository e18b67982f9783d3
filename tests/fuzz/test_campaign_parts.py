"""The parts of campaigns: smaller inputs, libFuzzer's words, processes, the registry, the live view."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from addcow_fuzz.campaign import (
    BadRegistry,
    Counters,
    Standing,
    Status,
    judge,
    load_registry,
    smallest,
    standing,
)
from addcow_fuzz.campaign._child import Child
from addcow_fuzz.campaign._libfuzzer import Log
from addcow_fuzz.campaign._minimize import minimized
from addcow_fuzz.campaign._program import make_program
from addcow_fuzz.campaign._registry import ignored
from tests.fuzz.fake_command import ENVIRONMENT, FAKE
from tests.terminal import shell_on_terminal


@pytest.mark.parametrize(
    ("data", "same", "small"),
    [
        (b"xxaxxbxx", lambda d: b"a" in d and b"b" in d, b"ab"),
        (b"some text", lambda d: len(d) >= 3, b"\0\0\0"),
        (b"any", lambda _d: True, b""),
        (bytes(range(256)), lambda d: d[-1:] == b"\xff", b"\xff"),
        (b"k\1\2", lambda d: d[:1] == b"k" and len(d) % 2, b"k\0\0"),
    ],
)
def test_smaller_inputs_come_to_the_same(data, same, small):
    steps = list(minimized(data, same))
    assert steps[0] == data
    assert steps[-1] == small
    assert all(map(same, steps))


def test_what_comes_to_something_else_is_not_made_smaller():
    assert list(minimized(b"data", lambda _d: False)) == []


def test_input_is_judged_in_a_process_of_its_own(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", ENVIRONMENT["PYTHONPATH"])
    judged = judge(FAKE, b"abc", 60)
    assert (judged.token, judged.operations) == ("fake:-:first:a", [97, 98, 99])
    assert judge(FAKE, b"c", 60).token == ""
    assert smallest(FAKE, b"abc", judged.token, 60) == b"a"
    assert smallest(FAKE, b"abc", "fake:-:first:b", 60) == b"abc"


def test_words_of_libfuzzer():
    log = Log()
    for line in (
        "#2\tINITED cov: 60 ft: 61 corp: 1/1b exec/s: 0 rss: 50Mb",
        "#8192\tpulse  cov: 71 ft: 124 corp: 12/165b lim: 68 exec/s: 1638 rss: 50Mb",
        "DEDUP_TOKEN: ../../x",
        "DEDUP_TOKEN: a:b:c:d e",
        "DEDUP_TOKEN: engine:acw-hdr-001:open:-",
        "artifact_prefix='a/'; Test unit written to a/crash-0",
        "stat::number_of_executed_units: 8737",
        "\x1b[2J",
    ):
        log.take(line)
    assert log.counters == Counters(8737, 71, 124)
    assert (log.corpus, log.token, log.stopped) == (12, "engine:acw-hdr-001:open:-", True)
    assert all(line.isprintable() for line in log.tail)


def python(code):
    return [sys.executable, "-c", code]


def test_lines_of_a_process_are_cut():
    with Child(python("print('x' * 1_000_000); print('y', end='')")) as child:
        lines = [line for line in child.lines() if line]
        assert child.end() == 0
    assert [line[:1] for line in lines] == ["x", "y"]
    assert len(lines[0]) <= 1 << 16


def test_process_that_obeys_nothing_is_gone_with_its_group(tmp_path):
    pids = tmp_path / "pids"
    stubborn = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    below = f"{stubborn}print('here', flush=True); time.sleep(600)"
    code = f"{stubborn}import os, subprocess, sys; p = subprocess.Popen([sys.executable, '-c', {below!r}])\n"
    code += f"open({os.fspath(pids)!r}, 'w').write(f'{{os.getpid()}} {{p.pid}}'); time.sleep(600)"
    with Child(python(code)) as child:
        for line in child.lines():
            if line == "here" and pids.exists():
                break
    leader, descendant = map(int, pids.read_text("ascii").split())
    with pytest.raises(ProcessLookupError):
        os.kill(leader, 0)
    until = time.monotonic() + 60
    while not gone(descendant):
        assert time.monotonic() < until


def gone(pid):
    """Whether a process has ended; who adopts it may not have reaped it."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            return file.read().rsplit(")", 1)[1].split()[0] in "ZX"
    except FileNotFoundError:
        return True


def test_target_is_an_executable_whatever_python_is_called(tmp_path, monkeypatch):
    home = tmp_path / 'a "b" $c `d`\\'
    home.mkdir()
    (home / "python").symlink_to(sys.executable)
    monkeypatch.setattr(sys, "executable", os.fspath(home / "python"))
    path = make_program("x", os.fspath(tmp_path / "program"))
    result = subprocess.run([path], capture_output=True, check=False, text=True, env={})
    assert "Error" in result.stderr  # Python's: the module is not there, or the project is not
    assert os.access(path, os.X_OK)


ENTRY = 'token = "{}"\ntarget = "fake"\nstatus = "{}"\nreason = "planted"\n'


@pytest.fixture
def registry(tmp_path):
    (tmp_path / "input").write_bytes(b"a")
    return tmp_path / "findings.toml"


def entry(status, *more, of="t"):
    return "[[finding]]\n" + ENTRY.format(of, status) + "".join(more)


def test_registry_tells_how_findings_stand(registry):
    registry.write_text(
        entry("open", of="o") + entry("limitation", of="l") + entry("fixed", 'input = "input"\n', of="f")
    )
    entries = load_registry(os.fspath(registry))
    assert [entry.status for entry in entries.values()] == [Status.OPEN, Status.LIMITATION, Status.FIXED]
    assert entries["f"].input == os.fspath(registry.parent / "input")
    stand = {token: standing(token, entries) for token in "olfn"}
    assert stand == {"o": Standing.KNOWN, "l": Standing.KNOWN, "f": Standing.BACK, "n": Standing.NEW}
    assert ignored(entries.values()) == {"o", "l"}


@pytest.mark.parametrize(
    "text",
    [
        "finding = 3",
        "finding = [3]",
        "[[findings]]",
        "[[finding]]",
        "\0",
        entry("open") + entry("open"),
        entry("new"),
        entry("fixed"),
        entry("fixed", 'input = "absent"\n'),
        entry("fixed", 'input = "../x"\n'),
        entry("fixed", 'input = "/dev/null"\n'),
        entry("open", "input = 3\n"),
        entry("open", 'more = "x"\n'),
        entry("open", of="\\u001b[2J"),
    ],
)
def test_registry_that_is_none_is_refused(registry, text):
    registry.write_text(text)
    with pytest.raises(BadRegistry) as caught:
        load_registry(os.fspath(registry))
    assert str(caught.value).isprintable()


def test_registry_that_is_absent_is_refused(tmp_path):
    with pytest.raises(BadRegistry):
        load_registry(os.fspath(tmp_path / "absent"))


VIEW = """
from addcow_fuzz.campaign import Row
from addcow_fuzz.campaign._live import opened_view
with opened_view(enabled=True) as look:
    look([Row("alpha", 1, 1234.5, 99, 71, 12, 1.0, 1, 2), Row("beta", 0, 0.0, 0, 0, 0, 0.0, 0, 0)])
"""


def test_live_view_on_a_terminal():
    shown = shell_on_terminal(["-c", VIEW], COLUMNS="120").decode()
    for word in ("alpha", "beta", "1,23", "exec/s", "ago"):
        assert word in shown


def test_no_view_elsewhere_and_nothing_is_loaded_for_it():
    code = f"{VIEW}import sys; assert not any(name.split('.')[0] == 'rich' for name in sys.modules)"
    result = subprocess.run(python(code), capture_output=True, check=True)
    assert (result.stdout, result.stderr) == (b"", b"")
