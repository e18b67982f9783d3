"""The second implementation accepts and refuses the vectors as their labels say, and before it listens."""

from __future__ import annotations

import re
import subprocess
import tempfile

import pytest

from addcow_conformance.checker import Verdict
from addcow_conformance.suite import load_vectors, materialize
from addcow_spec.rules import Profile, Severity, rule
from tests.repo.tree import ROOT
from tests.system.serving import HANG

pytestmark = pytest.mark.system

VECTORS = ROOT / "corpora/vectors"
CHAPTERS = sorted(path.name for path in VECTORS.iterdir())

# What an opener sees where a checker has a rule with more to say (spec, ACW-NAM-010).
SEEN_AS = {"ACW-ENV-001": "ACW-NAM-010", "ACW-ENV-002": "ACW-NAM-010"}
UNSUPPORTED = re.compile("error: (?:qcow2|add-cow) backing files are not supported")


def outcome(plugin, vector, directory, socket):
    """Exit status of an nbdkit that ends as soon as it listens, and what it said.

    With ``-U -`` it leaves the directory of the socket behind where it refuses an image.
    """
    scene = materialize(vector, directory)
    options = [f"revision={scene.take_as}"] if scene.take_as else []
    options += [b"confine=" + scene.confine] if scene.confine else []
    result = subprocess.run(
        ["nbdkit", "-f", "-U", socket, plugin, b"file=" + scene.image, *options, "--run", "true"],
        cwd=scene.cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=HANG,
        check=False,
    )
    return result.returncode, result.stderr.decode("utf-8", "replace")


def is_right(label, status, said):
    """Whether a label allows that an opener of raw backing files ends so."""
    if status == 0:
        return label.result is not Verdict.INVALID
    named = re.search(r"error: (ACW-\w+-\d+): ", said)
    if not named:
        # A layer that it does not read, in which a checker may find much; CHN-003 says that it is not raw.
        return bool(UNSUPPORTED.search(said)) and "ACW-CHN-003" in label.findings
    found = named[1]
    if found not in label.findings:
        found = SEEN_AS.get(found, found)
    if found not in label.findings:
        return False
    # An opener cannot follow a protocol, which a checker only notes (spec, ACW-DYN-009).
    return found == "ACW-NAM-011" or rule(found).severity(Profile.REVIEWED) is Severity.ERROR


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_vectors_are_accepted_and_refused_as_labelled(plugin, chapter):
    wrong, accepted, refused = [], 0, set()
    for vector in load_vectors(VECTORS / chapter):
        with tempfile.TemporaryDirectory() as directory, tempfile.TemporaryDirectory() as other:
            status, said = outcome(plugin, vector, directory, f"{other}/socket")
        label = vector.labels[Profile.REVIEWED]
        accepted += status == 0
        refused.update(re.findall(r"error: (ACW-\w+-\d+): ", said) if status else ())
        if not is_right(label, status, said):
            wrong.append((vector.id, label, status, said))
    assert wrong == []
    # Everything in the last chapter is qcow2, which this implementation does not read.
    assert (accepted > 5) == bool(refused) == (chapter != "08-qcow2")
