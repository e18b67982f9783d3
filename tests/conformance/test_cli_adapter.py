"""Sessions by a template of commands: the example, and templates and programs that are wrong."""

from __future__ import annotations

import os

import pytest

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
from addcow_spec.errors import (
    AdapterError,
    CannotStart,
    Crashed,
    InvalidImage,
    ProtocolViolation,
    SanitizerReport,
    TimedOut,
    UsageError,
)
from addcow_spec.model import Revision
from tests.conformance.by_path import SIZE, done_again, find_commands, opened, outcomes, refused
from tests.conformance.command import suite
from tests.repo.tree import ROOT

EXAMPLE = f"cli:{ROOT / 'conformance/examples/cli-addcow-img/adapter.toml'}"
ZEROS = "'sh -c \"head -c $2 /dev/zero\" {image} {offset} {length}'"
SOUND = {
    "name": "'mine'",
    "revisions": "['v10']",
    "commands.size": "'sh -c \"echo 1024\" {image}'",
    "commands.read": "'head -c {length} /dev/zero {offset} {image}'",
}


@pytest.fixture(autouse=True)
def installed(monkeypatch):
    find_commands(monkeypatch)


@pytest.fixture(scope="module")
def example():
    with pytest.MonkeyPatch.context() as patch:
        find_commands(patch)
        with load_target(EXAMPLE) as target:
            yield target


@pytest.fixture
def written(tmp_path):
    """Writes a template, and gives the name of its target."""

    def write(**changed):
        lines = SOUND | {key.replace("__", "."): value for key, value in changed.items()}
        path = tmp_path / "adapter.toml"
        path.write_text("\n".join(f"{key} = {value}" for key, value in lines.items() if value) + "\n")
        return f"cli:{path}"

    return write


# --- the example


@pytest.mark.parametrize(("revision", "kind"), [("v6", BackingKind.CHAIN), ("v10", BackingKind.QCOW2)])
def test_the_example_drives_addcow_img(example, revision, kind, tmp_path):
    program = [
        Write(65_000, 700, fua=True),
        Read(SIZE, 1),
        Zeroes(512, 70_000),
        Resize(0),
        Reopen(via=Via.DIRECTORY),
        Reopen(writable=False),
        Write(0, 1),
        Kill(),
        Stream(),
        Flush(),
    ]
    disk = Disk(Revision(revision), SIZE, Backing(kind, 100_000))
    done = outcomes(example, disk, tmp_path, program)
    assert refused(done) == {Read(SIZE, 1), Write(0, 1)}
    assert "skipped" not in done.values()


def test_what_the_example_says(example):
    assert is_external(example)
    assert example.about.name == "addcow-img"
    assert set(example.about.revisions) == set(Revision)
    assert example.abilities == {
        *("create", "write", "zeroes", "resize", "stream", "directory", "backing-qcow2", "backing-add-cow"),
    }


def test_smoke():
    assert suite("smoke", EXAMPLE).status == 0


def test_a_refusal_names_its_rule_where_it_is_said(example, tmp_path):
    with pytest.raises(InvalidImage) as caught:
        opened(example, tmp_path / "broken.add-cow", b"no image" * 1000, Revision.V6)
    assert caught.value.rule == "ACW-HDR-001"


def test_the_script_does_it_again(example, tmp_path):
    once, again = done_again(example, [Write(65_000, 700), Zeroes(0, 512), Reopen()], tmp_path)
    assert once == again


# --- templates


def test_a_template_with_the_least_that_there_must_be(written):
    with load_target(written()) as target:
        assert target.abilities == {"directory"}


