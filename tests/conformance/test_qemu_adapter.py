"""Sessions by qemu-img's and qemu-io's languages: addcow-img, tools of 2011, and tools with faults."""

from __future__ import annotations

import os
import shlex
import signal
import sys
from pathlib import Path

import pytest

from addcow_conformance.adapters import _qemu_img, qemu
from addcow_conformance.programs import (
    Backing,
    BackingKind,
    Disk,
    Flush,
    Kill,
    Read,
    Reopen,
    Resize,
    Session,
    Stream,
    Via,
    Violation,
    Write,
    Zeroes,
)
from addcow_conformance.targets import is_external, load_target
from addcow_ref import FileStorage
from addcow_spec.errors import (
    AdapterError,
    CannotStart,
    Crashed,
    InvalidImage,
    ProtocolViolation,
    SanitizerReport,
    StorageError,
    TimedOut,
    UsageError,
)
from addcow_spec.model import Revision
from tests.conformance.by_path import DISK, SIZE, done_again, opened, outcomes, refused
from tests.conformance.command import suite
from tests.repo.tree import ROOT

ADDCOW_IMG = shlex.quote(str(Path(sys.executable).with_name("addcow-img")))
OLD = shlex.join([sys.executable, str(ROOT / "tests/conformance/old_qemu.py")])
PROGRAM = [
    Write(65_000, 700, fua=True),
    Write(SIZE, 1),
    Resize(SIZE - 512),
    Resize(0),
    Resize(SIZE),
    Flush(),
    Reopen(via=Via.DIRECTORY),
    Reopen(writable=False),
    Write(0, 1),
    Stream(),
    Kill(),
]

# What each of these is done with; the tools of 2011 cannot stream.
REFUSED = {Write(SIZE, 1), Write(0, 1), Stream()}


def addcow_img(*revisions):
    chosen = [word for revision in revisions for word in ("--revision", revision)]
    return "qemu:" + shlex.join(
        [
            "--qemu-img",
            f"{ADDCOW_IMG} {{command}} --revision {{revision}}",
            f"--qemu-io={ADDCOW_IMG} io --revision {{revision}}",
            *chosen,
        ]
    )


def old(revision, fault=""):
    tool = f"env ADDCOW_TEST_FAULT={fault} {OLD}"
    words = ["--qemu-img", f"{tool} img {{revision}}", "--qemu-io", f"{tool} io {{revision}}"]
    return "qemu:" + shlex.join([*words, "--revision", revision])


@pytest.fixture(scope="module")
def ours():
    with load_target(addcow_img(*Revision)) as target:
        yield target


@pytest.fixture(scope="module")
def olds():
    with load_target(old("v6")) as target:
        yield target


# --- right ones


@pytest.mark.parametrize(
    ("revision", "kind"), [("v4", BackingKind.CHAIN), ("v6", BackingKind.QCOW2), ("v10", BackingKind.RAW)]
)
def test_addcow_img_is_such_a_pair(ours, revision, kind, tmp_path):
    disk = Disk(Revision(revision), SIZE, Backing(kind, 100_000))
    done = outcomes(ours, disk, tmp_path, [*PROGRAM, Zeroes(512, 70_000, fua=True)])
    assert refused(done) == REFUSED
    assert "skipped" not in done.values()


def test_what_is_seen_of_addcow_img(ours):
    assert is_external(ours)
    assert ours.abilities == {
        *("create", "write", "zeroes", "fua", "resize", "extents", "stream", "info", "directory"),
        *("backing-qcow2", "backing-add-cow"),
    }
    assert ours.about.name == "addcow-img"
    assert ours.about.revisions == tuple(Revision)


def test_the_words_that_the_documents_have():
    name = "qemu:" + shlex.join(
        ["--qemu-img", ADDCOW_IMG, "--qemu-io", f"{ADDCOW_IMG} io", "--format", "add-cow"]
    )
    assert suite("smoke", name).status == 0


def test_a_written_program_is_replayed():
    program = ROOT / "corpora/regressions/programs"
    file = next(path for path in sorted(program.rglob("*.json")))
    assert suite("replay", "--target", addcow_img("v10", "v6", "v4"), file).status == 0


def test_info_and_names_with_commas_and_spaces(ours, tmp_path):
    (tmp_path / "disk, one.raw").write_bytes(bytes(1000))
    (tmp_path / "base,, .raw").write_bytes(b"base")
    path = tmp_path / "a disk.add-cow"
    path.touch()
    ours.create_image(
        FileStorage.open_path(os.fsencode(path), writable=True),
        b"disk, one.raw",
        backing_file=b"base,, .raw",
        backing_format="raw",
        revision=Revision.V10,
    )
    image = ours.open_image(
        FileStorage.open_path(os.fsencode(path)), writable=False, revision=Revision.V10, cache_size=0
    )
    assert image.info() == {
        "size": 1000,
        "revision": "v10",
        "image_file": "disk, one.raw",
        "backing_file": "base,, .raw",
    }
    assert image.read(0, 6) == b"base\0\0"
    image.close()


def test_tools_of_2011(olds, tmp_path):
    assert olds.abilities == {
        *("create", "write", "resize", "directory", "backing-qcow2", "backing-add-cow"),
    }
    assert (olds.about.name, olds.about.version) == ("qemu-img", "0.15.0")
    done = outcomes(olds, DISK._replace(revision=Revision.V6), tmp_path, PROGRAM)
    assert refused(done) == REFUSED - {Stream()}
    assert {operation for operation, outcome in done.items() if outcome == "skipped"} == {Stream()}


