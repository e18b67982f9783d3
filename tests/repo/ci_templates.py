"""The templates for continuous integration, and their shell steps run as the services would run them."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml

from tests.repo.tree import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["GITHUB", "GITLAB", "Ran", "run_github", "run_gitlab", "run_script", "runner"]

HERE = ROOT / "conformance/ci"
GITHUB: dict[str, Any] = yaml.safe_load((HERE / "action.yml").read_text("utf-8"))
GITLAB: dict[str, Any] = yaml.safe_load((HERE / "gitlab.yml").read_text("utf-8"))

# Far beyond what a step takes.
_PATIENCE = 300
# What the services call a script of the shell, as they document it.
_SHELLS = {"bash": ("bash", "--noprofile", "--norc", "-eo", "pipefail"), "sh": ("sh", "-e")}


class Ran(NamedTuple):
    """What a script has come to: its exit status, and what it has said."""

    status: int
    output: str


def runner(directory: Path) -> dict[str, str]:
    """The environment of a runner that has no network: what the tests have installed is all that there is."""
    modules = directory / "modules"
    modules.mkdir()
    for path in Path(sysconfig.get_path("purelib")).iterdir():
        # The project itself is what the steps are to install.
        if "add_cow_toolkit" not in path.name:
            (modules / path.name).symlink_to(path)
    return {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(modules),
        "TMPDIR": str(directory),
        "CI": "true",
        "PIP_NO_INDEX": "1",
        # Of an option that starts with no-, pip takes the value for that of its opposite.
        "PIP_NO_BUILD_ISOLATION": "0",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }


def run_github(name: str, environment: Mapping[str, str], directory: Path, **inputs: str) -> Ran:
    """Run a step of the action in a directory, with inputs of a workflow."""
    given = {name: about.get("default", "") for name, about in GITHUB["inputs"].items()} | inputs
    (step,) = [step for step in GITHUB["runs"]["steps"] if step["name"] == name]
    variables = {name: _filled(value, given) for name, value in step.get("env", {}).items()}
    return run_script(step["shell"], step["run"], {**environment, **variables}, directory)


def run_gitlab(environment: Mapping[str, str], directory: Path, *more: str, **variables: str) -> Ran:
    """Run the script of a job that extends the template, and more commands: one shell does all of it."""
    job = GITLAB[".addcow-conformance"]
    return run_script(
        "sh", "\n".join([*job["script"], *more]), {**environment, **job["variables"], **variables}, directory
    )


def _filled(value: str, inputs: Mapping[str, str]) -> str:
    return re.sub(r"\$\{\{ inputs\.(\w+) \}\}", lambda found: inputs[found[1]], value)


def run_script(shell: str, text: str, environment: Mapping[str, str], directory: Path) -> Ran:
    """Run a script as the services do, in a shell that they name ``bash`` or ``sh``."""
    with subprocess.Popen(
        [*_SHELLS[shell], "-c", text],
        cwd=directory,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        process_group=0,
    ) as process:
        try:
            output, _ = process.communicate(timeout=_PATIENCE)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    return Ran(process.returncode, output)
