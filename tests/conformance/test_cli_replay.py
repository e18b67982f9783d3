"""addcow-conformance replay."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from functools import cache

import pytest
from jsonschema import Draft202012Validator

import addcow_ref
from addcow_conformance.powerloss import FAMILIES, explore
from addcow_conformance.programs import (
    Backing,
    BackingKind,
    Disk,
    Flush,
    Kill,
    PowerLoss,
    Program,
    Read,
    Reopen,
    StorageKind,
    Via,
    Write,
    dump_program,
)
from addcow_spec.model import Revision
from addcow_spec.rules import rule
from tests.conformance import variants
from tests.conformance.command import suite, suite_failed, suite_process

PATIENCE = 60
WRONG = variants.target(variants.OneFileFlush)
HEAD = '{"add-cow program": 1, "disk": {"revision": "v10", "size": 512}, '

DISK = Disk(Revision.V10, 4096, Backing(BackingKind.RAW, 3000))
STEPS = (Write(0, 700), Reopen(via=Via.SYMLINK), Read(100, 1000), Flush(), Kill())


class Forgetful:
    """Loses what is written to the second sector."""

    create_image = staticmethod(addcow_ref.create_image)

    @staticmethod
    def open_image(storage, **options):
        image = addcow_ref.open_image(storage, **options)
        write = image.write
        image.write = lambda offset, data, **more: None if offset == 512 else write(offset, data, **more)
        return image


class Refusing:
    """Makes no image."""

    open_image = staticmethod(addcow_ref.open_image)

    @staticmethod
    def create_image(*_, **__):
        raise ValueError("no\n\x1b[2J")


FORGETFUL = f"python:{__name__}:Forgetful"
REFUSING = f"python:{__name__}:Refusing"


@cache
def validator():
    return Draft202012Validator(json.loads(suite("replay", "--schema").output))


@pytest.fixture
def keep(tmp_path):
    """Writes a program into a file."""

    def write(program, name="program.json"):
        path = tmp_path / name
        path.write_text(dump_program(program))
        return path

    return write


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """Where temporary directories are made."""
    path = tmp_path / "temporary"
    path.mkdir()
    monkeypatch.setattr("tempfile.tempdir", os.fspath(path))
    return path


def document(*arguments, status):
    answer = suite("replay", "--output", "json", *arguments)
    assert answer.status == status, answer
    validator().validate(answer.document)
    return answer.document["programs"]


@pytest.mark.parametrize("storage", StorageKind)
def test_program_that_breaks_no_rule(keep, temporary, storage):
    path = keep(Program(DISK, STEPS, storage))
    answer = suite("replay", path)
    assert (answer.status, answer.errors) == (0, "")
    assert answer.output.startswith(f"ok: {path}\n")
    (run,) = document(path, status=0)
    assert (run["outcome"], run["violation"], run["problem"]) == ("ok", None, None)
    assert (run["program"]["storage"], run["program"]["operations"]) == (storage, 5)
    assert bytes.fromhex(run["file-hex"]) == os.fsencode(path)
    assert suite("replay", "-q", path) == (0, "", "")
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("storage", StorageKind)
def test_violation_tells_its_step(keep, temporary, storage):
    steps = (Flush(), Write(0, 100), Write(512, 100), Flush())
    path = keep(Program(DISK, steps, storage, rule="ACW-BMP-001"))
    for more in ((), ("-q",)):
        answer = suite("replay", *more, "--target", FORGETFUL, path)
        assert (answer.status, answer.errors) == (77, "")
        assert answer.output.startswith(f"violated: {path}\n")
        marked = [line.split() for line in answer.output.splitlines() if line.lstrip().startswith(">")]
        assert [words[1] for words in marked] == ["3"]
        assert "write 100 bytes at 512" in answer.output
        assert "ACW-BMP-001" in answer.output
    (run,) = document("--target", FORGETFUL, path, status=77)
    found = run["violation"]
    assert (found["step"], found["operation"], found["order"]) == (3, "write 100 bytes at 512, pattern 1", [])
    assert found["title"] == rule(found["rule"]).title
    assert list(temporary.iterdir()) == []


def test_violation_of_the_creation(keep):
    path = keep(Program(DISK, STEPS))
    (run,) = document("--target", REFUSING, path, status=77)
    found = run["violation"]
    assert (found["rule"], found["step"], found["operation"]) == ("ACW-DYN-010", 0, None)
    shown = suite("replay", "--target", REFUSING, path).output
    assert all(line.isprintable() for line in shown.splitlines())


@pytest.fixture(scope="module")
def lost():
    family = next(family for family in FAMILIES if family.name == "v6")
    return explore(target=WRONG, families=[family], operations=1).found[0]


def test_loss_of_power(keep, lost):
    path = keep(lost.program)
    answer = suite("replay", "--target", WRONG, path)
    assert (answer.status, answer.errors) == (77, "")
    for text in (lost.rule, rule(lost.rule).title, *lost.order):
        assert text in answer.output
    (run,) = document("--target", WRONG, path, status=77)
    assert run["program"]["power-loss"] is True
    assert tuple(run["violation"]["order"]) == lost.order
    assert (run["violation"]["step"], run["violation"]["as-told"]) == (None, True)
    assert len(run["violation"]["operations"]) == 1
    (run,) = document(path, status=0)
    assert run["outcome"] == "ok"


def test_rule_that_is_broken_before_the_power_is_lost(keep, lost):
    path = keep(lost.program)
    (run,) = document("--target", REFUSING, path, status=77)
    assert (run["violation"]["step"], run["violation"]["order"]) == (0, [])


def test_state_that_an_implementation_does_not_have(keep, lost):
    path = keep(lost.program._replace(power_loss=PowerLoss(99, {}, {})))
    (run,) = document(path, status=0)
    assert run["outcome"] == "ok"
    (run,) = document("--target", WRONG, path, status=77)
    assert (run["violation"]["as-told"], run["violation"]["rule"]) == (False, lost.rule)
    assert set(lost.order) < set(
        suite("replay", "--target", WRONG, path).output.replace("    ", "").split("\n")
    )


def test_long_program_is_told_in_part(keep):
    path = keep(Program(DISK, (*[Flush()] * 500, Write(512, 9))))
    shown = suite("replay", "--target", FORGETFUL, path).output.splitlines()
    assert len(shown) < 250
    assert any(line.lstrip().startswith("> 501 ") for line in shown)


def test_the_worst_of_several_counts(keep, tmp_path, lost):
    good, bad = keep(Program(DISK, STEPS), "good"), keep(lost.program, "bad")
    (tmp_path / "none").write_text("{}")
    paths = {"good": good, "bad": bad, "none": tmp_path / "none", "absent": tmp_path / "absent"}
    for names, status in (
        (["good", "good"], 0),
        (["bad", "good"], 77),
        (["bad", "none", "good"], 64),
        (["none", "bad", "absent", "good"], 1),
    ):
        answer = suite("replay", "--target", WRONG, *(paths[name] for name in names))
        assert answer.status == status
        assert answer.errors.count("\n") == len({"none", "absent"} & set(names))
        assert answer.output.count("ok: ") == names.count("good")
        runs = document("--target", WRONG, *(paths[name] for name in names), status=status)
        assert [os.path.basename(run["file"]) for run in runs] == names


BAD_FILES = {
    "empty": b"",
    "not-json": b"QFI\xfb",
    "not-utf-8": b'{"\xff": 1}',
    "number": b"1",
    "deep": b"[" * 200_000,
    "digits": b"9" * 10_000,
    "version": HEAD.replace("1", "2", 1).encode() + b'"operations": []}',
    "unknown": HEAD.encode() + b'"operations": [{"do": "burn"}]}',
    "member": HEAD.encode() + b'"operations": [], "\\u001b[2J\\ud800": 1}',
    "negative": HEAD.encode() + b'"operations": [{"do": "read", "offset": -1, "length": 1}]}',
    "float": HEAD.encode() + b'"operations": [{"do": "read", "offset": 1e3, "length": 1}]}',
    "huge": HEAD.replace("512", "999999999999999").encode() + b'"operations": []}',
    "long": b" " * (17 << 20),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_file_that_is_no_program_is_64(tmp_path, name):
    path = tmp_path / f"{name}.json"
    path.write_bytes(BAD_FILES[name])
    assert f"{name}.json: program: " in suite_failed("replay", path, status=64)
    (run,) = document(path, status=64)
    assert (run["outcome"], run["program"]) == ("no-program", None)


def test_endless_file_is_64():
    suite_failed("replay", "/dev/zero", status=64)


@pytest.mark.parametrize("name", [b"absent", b"dir", b"absent/x", b"\xff\n\x1b[2J", b"socket", b"a" * 300])
def test_file_that_cannot_be_read_is_1(tmp_path, name):
    if name == b"dir":
        (tmp_path / "dir").mkdir()
    suite_failed("replay", os.path.join(os.fsencode(tmp_path), name), status=1)
    (run,) = document(os.path.join(os.fsencode(tmp_path), name), status=1)
    assert run["outcome"] == "unreadable"
    assert run["file"].isprintable()


def test_hostile_name_is_made_fit_to_be_shown(keep, tmp_path):
    path = os.path.join(os.fsencode(tmp_path), b"\xff\n::error::\x1b[2J")
    os.rename(keep(Program(DISK)), path)
    answer = suite("replay", path)
    assert answer.status == 0
    assert len(answer.output.splitlines()) == 3
    assert all(line.isprintable() for line in answer.output.splitlines())
    (run,) = document(path, status=0)
    assert bytes.fromhex(run["file-hex"]) == path


def test_fifo_that_nobody_writes_to_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    suite_failed("replay", tmp_path / "fifo", status=64)


def test_fifo_that_somebody_writes_to():
    reader, writer = os.pipe()
    text = dump_program(Program(DISK)) + "\n" * (1 << 20)
    thread = threading.Thread(target=lambda: (os.write(writer, text.encode()), os.close(writer)))
    thread.start()
    with suite_process("replay", f"/dev/fd/{reader}", pass_fds=[reader]) as process:
        _, errors = process.communicate(timeout=PATIENCE)
    thread.join()
    os.close(reader)
    assert (process.returncode, errors) == (0, b"")


def test_standard_input():
    text = dump_program(Program(DISK, STEPS)).encode()
    with suite_process("replay", "-", stdin=subprocess.PIPE) as process:
        output, errors = process.communicate(text, timeout=PATIENCE)
    assert (process.returncode, errors) == (0, b"")
    assert output.startswith(b"ok: standard input\n")
    with suite_process("replay", "-") as process:
        _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 64
    assert errors.count(b"\n") == 1


def test_a_name_that_looks_like_an_option(keep, tmp_path, monkeypatch):
    keep(Program(DISK), "-x.json")
    monkeypatch.chdir(tmp_path)
    assert suite("replay", "--", "-x.json").status == 0


def test_a_target_that_ends_the_program_is_70(keep, tmp_path, monkeypatch, temporary):
    (tmp_path / "leaving.py").write_text(
        "from addcow_ref import create_image\ndef open_image(*a, **k): raise SystemExit(0)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "leaving", raising=False)
    path = keep(Program(DISK, STEPS, StorageKind.FILES))
    suite_failed("replay", "--target", "python:leaving", path, status=70)
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize(("number", "status"), [(2, 130), (15, 143)])
def test_a_signal_leaves_no_directory(keep, tmp_path, temporary, number, status):
    (tmp_path / "stopped.py").write_text(
        "from addcow_ref import create_image\nimport os, time\n"
        f"def open_image(*a, **k):\n    os.kill(os.getpid(), {number})\n    time.sleep({PATIENCE})\n"
    )
    path = keep(Program(DISK, STEPS, StorageKind.FILES))
    environment = os.environ | {"TMPDIR": os.fspath(temporary)}
    with suite_process(
        "replay", "--target", "python:stopped", path, cwd=tmp_path, env=environment
    ) as process:
        output, errors = process.communicate(timeout=PATIENCE)
    assert (process.returncode, output, errors) == (status, b"", b"")
    assert list(temporary.iterdir()) == []
