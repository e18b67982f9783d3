"""The protocol: tables, schema and document say the same, and programs keep to it."""

from __future__ import annotations

import io
import json
import re
import shlex
import shutil
import subprocess
import sys

import pytest
from jsonschema import Draft202012Validator

from addcow_conformance.adapters.reference import ReferenceProgram
from addcow_conformance.adapters.stdio import StdioTarget
from addcow_conformance.programs import (
    Disk,
    Flush,
    Kill,
    Read,
    Reopen,
    Resize,
    Session,
    Stream,
    Write,
    Zeroes,
)
from addcow_conformance.protocol import (
    CAPABILITIES,
    LARGEST_DATA,
    LARGEST_NUMBER,
    LONGEST_LINE,
    REQUESTS,
    RESULTS,
    Validator,
    check_answer,
    check_request,
    check_result,
    decode_line,
    encode_line,
    protocol_schema,
    serve,
)
from addcow_spec.errors import ProtocolViolation, UsageError
from addcow_spec.model import Revision
from tests.conformance.stdio_programs import NODE, REFERENCE
from tests.repo.tree import ROOT

CONTRACT = (ROOT / "conformance/PROTOCOL.md").read_text()
SCHEMA = protocol_schema()

EXTENT = {"start": 0, "length": 1, "depth": 0, "present": True, "zero": False}
GOOD_REQUESTS = {
    "start": {"protocol": 1},
    "create": {
        "path": "/a",
        "image_file": "b",
        "backing_file": None,
        "backing_format": "raw",
        "revision": "v6",
    },
    "open": {"path": "a", "directory": "/b", "writable": True, "revision": "v10"},
    "read": {"offset": 0, "length": LARGEST_DATA},
    "write": {"offset": LARGEST_NUMBER, "data": "aGk=", "fua": False},
    "zeroes": {"offset": 0, "length": 5 << 30, "unmap": True, "fua": True},
    "flush": {},
    "extents": {"offset": 0, "length": 0},
    "info": {},
    "resize": {"size": 512},
    "stream": {"length": None},
    "close": {},
    "kill": {},
}
GOOD_RESULTS = {
    "start": {
        "protocol": 1,
        "name": "a",
        "version": "",
        "language": "",
        "homepage": "",
        "issues": "",
        "revisions": ["v4", "v10"],
        "capabilities": list(CAPABILITIES),
    },
    "create": {},
    "open": {"size": 0},
    "read": {"data": ""},
    "write": {},
    "zeroes": {},
    "flush": {},
    "extents": {"extents": [EXTENT]},
    "info": {"size": 0, "revision": "v10", "image_file": "a", "backing_file": "b"},
    "resize": {"size": 0},
    "stream": {"complete": False},
    "close": {},
    "kill": {},
}
# Values that are right in some places and wrong in most.
VALUES = [
    None, True, 0, 1, -1, 2, LARGEST_NUMBER, LARGEST_NUMBER + 1, LARGEST_DATA + 1, 0.5,
    "", "a", "\0", "\udc80", "v10", "v5", "raw", "aGk", "aGk=", "a===", "aaaa aaaa", "ACW-DYN-001",
    "a" * 65536, "a" * 65537,
    [], ["v4"], ["v4", "v4"], ["write"], [EXTENT], [EXTENT | {"length": 0}], [EXTENT | {"more": 1}],
    {}, {"reason": ""}, {"reason": "", "rule": "ACW-DYN-001"}, {"reason": "", "rule": "DYN"},
    {"rule": "ACW-DYN-001"},
]  # fmt: skip


def changed(message):
    """The message; without each member; with each value in its place; with one more."""
    yield message
    yield message | {"more": 1}
    for name in message:
        yield {other: value for other, value in message.items() if other != name}
        for value in VALUES:
            yield message | {name: value}


def part(name):
    return Draft202012Validator({"$ref": f"#/$defs/{name}", "$defs": SCHEMA["$defs"]})


def takes(check, *arguments):
    try:
        check(*arguments)
    except ProtocolViolation:
        return False
    return True


def test_the_schema_is_one():
    Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("do", REQUESTS)
