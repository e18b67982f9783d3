"""Power loss for programs in other processes: strace tells what they write and sync."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import replace

import pytest

import addcow_ref
from addcow_conformance.adapters.stdio import StdioTarget
from addcow_conformance.powerloss import FAMILIES, CannotTrace, judge_traced
from addcow_conformance.powerloss._logs import Logs
from addcow_conformance.powerloss._recorded import record
from addcow_conformance.powerloss._replay import Recorded, Replay, verify
from addcow_conformance.powerloss._strace import parse
from addcow_conformance.powerloss._syscalls import Tracer
from addcow_conformance.programs import IMAGE, RAW, Disk, Flush, Kill, Race, Read, Session, Write
from addcow_conformance.targets import load_target
from addcow_ref.testing import SyncEvent
from addcow_spec.errors import UsageError
from addcow_spec.model import Revision
from tests.conformance.stdio_programs import NODE, REFERENCE
from tests.ref.scenes import CLUSTER, Scene
from tests.repo.tree import ROOT
from tests.system.second import nbdkit
from tests.system.serving import HANG, libnbd

pytestmark = pytest.mark.system

BY_NAME = {family.name: family for family in FAMILIES}
FAULTY = ROOT / "tests/conformance/faulty_program.py"


def planted(variant):
    """The command of `traced_program.py`."""
    return ("env", f"PYTHONPATH={ROOT}", sys.executable, "-m", "tests.system.traced_program", variant)


def judged(command, family, directory, operations=None):
    operations = family.alphabet if operations is None else operations
    load = lambda under: StdioTarget([*under, *command])  # noqa: E731
    return judge_traced(load, family.disk, operations, directory)


@pytest.mark.parametrize("family", ["v4", "v6", "v10", "v10-pages"])
def test_engine_is_right(tmp_path, family):
    tally, found = judged(REFERENCE, BY_NAME[family], tmp_path)
    assert found is None
    assert tally.workloads == 1
    assert tally.moments > 8


@pytest.mark.parametrize("family", ["v4-pages", "v6-pages"])
def test_engine_is_right_where_pages_are_evicted(tmp_path, family):
    tally, found = judged(planted("SyncedDraft"), BY_NAME[family], tmp_path)
    assert found is None
    assert tally.distinct > 100


@pytest.mark.parametrize("family", ["v10", "v10-pages"])
def test_another_implementation_is_right(tmp_path, family):
    tally, found = judged(NODE, BY_NAME[family], tmp_path)
    assert found is None
    assert tally.distinct > 100


@pytest.mark.parametrize("family", ["v6-pages", "v10"])
def test_plugin_in_c_is_right(tmp_path, plugin, family):
    served = "nbdkit -f -U {socket} {readonly:-r}"
    name = f"nbd:{served} {shlex.quote(str(plugin))} file={{image}} revision={{revision}} pages=1"
    each = BY_NAME[family]
    load = lambda under: load_target(name, under=under)  # noqa: E731
    tally, found = judge_traced(load, each.disk, each.alphabet, tmp_path)
    assert found is None
    assert tally.distinct > 100


# --- wrong on purpose

# Variant, family, the rule that the first violation breaks, and what tells why.
LOST_DATA = r"disk.raw \S+: (lost|torn)"
CAUGHT = [
    ("BitsFirst", "v10", "ACW-DYN-005", LOST_DATA, r"add-cow \S+: there"),
    ("BitsFirst", "v6", "ACW-DYN-005", LOST_DATA, r"add-cow \S+: there"),
    ("NoBarrierOnEviction", "v6-pages", "ACW-DYN-005", LOST_DATA, r"add-cow \S+: there"),
    ("OneFileFlush", "v10", "ACW-DYN-005", r"add-cow \S+: lost", r"raw \S+: durable"),
    ("LyingSync", "v10", "ACW-DYN-005", r": (lost|torn)", r"write disk.raw"),
    ("HeaderFirst", "v6", "ACW-BMP-001", r"^sync disk.add-cow", r"add-cow 0.*: there"),
    ("UnsyncedCreation", "v10", "ACW-HDR-001", r"add-cow \S+: (lost|torn)", r"write disk.add-cow"),
    ("UnsyncedDraft", "v10", "ACW-HDR-001", r"add-cow \S+: (lost|torn)", r"write disk.add-cow"),
]


@pytest.mark.parametrize(
    ("variant", "family", "rule", "missing", "present"), CAUGHT, ids=[f"{c[0]}-{c[1]}" for c in CAUGHT]
)
def test_variant_is_caught(tmp_path, variant, family, rule, missing, present):
    _, found = judged(planted(variant), BY_NAME[family], tmp_path)
    assert found is not None
    assert found.rule == rule
    assert found.program.power_loss is not None
    for pattern in (missing, present):
        assert any(re.search(pattern, line) for line in found.order)


@pytest.mark.parametrize("file", ["this.image", "this.own"])
def test_flush_of_one_file_is_caught_in_another_language(tmp_path, file):
    program, files = tmp_path / "program", tmp_path / "files"
    shutil.copytree(os.path.dirname(NODE[1]), program)
    files.mkdir()
    disk = program / "disk.js"
    right = disk.read_text()
    disk.write_text(right.replace(f"fs.fdatasyncSync({file});", ""))
    assert disk.read_text() != right
    _, found = judged(("node", str(program / "main.js")), BY_NAME["v10"], files, (Write(0, 512), Flush()))
    assert found is not None
    assert found.rule == "ACW-DYN-005"
    assert found.program.operations == (Write(0, 512), Flush())


def test_program_that_is_wrong_without_a_loss_of_power(tmp_path):
    command = ("env", "ADDCOW_TEST_FAULT=lost-writes", sys.executable, str(FAULTY))
    _, found = judged(command, BY_NAME["v10"], tmp_path, (Write(0, 512), Flush(), Kill()))
    assert found is not None
    assert found.rule == "ACW-DYN-005"


def test_backing_file_that_is_written(tmp_path):
    command = ("env", "ADDCOW_TEST_FAULT=writes-backing", sys.executable, str(FAULTY))
    _, found = judged(command, BY_NAME["v10"], tmp_path, (Write(0, 512),))
    assert found is not None
    assert found.rule == "ACW-DYN-004"


# --- the tracer sees what is done


def made_logs(tmp_path):
    directory = tmp_path / "logs"
    directory.mkdir()
    return Logs(directory)


@pytest.mark.parametrize("family", BY_NAME)
def test_calls_are_the_events_that_the_engine_tells_of(tmp_path, family):
    """Order, places and bytes; a cut of every kind of operation that there is."""
    disk, alphabet = BY_NAME[family].disk, BY_NAME[family].alphabet
    seen, told, logs = tmp_path / "seen", tmp_path / "told", made_logs(tmp_path)
    seen.mkdir()
    told.mkdir()
    with StdioTarget([*logs.under, *planted("Right")]) as target:
        recorded = record(
            disk, target, alphabet, directory=str(seen), logs=logs, windows=frozenset(), done=[]
        )
    replay = Replay(recorded)
    for step in recorded.steps:
        replay.advance(step)
    traced = [(recorded.names[event.file], event) for event in replay.log]
    events = []
    with Session(disk, addcow_ref, directory=str(told), log=events, comparing=False) as session:
        names = {session.files.open(name, writable=False).identity: name for name in (IMAGE, RAW)}
        session.run(alphabet)
    nobody = (0, 0)
    assert [(name, replace(event, file=nobody)) for name, event in traced] == [
        (names[event.file], replace(event, file=nobody)) for event in events
    ]
    assert SyncEvent(nobody) in [replace(event, file=nobody) for event in events]


CALLS = """
import ctypes, fcntl, os, threading
libc = ctypes.CDLL(None, use_errno=True)
def fallocate(at, mode, offset, size):
    assert libc.fallocate(at, mode, ctypes.c_long(offset), ctypes.c_long(size)) == 0
