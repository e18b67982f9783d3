"""Scripts of cases with two openers: run by sh they fail as the case did, and not where nothing is wrong."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys

import pytest

from addcow_conformance.adapters._dialogue import Dialogue
from addcow_conformance.adapters._shell import shell_word
from addcow_conformance.adapters._transcript import Transcript
from addcow_conformance.results import Outcome
from addcow_conformance.suite._script import _files
from tests.conformance.command import suite
from tests.conformance.test_suite import run
from tests.repo.tree import ROOT

PYTHON = shlex.quote(sys.executable)
HERE = shlex.quote(f"{ROOT}/tests/conformance")
CARELESS = f"{PYTHON} -S -E {HERE}/careless.py"
NBD = f"{PYTHON} -S -E {HERE}/nbd_program.py {{image}} {{socket}} {{readonly:ro}}"
# Who writes here leaves a file behind, by which the next one knows that somebody writes.
STALE = """\
name = "stale"
revisions = ["v10"]
[commands]
size = '''sh -c '[ -e "$0.lock" ] && exit 1; echo 262144' {image}'''
read = "head -c {length} /dev/zero {offset} {image}"
write = '''sh -c 'cat >"$0.data"; [ "${ADDCOW_TEST_LOCKS-}" ] || : >"$0.lock"' {image} {offset} {length}'''
"""


# Names that a shell, a terminal or a text file would make something else of.
NAMES = (
    b"plain",
    b"",
    b"a b'c\"$(d)`e`\\f",
    b"-\xff",
    b"\x1b]0;'%s\\x41\x07",
    b"a\nb",
    "\u202e\u00e9".encode(),
)


def again(script, directory, **environment):
    """What a script says when it is run."""
    place = directory / "again"
    place.mkdir(exist_ok=True)
    ran = subprocess.run(
        ["sh", "-c", script],
        cwd=place,
        env=os.environ | {"TMPDIR": str(place)} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=60,
        check=False,
    )
    return ran.stdout.decode()


def script_of(case, name):
    """The script of a case in which the second opener is not told of the first."""
    result = run(f"ACW-DYN-014/v10/{case}", name=name)
    assert (result.outcome, result.broken) == (Outcome.FAIL, "ACW-DYN-014"), result
    return result.script


def both(script, directory):
    """What it says, and what it says where the implementation is right."""
    return again(script, directory), again(script, directory, ADDCOW_TEST_LOCKS="1")


def test_programs_that_are_made_up_are_shrunk_for_a_process_too():
    result = run("ACW-DYN-001/v10/models", name=f"stdio:{CARELESS} json")
    assert (result.outcome, result.broken) == (Outcome.FAIL, "ACW-DYN-011")
    assert result.program["operations"] == []


def test_over_json_lines(tmp_path):
    wrong, right = both(script_of("two-writers", f"stdio:{CARELESS} json"), tmp_path)
    assert (wrong.count('{"size": 262144}'), wrong.count('"refused"')) == (2, 0)
    assert (right.count('{"size": 262144}'), right.count('"refused"')) == (1, 1)


def test_by_the_languages_of_qemu(tmp_path):
    pair = (shlex.quote(f"{CARELESS} {what}") for what in ("img", "io"))
    name = "qemu:--qemu-img {} --qemu-io {}".format(*pair)
    wrong, right = both(script_of("two-writers", name), tmp_path)
    assert wrong.count("qemu-io> ") == right.count("qemu-io> ") + 1
    assert (wrong.count("can't open"), right.count("can't open")) == (0, 1)


@pytest.mark.system
def test_over_nbd(tmp_path):
    wrong, right = both(script_of("two-writers", f"nbd:{NBD}"), tmp_path)
    assert wrong.count("connected 4096 bytes") == 2
    assert right.count("connected 4096 bytes") == 1
    assert "ACW-DYN-014" in right


def test_by_a_command_for_each_request(tmp_path):
    template = tmp_path / "adapter.toml"
    template.write_text(STALE)
    wrong, right = both(script_of("after-closing", f"cli:{template}"), tmp_path)
    assert (wrong.count("262144"), right.count("262144")) == (1, 2)


def test_who_has_no_transcript_is_tried_by_the_suite_again():
    name = "python:tests.conformance.suite_targets:UNLOCKED"
    result = run("ACW-DYN-014/v10/two-writers", name=name)
    assert (result.outcome, result.broken) == (Outcome.FAIL, "ACW-DYN-014")
    words = shlex.split(result.script.splitlines()[-1])
    assert words[:2] == ["addcow-conformance", "run"]
    answer = suite(*words[1:], "--output", "json")
    assert [(case["case"], case["broken"]) for case in answer.document["cases"]] == [
        ("ACW-DYN-014/v10/two-writers", "ACW-DYN-014")
    ]


def test_programs_are_told_in_turns(tmp_path):
    transcript = Transcript()
    transcript.start()
    first, second, third = (Dialogue(f"sed -u s/^/{n}/", answer=".") for n in "abc")
    first.after = ["echo first is over"]
    transcript.add(first)
    first.tell("1")
    transcript.add(second)
    second.tell("2")
    first.tell("'3'")
    transcript.add("echo 4")
    first.end(killed=True)
    transcript.add(third)
    third.tell("5")
    second.tell("6")
    said = again("\n".join(transcript.lines), tmp_path).splitlines()
    told = [line.partition(": ")[2] or line for line in said if "Killed" not in line]
    assert told == ["a1", "b2", "a'3'", "4", "first is over", "c5", "b6"]
    assert os.listdir(tmp_path / "again") == []


def test_a_program_that_is_alone_reads_all_at_once(tmp_path):
    transcript = Transcript()
    transcript.start()
    first, second = (Dialogue(f"sed s/^/{n}/", answer=".") for n in "ab")
    for program in (first, second):
        transcript.add(program)
        program.tell("1")
        program.tell("2")
        program.end()
        transcript.add("echo 3")
    assert len(transcript.lines) == 4
    assert again("\n".join(transcript.lines), tmp_path).split() == ["a1", "a2", "3", "b1", "b2", "3"]


def test_words_are_what_they_were():
    words = " ".join(map(shell_word, NAMES))
    assert words.isprintable()
    said = subprocess.run(["sh", "-c", f"printf '%s/' {words}"], capture_output=True, check=True, timeout=60)
    assert said.stdout == b"".join(name + b"/" for name in NAMES)


def test_files_of_any_name_are_made_again(tmp_path):
    first, second = tmp_path / "first", tmp_path / "again"
    for place in (first, second):
        place.mkdir()
    for name in filter(None, NAMES):
        with open(os.path.join(os.fsencode(first), name), "wb") as file:
            file.write(b"data of " + name)
    os.symlink(NAMES[-2], os.path.join(os.fsencode(first), b"-link"))
    assert again("\n".join(_files(os.fsencode(first))), tmp_path) == ""

    def tree(place):
        return {path.name: (path.is_symlink(), path.read_bytes()) for path in place.iterdir()}

    assert tree(second) == tree(first)