def test_tables_and_schema_agree_on_requests(do):
    schema = part("request")
    message = {"seq": "1", "do": do, **GOOD_REQUESTS[do]}
    assert check_request(message) == do
    for variant in changed(message):
        assert takes(check_request, variant) == schema.is_valid(variant), variant


@pytest.mark.parametrize("do", RESULTS)
def test_tables_and_schema_agree_on_results(do):
    schema = part(f"result-{do}")
    check_result(do, GOOD_RESULTS[do])
    for variant in [*changed(GOOD_RESULTS[do]), *VALUES]:
        assert takes(check_result, do, variant) == schema.is_valid(variant), variant


def test_tables_and_schema_agree_on_answers():
    schema = part("answer")
    sound = [
        {"seq": "1", "result": {}},
        {"seq": "1", "refused": {"reason": "", "rule": "ACW-DYN-001"}},
        {"seq": "1", "error": "no"},
    ]
    for message in sound:
        check_answer(message)
        for variant in changed(message):
            if "result" not in variant or type(variant["result"]) is dict:
                assert takes(check_answer, variant) == schema.is_valid(variant), variant


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\n",
        b"{}",
        b"[]\n",
        b"1\n",
        b"{\n",
        b'{"a": NaN}\n',
        b'{"a": -Infinity}\n',
        b'{"a": 1, "a": 1}\n',
        b'{"a": {"b": 1, "b": 2}}\n',
        b'{"a": "\xff"}\n',
        b"\xef\xbb\xbf{}\n",
        b'{"a": ' + b"[" * 100_000 + b"\n",
        b'{"a": ' + b"1" * 10_000 + b"}\n",
        b'{"a": "' + b"x" * LONGEST_LINE + b'"}\n',
    ],
    ids=lambda line: repr(line[:12]),
)
def test_lines_that_are_no_message(line):
    with pytest.raises(ProtocolViolation):
        decode_line(line)


def test_lines_and_back():
    message = {"seq": "1", "do": "open", "path": "a\u2028\n\x01\U0001f404"}
    line = encode_line(message)
    assert (line.count(b"\n"), decode_line(line)) == (1, message)


# --- the other end


def served(*requests, handlers=None):
    answers = io.BytesIO()
    serve(
        ReferenceProgram().handlers if handlers is None else handlers,
        io.BytesIO(b"".join(map(encode_line, requests))),
        answers,
    )
    found = [decode_line(line) for line in answers.getvalue().splitlines(keepends=True)]
    return {message["seq"]: check_answer(message)[1] for message in found}


def test_what_is_no_request_is_answered_by_an_error():
    good = {"seq": "1", "do": "start", "protocol": 1}
    wrong = [
        {"seq": "2", "do": "nothing"},
        {"seq": "3"},
        {"seq": "4", "do": "kill"},
        good | {"seq": "5", "more": 1},
        {"seq": "6", "do": "read", "offset": 0, "length": 0},
    ]
    assert served(good, *wrong) == {"1": "result"} | {message["seq"]: "error" for message in wrong}


@pytest.mark.parametrize("request_", [{}, {"do": "start"}, {"seq": 1, "do": "start"}])
def test_what_cannot_be_answered_is_not(request_):
    with pytest.raises(ProtocolViolation):
        served(request_)


def test_handlers_may_raise():
    def refuse(_):
        raise UsageError("no", rule="ACW-DYN-007")

    def fail(_):
        raise ZeroDivisionError

    requests = [{"seq": do, "do": do} for do in ("flush", "info")]
    assert served(*requests, handlers={"flush": refuse, "info": fail}) == {
        "flush": "refused",
        "info": "error",
    }


