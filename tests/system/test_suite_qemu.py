"""addcow-img passes a part of the suite by `qemu:` and by `cli:`, with no expectations."""

from __future__ import annotations

import os
import shlex
import sys

import pytest

from tests.conformance.command import suite
from tests.repo.tree import ROOT

pytestmark = pytest.mark.system

QEMU = "qemu:" + shlex.join(
    [
        *("--qemu-img", "addcow-img {command} --revision {revision}"),
        *("--qemu-io", "addcow-img io --revision {revision}"),
        *("--revision", "v4", "--revision", "v6", "--revision", "v10"),
    ]
)
TEMPLATE = f"cli:{ROOT / 'conformance/examples/cli-addcow-img/adapter.toml'}"
# Some of each kind; what is refused when it is made among them, as nothing but these sees it.
QEMU_PART = "taken-path or name-of or no-image-file or size-511 or inside-a-unit or outside-the-disk"
TEMPLATE_PART = "taken-path or name-of-1 or no-image-file or inside-a-unit"


@pytest.mark.parametrize(
    ("target", "part", "revision"),
    [(QEMU, QEMU_PART, "v10"), (QEMU, "size-511", "v6"), (TEMPLATE, TEMPLATE_PART, "v10")],
    ids=["qemu-v10", "qemu-v6", "cli-v10"],
)
def test_addcow_img_passes(target, part, revision, monkeypatch):
    monkeypatch.setenv("PATH", os.path.dirname(sys.executable) + os.pathsep + os.environ["PATH"])
    answer = suite("run", target, "--revision", revision, "-k", part, "-j", "1", "--output", "json")
    wrong = [case for case in answer.document["cases"] if case["outcome"] not in {"pass", "unsupported"}]
    assert (wrong, answer.status) == ([], 0)
    assert answer.document["counts"]["pass"] > 0