draft = os.open("draft", os.O_RDWR | os.O_CREAT | os.O_EXCL)
os.write(draft, b"draft")
os.rename("draft", "x")
os.write(draft, b"named")
os.fsync(draft)
with open("img", "r+b") as file:  # reads ahead, and seeks back
    file.readline()
    file.write(b"buffered")
at = os.open("img", os.O_RDWR | os.O_DSYNC)
os.writev(at, [b"a", b"bc"])
copy = fcntl.fcntl(at, fcntl.F_DUPFD, 50)
os.write(copy, b"d")
os.dup2(at, 60)
os.lseek(at, 5000, os.SEEK_SET)
os.read(60, 7)
os.write(60, b"e")
os.pwrite(at, b"f", 9)
os.pwritev(at, [b"g", b"h"], 20, os.RWF_DSYNC)
os.pwritev(at, [b"i"], -1)
end = os.open("img", os.O_WRONLY | os.O_APPEND)
os.write(end, b"j")
os.pwrite(end, b"k", 3)
fallocate(at, 0, 0, 50_000)
fallocate(at, 1, 0, 90_000)
fallocate(at, 3, 4096, 4096)
fallocate(at, 16, 49_000, 3_000)
fallocate(at, 17, 51_000, 3_000)
os.truncate(os.path.abspath("img"), 51_990)
os.ftruncate(draft, 7)
if os.fork() == 0:
    os.lseek(end, 0, os.SEEK_SET)
    os.write(copy, b"l")
    os._exit(0)
