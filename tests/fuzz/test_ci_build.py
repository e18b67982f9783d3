"""What OSS-Fuzz and ClusterFuzzLite build, without their container: each target, and what lies beside it."""

from __future__ import annotations

import os
import re
import shlex
import sys
from configparser import ConfigParser
from pathlib import Path
from typing import NamedTuple
from zipfile import ZipFile

import pytest
import yaml

from addcow_fuzz.dictionary import dictionary
from addcow_fuzz.targets import TARGETS
from tests.repo.ci_templates import run_script, runner
from tests.repo.tree import PACKAGES, ROOT

OSS_FUZZ, LITE = ROOT / "fuzz/oss-fuzz", ROOT / ".clusterfuzzlite"
IMAGE = "gcr.io/oss-fuzz-base/base-builder-python:"
# In place of what freezes a program, which takes a minute.
COMPILE = """\
#!/bin/sh -eu
printf '%s\\n' "$*" >> "$SRC/compiled"
"""


class Built(NamedTuple):
    """The directories of the container, and the environment that the script had."""

    src: Path
    out: Path
    work: Path
    environment: dict[str, str]


def run(command, environment, directory):
    ran = run_script("sh", shlex.join(map(os.fspath, command)), environment, directory)
    assert ran.status == 0, ran.output
    return ran.output


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    place = tmp_path_factory.mktemp("container")
    directories = [place / name for name in ("src", "out", "work", "bin", "installed")]
    for directory in directories:
        directory.mkdir()
    src, out, work, programs, installed = directories
    (programs / "compile_python_fuzzer").write_text(COMPILE)
    (programs / "compile_python_fuzzer").chmod(0o755)
    (src / "add-cow").symlink_to(ROOT)
    environment = runner(place)
    environment |= {
        "SRC": os.fspath(src),
        "OUT": os.fspath(out),
        "WORK": os.fspath(work),
        "PATH": f"{programs}:{environment['PATH']}",
        "PYTHONPATH": f"{installed}:{environment['PYTHONPATH']}",
        "PIP_TARGET": os.fspath(installed),
        "PIP_NO_DEPS": "1",
    }
    run([LITE / "build.sh"], environment, src)
    return Built(src, out, work, environment)


def test_each_target_is_compiled_with_its_data(built):
    calls = dict(line.split(" ", 1) for line in (built.src / "compiled").read_text().splitlines())
    assert set(calls) == {f"{built.work}/fuzz_{name}.py" for name in TARGETS}
    for options in calls.values():
        assert "--copy-metadata junitparser" in options
        for package in PACKAGES:
            assert f"--collect-submodules {package} --collect-data {package}" in options


@pytest.mark.parametrize("name", TARGETS)
def test_target_has_seeds_dictionary_and_options(built, name):
    assert {path.name for path in built.out.glob(f"fuzz_{name}[._]*")} == {
        f"fuzz_{name}{end}" for end in ("_seed_corpus.zip", ".dict", ".options")
    }
    with ZipFile(built.out / f"fuzz_{name}_seed_corpus.zip") as seeds:
        there = {path.name: path.read_bytes() for path in (ROOT / "corpora/seeds" / name).iterdir()}
        assert there
        assert {seed: seeds.read(seed) for seed in seeds.namelist()} == there
    assert (built.out / f"fuzz_{name}.dict").read_text() == dictionary()
    options = ConfigParser()
    options.read(built.out / f"fuzz_{name}.options")
    assert options["libfuzzer"].getint("max_len") == TARGETS[name].max_len


def test_programs_differ_in_the_name_of_the_target_alone(built):
    texts = {name: (built.work / f"fuzz_{name}.py").read_text() for name in TARGETS}
    assert {text.replace(f'"{name}"', "NAME") for name, text in texts.items()} == {
        "from addcow_fuzz._main import fuzz\n\nfuzz(NAME)\n"
    }


@pytest.mark.parametrize("name", ["header", "ops"])
def test_program_runs_alone_and_reaches_instrumented_code(built, name, tmp_path):
    with ZipFile(built.out / f"fuzz_{name}_seed_corpus.zip") as seeds:
        seeds.extractall(tmp_path)
    words = [built.work / f"fuzz_{name}.py", "-runs=2", f"-dict={built.out}/fuzz_{name}.dict", tmp_path]
    said = run([sys.executable, *words], built.environment, built.work)
    assert int(re.search(r"INITED cov: (\d+)", said)[1]) > 10
    assert int(re.search(r"Dictionary: (\d+) entries", said)[1]) > 50


# --- what the services read


@pytest.mark.parametrize("home", [OSS_FUZZ, LITE])
def test_project_is_one_of_python_in_a_container_that_has_a_python_for_it(home):
    project = yaml.safe_load((home / "project.yaml").read_text())
    assert project["language"] == "python"
    lines = [line for line in (home / "Dockerfile").read_text().splitlines() if not line.startswith("#")]
    instructions = [line.split(maxsplit=1) for line in lines]
    assert instructions[0] == ["FROM", IMAGE + project["base_os_version"]]
    assert {word for word, _ in instructions} <= {"FROM", "RUN", "COPY", "WORKDIR"}
    assert ["WORKDIR", "$SRC/add-cow"] in instructions
    # Of ClusterFuzzLite the checkout is what is copied from, of OSS-Fuzz the folder of the project.
    copied = [rest.split()[0] for word, rest in instructions if word == "COPY"]
    for name in copied:
        assert ((ROOT if home == LITE else home) / name).exists()
    assert copied[-1].endswith("build.sh")
    assert os.access(home / "build.sh", os.X_OK)


def test_project_of_oss_fuzz_has_the_fields_that_are_asked_for():
    project = yaml.safe_load((OSS_FUZZ / "project.yaml").read_text())
    assert {"homepage", "main_repo", "primary_contact"} <= project.keys()
    assert project["fuzzing_engines"] == ["libfuzzer"]
    assert set(project["sanitizers"]) == {"address", "undefined"}
