"""The vectors: their form, their two independent sources, and the checker against them."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from addcow_conformance.checker import CheckOptions, Verdict, check_image
from addcow_conformance.suite import (
    Directory,
    Fifo,
    HardLink,
    RegularFile,
    SymbolicLink,
    load_vector,
    load_vectors,
    materialize,
    vector_schema,
)
from addcow_spec.errors import UsageError
from addcow_spec.model import Revision
from addcow_spec.rules import Profile, Severity, rule

CORPORA = Path(__file__).parents[2] / "corpora"
VECTORS = {vector.id: vector for vector in load_vectors(CORPORA / "vectors")}
SOUND_QCOW2 = ("ACW-QC2-002", "ACW-QC2-004", "ACW-QC2-006", "ACW-QC2-009")


def run(program, *arguments, corpora=CORPORA):
    command = [sys.executable, str(corpora / program), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def small_corpora(tmp_path):
    """A copy of the programs, and of three vectors."""
    for name in ("generate.py", "relabel.py", "vectorgen", "relabeller"):
        copy = shutil.copytree if (CORPORA / name).is_dir() else shutil.copy
        copy(CORPORA / name, tmp_path / name)
    (tmp_path / "vectors/03-bitmap").mkdir(parents=True)
    for path in sorted((CORPORA / "vectors/03-bitmap").glob("ACW-BMP-004-v10-3*.json")):
        shutil.copy(path, tmp_path / "vectors/03-bitmap")
    return tmp_path


def minimal(**changes):
    return json.loads((CORPORA / "vectors/02-header/ACW-HDR-001-v10.json").read_text()) | changes


def with_file(**entry):
    return minimal(files=[*minimal()["files"], entry])


# -- form --


def test_schema_is_a_schema():
    jsonschema.Draft202012Validator.check_schema(vector_schema())


def test_every_vector_fits_the_schema():
    validator = jsonschema.Draft202012Validator(vector_schema())
    faults = {
        path.name: error.message
        for path in (CORPORA / "vectors").rglob("*.json")
        for error in validator.iter_errors(json.loads(path.read_text()))
    }
    assert faults == {}


@pytest.mark.parametrize(
    "vector",
    [
        minimal(extra=1),
        minimal(result="good"),
        minimal(findings=["HDR-001"]),
        minimal(image="../image.add-cow"),
        minimal(cwd="/"),
        minimal(**{"take-as": "auto"}),
        with_file(path="a/../b", directory=True),
        with_file(path="a//b", fifo=True),
        with_file(path="a%2e", fifo=True),
        with_file(path="d\xefsk", fifo=True),
        with_file(path="a", fifo=False),
        with_file(path="a", fifo=True, directory=True),
        with_file(path="a", symlink="/etc/passwd"),
        with_file(path="a", size=1),
        with_file(path="a", size=1, data=[{"offset": 0, "hex": "0F"}]),
        with_file(path="a", size=-1, data=[]),
    ],
)
def test_schema_refuses(vector):
    assert not jsonschema.Draft202012Validator(vector_schema()).is_valid(vector)


def test_vectors_are_filed_under_their_rule():
    for path in (CORPORA / "vectors").rglob("*.json"):
        vector = VECTORS[path.stem]
        assert path.stem.startswith(vector.rule + "-")
        assert path.parent.name == rule(vector.rule).chapter


@pytest.mark.parametrize("profile", Profile)
def test_results_follow_from_the_findings(profile):
    for vector in VECTORS.values():
        label = vector.labels[profile]
        severities = {rule(found).level[profile].severity for found in label.findings}
        assert None not in severities, vector.id
        worst = {Severity.ERROR: Verdict.INVALID, Severity.WARNING: Verdict.ACCEPTABLE}
        expected = next((worst[s] for s in worst if s in severities), Verdict.VALID)
        assert (label.result, list(label.findings)) == (expected, sorted(label.findings)), vector.id


def test_the_readme_explains_every_flag_and_no_other():
    explained = re.findall(
        r"^\| `([a-z0-9-]+)`(?: †)? \|", (CORPORA / "README.md").read_text().split("## Flags")[1], re.M
    )
    assert explained == sorted({flag for vector in VECTORS.values() for flag in vector.flags})


# -- the two programs --


def test_the_vectors_are_what_the_generator_makes():
    done = run("generate.py", "--check")
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_labels_are_what_the_relabeller_finds():
    done = run("relabel.py", "--check")
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_generator_tells_an_edited_vector(small_corpora):
    path = small_corpora / "vectors/03-bitmap/ACW-BMP-004-v10-3.json"
    path.write_text(path.read_text() + "\n")
    done = run("generate.py", "--check", corpora=small_corpora)
    assert done.returncode == 1
    assert "03-bitmap/ACW-BMP-004-v10-3.json:" in done.stdout
    assert "03-bitmap/ACW-BMP-004-v10-3-but-1.json:" not in done.stdout


def test_the_generator_mends_and_removes(small_corpora):
    foreign = small_corpora / "vectors/03-bitmap/ACW-BMP-004-by-hand.json"
    foreign.write_text("{}")
    assert run("generate.py", corpora=small_corpora).returncode == 0
    assert not foreign.exists()
    assert run("generate.py", "--check", corpora=small_corpora).returncode == 0


@pytest.mark.parametrize("key", ["findings", "findings-as-written", "result", "result-as-written"])
def test_the_relabeller_tells_a_wrong_label(small_corpora, key):
    path = small_corpora / "vectors/03-bitmap/ACW-BMP-004-v10-3.json"
    vector = json.loads(path.read_text())
    vector[key] = [] if "findings" in key else "invalid"
    path.write_text(json.dumps(vector))
    done = run("relabel.py", "--check", corpora=small_corpora)
    assert done.returncode == 1
    assert [line.split(":")[0] for line in done.stdout.splitlines()[:-1]] == ["ACW-BMP-004-v10-3"]


def test_the_relabeller_is_independent():
    for path in (CORPORA / "relabel.py", *(CORPORA / "relabeller").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            for name in names:
                assert name.split(".")[0] in sys.stdlib_module_names | {"relabeller"}, path


# -- loading and making --


def assert_made(entry, root):
    path = os.path.join(root, entry.path)
    status = os.lstat(path)
    match entry:
        case Directory():
            assert stat.S_ISDIR(status.st_mode)
            assert os.listdir(path) == []
        case Fifo():
            assert stat.S_ISFIFO(status.st_mode)
        case SymbolicLink():
            assert os.readlink(path) == entry.target
        case HardLink():
            assert os.path.samestat(status, os.lstat(os.path.join(root, entry.target)))
        case RegularFile():
            assert stat.S_ISREG(status.st_mode)
            assert status.st_size == entry.size
            assert status.st_blocks * 512 <= 1 << 20
            expected = bytearray(min(entry.size, 1 << 16))
            for offset, data in entry.data:
                if offset < len(expected):
                    expected[offset : offset + len(data)] = data
            with open(path, "rb") as file:
                assert file.read(len(expected)) == expected
                for offset, data in entry.data:
                    file.seek(offset)
                    assert file.read(len(data)) == data


@pytest.mark.parametrize("chapter", sorted({rule(vector.rule).chapter for vector in VECTORS.values()}))
def test_recipes_are_made_as_they_say(chapter, tmp_path):
    for vector in VECTORS.values():
        if rule(vector.rule).chapter != chapter:
            continue
        root = os.fsencode(tmp_path / vector.id)
        os.mkdir(root)
        scene = materialize(vector, root)
        for entry in vector.files:
            assert_made(entry, root)
        assert os.path.samefile(os.path.join(scene.cwd, scene.image), os.path.join(root, vector.image))
        assert os.path.samefile(scene.cwd, os.path.join(root, vector.cwd))
        assert scene.take_as is vector.take_as
        assert scene.confine is None or os.path.samefile(scene.confine, os.path.join(root, vector.confine))


def test_a_recipe_needs_an_empty_directory(tmp_path):
    (tmp_path / "image.add-cow").symlink_to("elsewhere")
    with pytest.raises(UsageError):
        materialize(VECTORS["ACW-HDR-001-v10"], tmp_path)
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize(
    "vector",
    [
        with_file(path="/a", fifo=True),
        with_file(path="../a", fifo=True),
        with_file(path="a/%2E%2E/../b", fifo=True),
        with_file(path="%2E%2E/b", fifo=True),
        with_file(path="a%00", fifo=True),
        with_file(path="a%2F%2Fb", fifo=True),
        with_file(path="", fifo=True),
        with_file(path="a", symlink="/etc/passwd"),
        with_file(path="a", symlink="../b"),
        with_file(path="a/b", symlink="c/../../../d"),
        with_file(path="a", symlink="%2Fetc"),
        with_file(path="a", hardlink="../b"),
        with_file(path="a", size=3, data=[{"offset": 2, "hex": "0102"}]),
        with_file(path="a", size=3, data=[{"offset": -1, "hex": "01"}]),
        with_file(path="a", size=3, data=[{"offset": 0, "hex": "0"}]),
        with_file(path="a"),
        minimal(image="../image.add-cow"),
        minimal(cwd=".."),
        minimal(confine="/"),
        minimal(revision="v5"),
        minimal(**{"take-as": "auto"}),
        {},
        [],
    ],
)
def test_the_loader_refuses(vector, tmp_path):
    path = tmp_path / "vector.json"
    path.write_text(json.dumps(vector))
    with pytest.raises(UsageError, match=r"vector\.json"):
        load_vector(path)


def test_the_loader_says_what_it_could_not_find(tmp_path):
    with pytest.raises(UsageError):
        load_vector(tmp_path / "absent.json")
    with pytest.raises(UsageError):
        load_vectors(tmp_path)


# -- the checker --


@pytest.mark.parametrize("profile", Profile)
@pytest.mark.parametrize("vector", VECTORS.values(), ids=VECTORS.keys())
def test_the_checker_agrees(vector, profile, tmp_path, monkeypatch):
    scene = materialize(vector, tmp_path)
    monkeypatch.chdir(scene.cwd)
    options = CheckOptions(revision=scene.take_as, profile=profile, confine=scene.confine)
    report = check_image(scene.image, options)
    label = vector.labels[profile]
    assert tuple(sorted(finding.rule for finding in report.findings)) == label.findings
    foreign = label.findings == ("ACW-HDR-001",)
    assert report.verdict is (Verdict.NOT_ADD_COW if foreign else label.result)


# A v6 file that is cut short may be a whole v4 file, so there the revision is given.
@pytest.mark.parametrize(
    ("vector", "header", "revision"),
    [
        ("ACW-BMP-001-v10-524289", 4096, None),
        ("ACW-BMP-001-v4-4608", 2068, None),
        ("ACW-BMP-001-v4-4608", 2068, Revision.V4),
        ("ACW-BMP-001-v6-4608", 2560, Revision.V6),
    ],
)
def test_every_truncation_is_found(vector, header, revision, tmp_path, monkeypatch):
    scene = materialize(VECTORS[vector], tmp_path)
    monkeypatch.chdir(scene.cwd)
    options = CheckOptions(revision=revision)
    whole = os.path.getsize(scene.image)
    assert whole == header + 2
    wanted = {}
    found = {}
    for length in range(whole - 1, -1, -1):
        os.truncate(scene.image, length)
        report = check_image(scene.image, options)
        found[length] = (report.verdict, {finding.rule for finding in report.findings} - {"ACW-SIZ-004"})
        if length < 8:
            wanted[length] = (Verdict.NOT_ADD_COW, {"ACW-HDR-001"})
        else:
            wanted[length] = (Verdict.INVALID, {"ACW-HDR-003" if length < header else "ACW-BMP-001"})
    assert found == wanted


@pytest.mark.system
@pytest.mark.parametrize(
    "vector",
    [
        vector
        for vector in VECTORS.values()
        if vector.rule in SOUND_QCOW2 and vector.rule not in vector.labels[Profile.REVIEWED].findings
    ],
    ids=lambda vector: vector.id,
)
def test_qemu_finds_the_sound_qcow2_files_sound(vector, tmp_path):
    scene = materialize(vector, tmp_path)
    command = ["qemu-img", "check", "base.qcow2"]
    done = subprocess.run(command, cwd=scene.cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