os.wait()
thread = threading.Thread(target=os.write, args=(copy, b"m"))
thread.start()
thread.join()
os.closerange(at, at + 1)
os.write(copy, b"n")
os.sync()
"""


def test_every_kind_of_call_makes_the_files_that_are_there(tmp_path):
    """As strace of this machine puts them, and not as somebody has written them down."""
    files, logs = tmp_path / "files", made_logs(tmp_path)
    files.mkdir()
    content = b"line\n" + b"c" * 20_000
    (files / "img").write_bytes(content)
    subprocess.run([*logs.under, sys.executable, "-c", CALLS], cwd=files, check=True, timeout=HANG)
    recorded = replayed({b"x": b"", b"img": content}, files, logs, made={b"x"})
    assert {event.file for step in recorded.steps for event in step.added} == set(recorded.names)
    (files / "img").write_bytes(content)
    with pytest.raises(CannotTrace):
        verify(recorded, os.fsencode(files))


def replayed(beginning, files, logs, made=()):
    """The log of a trace, which makes the files that are there."""
    names = dict(zip(((0, 0), (0, 1)), beginning, strict=True))
    directory = os.path.realpath(os.fsencode(files))
    wanted = {os.path.join(directory, name): identity for identity, name in names.items()}
    lengths = {os.path.join(directory, n): len(data) for n, data in beginning.items() if n not in made}
    lines, _ = logs.read()
    steps = tuple(Tracer(directory, wanted, lengths).run(parse(lines)))
    recorded = Recorded(beginning, names, {}, steps, ())
    verify(recorded, directory)
    return recorded


def test_calls_of_several_threads_make_the_files_that_are_there(tmp_path, plugin):
    """Four threads write, flush, and write again where another flushes: calls overlap in every way."""
    size = 2 * CLUSTER
    scene = Scene("files", tmp_path).create(size, b"b" * 5 * CLUSTER)
    beginning = {name: scene.get(name) for name in (b"x", b"img")}
    logs = made_logs(tmp_path)
    script = f"""
import threading
def work(number):
    client = connect()
    for at in range(number * 512, {size}, {CLUSTER} // 4):
        client.pwrite(bytes([number + 1]) * 512, at)
        client.flush()
threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""
    with nbdkit(plugin, scene.path(), under=logs.under) as server:
        libnbd(server.uri, script)
        server.kill()
    assert replayed(beginning, tmp_path, logs).steps


# --- what cannot be judged


def test_file_that_is_mapped_cannot_be_judged(tmp_path):
    with pytest.raises(CannotTrace):
        judged(planted("Mapped"), BY_NAME["v10"], tmp_path)


class Helped(StdioTarget):
    """Its files are written by another process, which nobody traces."""

    def open_image(self, target, **options):
        path = target.path
        opened = super().open_image(target, **options)
        with open(os.path.join(os.path.dirname(path), b"disk.raw"), "r+b") as file:
            file.write(b"helped")
        return opened


def test_files_that_others_have_written_cannot_be_judged(tmp_path):
    with pytest.raises(CannotTrace):
        judge_traced(lambda under: Helped([*under, *REFERENCE]), BY_NAME["v10"].disk, (), tmp_path)


def test_image_that_must_not_be_is_none(tmp_path):
    load = lambda under: StdioTarget([*under, *REFERENCE])  # noqa: E731
    tally, found = judge_traced(load, Disk(Revision.V6, 1000), (Write(0, 10),), tmp_path)
    assert (tally.moments, found) == (0, None)


def test_two_requests_at_once_cannot_be_judged(tmp_path):
    with pytest.raises(UsageError):
        judged(REFERENCE, BY_NAME["v10"], tmp_path, (Race(Write(0, 512), Read(0, 512)),))


def test_module_cannot_be_traced(tmp_path):
    with pytest.raises(UsageError):
        judge_traced(lambda _: addcow_ref, Disk(), (), tmp_path)


def test_strace_that_is_not_there_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CannotTrace) as raised:
        judged(REFERENCE, BY_NAME["v10"], tmp_path)
    assert "strace" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_where_tracing_is_not_permitted(tmp_path):
    """What is traced itself cannot be traced by another: as good as a system that permits none."""
    script = """
import sys
from addcow_conformance.powerloss import CannotTrace, judge_traced
from addcow_conformance.programs import Disk
try:
    judge_traced(None, Disk(), (), sys.argv[1])
except CannotTrace as error:
    print(len(str(error).splitlines()))
"""
    command = ["strace", "-f", "-o", os.devnull, sys.executable, "-c", script, str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=HANG, check=True)
    assert result.stdout == "1\n"