def test_the_text_of_info():
    text = (
        b"image: a\nfile format: add-cow\nvirtual size: 64K (65536 bytes)\ndisk size: 4.0K\n"
        b"cluster_size: 65536\nbacking file: b (1).raw (actual path: /x/b (1).raw)\nimage file: c\n"
    )
    assert _qemu_img._from_text(text) == (65536, "c", "b (1).raw", None)
    assert _qemu_img._from_text(b"virtual size: 64K") is None
    for wrong in (b"", b"[]", b"{}", b'{"virtual-size": -1}', b'{"virtual-size": "1"}', b"[" * 100_000):
        assert _qemu_img._from_json(wrong) is None


# --- wrong ones


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("crashes", Crashed),
        ("ends", Crashed),
        ("hangs", TimedOut),
        ("chatters", ProtocolViolation),
        ("sanitizer", SanitizerReport),
        ("short-dump", ProtocolViolation),
    ],
)
def test_no_answer_is_no_refusal_and_nothing_is_left(fault, error, tmp_path):
    disk = Disk(Revision.V6, 1024)
    with (
        load_target(old("v6", fault), timeout=60.0) as target,
        Session(disk, target, directory=tmp_path, comparing=False) as session,
    ):
        assert session.image._io._timeout == 60.0
        if error is TimedOut:  # nothing has to come in time any more
            session.image._io._timeout = 0.5
        process = session.image._io._child._process
        with pytest.raises(AdapterError) as caught:
            session.run([Write(0, 512), Read(0, 512)])
        assert type(caught.value) is error
        with pytest.raises(ProcessLookupError):
            os.killpg(process.pid, 0)


@pytest.mark.parametrize(
    ("fault", "rule"), [("lost-writes", "ACW-DYN-001"), ("makes-nothing", "ACW-DYN-010")]
)
def test_a_fault_is_found_with_its_rule(fault, rule, tmp_path):
    with load_target(old("v6", fault)) as target:
        with pytest.raises(Violation) as caught:
            outcomes(target, Disk(Revision.V6, 1024), tmp_path, [Write(0, 512)])
        assert caught.value.rule == rule


@pytest.mark.parametrize("name", ["ours", "olds"])
def test_a_refusal_names_its_rule_where_it_is_said(name, request, tmp_path):
    target = request.getfixturevalue(name)
    with pytest.raises(InvalidImage) as caught:
        opened(target, tmp_path / "broken.add-cow", b"no image" * 1000, Revision.V6)
    assert caught.value.rule == ("ACW-HDR-001" if name == "ours" else "")


def test_a_tool_of_2011_that_opens_nothing_refuses(tmp_path, monkeypatch):
    # Its qemu-img says what the image is, and its qemu-io then cannot open it, and goes on.
    (tmp_path / "disk.raw").write_bytes(bytes(512))
    with load_target(old("v6")) as target:
        monkeypatch.setattr(target._img, "info", lambda _: _qemu_img.Facts(512, None, None, None))
        with pytest.raises(InvalidImage):
            opened(target, tmp_path / "none.add-cow", revision=Revision.V6)


def test_a_request_that_fails_within_the_disk_is_an_error(ours, tmp_path):
    with Session(DISK, ours, directory=tmp_path) as session:
        session.image.size += 512
        with pytest.raises(StorageError):
            session.image.read(SIZE, 512)


def test_a_kill_is_sigkill_to_the_process_that_has_the_image(ours, tmp_path):
    with Session(DISK, ours, directory=tmp_path) as session:
        session.run([Write(0, 512), Flush(), Write(66_000, 512)])
        process = session.image._io._child._process
        session.step(Kill())
        assert process.returncode == -signal.SIGKILL


@pytest.mark.parametrize(
    "options",
    [
        "--nothing x",
        "--qemu-img",
        "--qemu-img ''",
        "--qemu-io '\"'",
        "'",
        "--revision v5",
        "--without write",
        "x",
    ],
)
def test_options_that_mean_nothing(options):
    with pytest.raises(UsageError) as caught:
        load_target(f"qemu:{options}")
    assert "\n" not in str(caught.value)


def test_what_is_taken_back():
    with load_target(old("v6") + " --without backing-qcow2") as target:
        assert "backing-qcow2" not in target.abilities
        assert "backing-add-cow" in target.abilities


@pytest.mark.parametrize("img", ["there-is-no-such-program", "cat"])
def test_programs_that_are_none(img):
    with pytest.raises(CannotStart):
        load_target(f"qemu:--qemu-img {img}")


# --- what was done


def test_the_script_does_it_again(ours, tmp_path):
    operations = [Write(65_000, 700), Zeroes(0, 512), Flush(), Write(7, 9), Reopen()]
    once, again = done_again(ours, operations, tmp_path)
    assert once == again


def test_programs_run_under_another(tmp_path):
    log = tmp_path / "log"
    under = tmp_path / "under"
    under.write_text(f'#!/bin/sh\necho "$*" >>{log}\nexec "$@"\n')
    under.chmod(0o755)
    directory = tmp_path / "disk"
    directory.mkdir()
    with qemu.load(old("v6").removeprefix("qemu:"), timeout=30, under=[str(under)]) as target:
        log.write_text("")
        outcomes(target, Disk(Revision.V6, 1024), directory, [Write(0, 1)])
        assert all(f" {part} " in log.read_text() for part in ("create", "info", "io"))
        assert str(under) not in "".join(target.transcript.lines)