def test_a_line_that_is_no_request_ends_the_program():
    done = subprocess.run(REFERENCE, input=b"hello\n", capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("revision", Revision)
def test_every_message_of_a_real_dialogue_is_as_the_schema_has_it(revision, tmp_path):
    steps = [Write(0, 700), Read(0, 9), Zeroes(1, 9), Flush(), Resize(512), Stream(), Reopen(), Kill()]
    with (
        StdioTarget(REFERENCE, validate=True) as target,
        Session(Disk(revision, 4096), target, directory=tmp_path) as session,
    ):
        assert session.image.info()["revision"] == revision
        assert {session.step(step).outcome for step in steps} == {"done"}
        assert session.step(Read(0, 1 << 20)).outcome == "refused"


def test_the_validator_says_what_is_wrong():
    validator = Validator()
    validator.request({"seq": "1", "do": "flush"})
    with pytest.raises(ProtocolViolation):
        validator.request({"seq": "1", "do": "flush", "more": 1})
    validator.answer("open", {"seq": "1", "result": {"size": 1}})
    with pytest.raises(ProtocolViolation):
        validator.answer("open", {"seq": "1", "result": {"size": -1}})


# --- the contract


def dialogue():
    """The requests and answers that the contract shows."""
    (block,) = re.findall(r"^```dialogue\n(.*?)^```$", CONTRACT, re.DOTALL | re.MULTILINE)
    lines = block.splitlines()
    assert [line[:2] for line in lines] == ["> ", "< "] * (len(lines) // 2)
    return [json.loads(line[2:]) for line in lines[::2]], [json.loads(line[2:]) for line in lines[1::2]]


def talk(command, directory):
    (directory / "base.raw").write_bytes(b"base")
    with (directory / "disk.raw").open("wb") as raw:
        raw.truncate(100_000)
    requests, shown = dialogue()
    said = []
    with subprocess.Popen(command, cwd=directory, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as program:
        for request_ in requests:
            program.stdin.write(encode_line(request_))
            program.stdin.flush()
            said.append(decode_line(program.stdout.readline()))
        program.stdin.close()
        assert program.wait(60) == 0
    return said, shown


def without_words(answer):
    """The answer without what is anybody's to decide."""
    outcome = check_answer(answer)[1]
    said = answer[outcome]
    if outcome == "refused":
        said = {"rule": said["rule"]}
    if outcome == "result" and "extents" in said:
        said = sum(extent["length"] for extent in said["extents"])
    elif outcome == "error" or "name" in said:
        said = None
    return answer["seq"], outcome, said


@pytest.mark.system
@pytest.mark.skipif(shutil.which("node") is None, reason="there is no node")
def test_the_dialogue_is_what_the_example_says(tmp_path):
    said, shown = talk(NODE, tmp_path)
    assert said == shown


def test_the_dialogue_is_what_the_reference_engine_says(tmp_path):
    said, shown = talk(REFERENCE, tmp_path)
    assert list(map(without_words, said)) == list(map(without_words, shown))


def test_the_dialogue_is_of_messages():
    requests, answers = dialogue()
    for request_, answer in zip(requests, answers, strict=True):
        do = check_request(request_)
        if check_answer(answer)[1] == "result":
            check_result(do, answer["result"])


def rows():
    """The table of the contract: each request with what it and its result hold, in one row or several."""
    found, name = {}, ""
    for line in CONTRACT.splitlines():
        if line.startswith("| ") and len(cells := line.split("|")) == 5:
            name = cells[1].strip("` ") or name
            found[name] = [*map(" ".join, zip(found.get(name, ("", "")), cells[2:4], strict=True))]
    del found["do"]
    return found


def test_the_contract_has_every_message_and_every_capability():
    assert rows().keys() == REQUESTS.keys()
    for do, (asked, answered) in rows().items():
        for text, members in ((asked, REQUESTS[do]), (answered, RESULTS[do])):
            named = set(re.findall(r"`([a-z_]+)`", text))
            assert members.keys() <= named, do
    section = CONTRACT.partition("`capabilities` are")[2].partition("\n\n")[0]
    assert [word for word in CAPABILITIES if f"`{word}`" not in section] == []


def test_what_may_be_null_is_marked():
    for do, cells in rows().items():
        for text, members in zip(cells, (REQUESTS[do], RESULTS[do]), strict=True):
            nullable = {name for name, check in members.items() if check(None)}
            assert set(re.findall(r"`([a-z_]+)`\\\*", text)) == nullable


def test_the_contract_fits_a_screen():
    lines = CONTRACT.partition("\n## ")[0].rstrip().splitlines()
    assert len(lines) <= 40
    assert max(map(len, lines)) <= 100


def test_no_engine_is_loaded_for_a_program():
    code = (
        "import sys; from addcow_conformance.targets import load_target;"
        f"load_target({'stdio:' + shlex.join(REFERENCE)!r}, timeout=30).close();"
        "assert 'addcow_ref' not in sys.modules; assert 'jsonschema' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
