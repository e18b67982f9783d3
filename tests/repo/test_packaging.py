"""The wheel has what it needs and nothing else; every dependency is bounded, and pinned within its bounds."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.repo.tree import PACKAGES, ROOT, project_files
from tests.repo.wheel import build_wheel

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
EXTRAS: dict[str, list[str]] = PROJECT["project"]["optional-dependencies"]
REQUIREMENTS = [
    Requirement(text)
    for texts in (PROJECT["build-system"]["requires"], PROJECT["project"]["dependencies"], *EXTRAS.values())
    for text in texts
]
OTHERS = [requirement for requirement in REQUIREMENTS if requirement.name != PROJECT["project"]["name"]]
PINS = [
    Requirement(line)
    for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    if not line.startswith("#")
]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[zipfile.ZipFile]:
    with zipfile.ZipFile(build_wheel(tmp_path_factory.mktemp("wheel"))) as archive:
        yield archive


def test_wheel_has_the_packages_and_its_metadata_alone(wheel: zipfile.ZipFile) -> None:
    tops = {PurePosixPath(name).parts[0] for name in wheel.namelist()}
    (metadata,) = tops - PACKAGES.keys()
    assert metadata.endswith(".dist-info")
    assert tops - {metadata} == PACKAGES.keys()


@pytest.mark.parametrize("package", PACKAGES)
def test_wheel_has_every_file_of_a_package(wheel: zipfile.ZipFile, package: str) -> None:
    home = PACKAGES[package]
    there = {path.relative_to(home).as_posix() for path in project_files(home / package)}
    assert there
    assert {name for name in wheel.namelist() if name.startswith(f"{package}/")} == there


def test_unpacked_wheel_runs(wheel: zipfile.ZipFile, tmp_path: Path) -> None:
    wheel.extractall(tmp_path)
    code = "import addcow_spec, addcow_conformance.cli_check as c; print(addcow_spec.__file__); c.main()"
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    for option in ("--schema", "--list-rules"):
        command = [sys.executable, "-c", code, option]
        result = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
        assert result.stdout.startswith(str(tmp_path))
        assert len(result.stdout.splitlines()) > 40


def test_wheel_names_the_commands(wheel: zipfile.ZipFile) -> None:
    (entry_points,) = [name for name in wheel.namelist() if name.endswith("entry_points.txt")]
    text = wheel.read(entry_points).decode()
    for name, target in PROJECT["project"]["scripts"].items():
        assert f"{name} = {target}" in text


@pytest.mark.parametrize("requirement", OTHERS, ids=str)
def test_dependencies_are_bounded_on_both_sides(requirement: Requirement) -> None:
    assert {specifier.operator for specifier in requirement.specifier} == {">=", "<"}


@pytest.mark.parametrize("pin", PINS, ids=str)
def test_pins_are_exact_and_within_the_bounds(pin: Requirement) -> None:
    (specifier,) = pin.specifier
    assert specifier.operator == "=="
    for requirement in OTHERS:
        if canonicalize_name(requirement.name) == canonicalize_name(pin.name):
            assert requirement.specifier.contains(specifier.version)


def test_all_that_tests_and_development_use_is_pinned() -> None:
    pinned = {canonicalize_name(pin.name) for pin in PINS}
    used = PROJECT["project"]["dependencies"] + [text for name in EXTRAS for text in EXTRAS[name]]
    names = {canonicalize_name(Requirement(text).name) for text in used}
    assert names - pinned == {canonicalize_name(PROJECT["project"]["name"])}