@pytest.mark.parametrize(
    "changed",
    [
        {"name": ""},
        {"name": "''"},
        {"name": "1"},
        {"revisions": "[]"},
        {"revisions": "['v5']"},
        {"revisions": "[['v10']]"},
        {"revisions": "'v10'"},
        {"backing": "['vmdk']"},
        {"colour": "'red'"},
        {"commands__size": ""},
        {"commands__size": "'size'"},
        {"commands__size": "1"},
        {"commands__size": "''"},
        {"commands__size": "'{image}'"},
        {"commands__size": "'a \"b {image}'"},
        {"commands__size": "'size {image} {offset}'"},
        {"commands__size": "'size {image} {nothing}'"},
        {"commands__read": "'read {image} {offset}'"},
        {"commands__write": "'write {image}'"},
        {"commands__create": "'create {image} {image_file}'"},
        {"commands__erase": "'erase {image}'"},
        {"name": "= ="},
    ],
)
def test_templates_that_mean_nothing(written, changed):
    with pytest.raises(UsageError) as caught:
        load_target(written(**changed))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [None, b"\xff\xfe", b"commands = 1\nname = 'a'\nrevisions = ['v10']\n"])
def test_files_that_are_no_templates(tmp_path, content):
    path = tmp_path / "adapter.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError):
        load_target(f"cli:{path}")


def test_what_has_no_end_is_no_template(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    for path in ("/dev/zero", tmp_path / "fifo", tmp_path):
        with pytest.raises(UsageError):
            load_target(f"cli:{path}")


def test_a_program_that_is_not_there(written):
    with pytest.raises(CannotStart):
        load_target(written(commands__size="'there-is-no-such-program {image}'"))


# --- programs


def test_places_within_words_and_names_with_spaces(written, tmp_path):
    name = written(
        commands__size='\'printf "77%.0s" "<{revision} {image}>"\'',
        commands__read="'sh -c \"echo $1,$2,$3,$0\" {here} {image} {offset} {length}'",
    )
    with load_target(name) as target:
        image = opened(target, tmp_path / "a b.add-cow", writable=True)
        assert image.size == 77
        assert image.read(3, 4) == f"{tmp_path}/a b.add-cow,3,4,{tmp_path}\n".encode()


@pytest.mark.parametrize(
    ("command", "error"),
    [
        ("kill -SEGV $$", Crashed),
        ("sleep 60", TimedOut),
        ("yes", ProtocolViolation),
        ("yes >&2", TimedOut),
        ("yes >&2 & exit 3", InvalidImage),
        ("echo 'SUMMARY: AddressSanitizer: x' >&2; sleep 60", SanitizerReport),
        ("echo 'SUMMARY: AddressSanitizer: x' >&2", SanitizerReport),
        ("echo 1 byte", ProtocolViolation),
        ("exit 3", InvalidImage),
    ],
)
def test_no_answer_is_no_refusal(written, command, error, tmp_path):
    name = written(commands__size=f"""'''sh -c "{command}" {{image}}'''""")
    # Only what a program says before it falls silent has to come in time.
    timeout = 0.5 if error is TimedOut else 3.0 if "sleep" in command else 60.0
    with load_target(name, timeout=timeout) as target:
        with pytest.raises((AdapterError, InvalidImage)) as caught:
            opened(target, tmp_path / "a b.add-cow", writable=True)
        assert type(caught.value) is error


def test_a_program_that_reads_no_data_and_one_that_shows_too_few(written, tmp_path):
    name = written(
        commands__write="'true {image} {offset}'", commands__read="'echo {image} {offset} {length}'"
    )
    with load_target(name) as target:
        image = opened(target, tmp_path / "a b.add-cow", writable=True)
        image.write(0, bytes(1 << 20))
        assert len(image.read(0, 1000)) < 1000


def test_a_fault_is_found_with_its_rule(written, tmp_path):
    directory = tmp_path / "disk"
    directory.mkdir()
    with load_target(written(commands__size="'sh -c \"echo 512\" {image}'", commands__read=ZEROS)) as target:
        with pytest.raises(Violation) as caught:
            Session(Disk(Revision.V10, 512, Backing(BackingKind.RAW, 512)), target, directory=directory)
        assert caught.value.rule == "ACW-DYN-001"
