"""The second implementation passes the whole suite by way of `nbd:`, with no expectations."""

from __future__ import annotations

import re

import pytest

from addcow_conformance.results import BAD
from addcow_spec.model import Revision
from tests.conformance.command import suite

pytestmark = pytest.mark.system

# What it says that it has not; all else that the suite asks for is asked.
LACKS = re.compile(
    "create|resize|stream|info|backing-qcow2|backing-add-cow|storage|race|"
    "stay in a directory|nothing to choose"
)


# One revision whole; `test_powerloss_traced.py` cuts the power of its workloads. Of the others what needs no
# minute, and what names lead to is the same in all; their vectors are tried by
# `test_second_implementation_vectors.py`.
EFFORT = {
    Revision.V10: ("--examples", "4", "--seconds", "5", "--ops", "0"),
    **dict.fromkeys(
        (Revision.V4, Revision.V6),
        ("-k", "not (v4- or v6- or models or power or memory or NAM or ENV or CHN)"),
    ),
}


@pytest.mark.parametrize("revision", Revision, ids=str)
def test_the_second_implementation_passes(plugin, revision):
    name = f"nbd:nbdkit -f {{readonly:-r}} -U {{socket}} {plugin} file={{image}} revision={{revision}}"
    answer = suite(
        "run",
        name,
        *("--revision", revision, "--output", "json", "-j", "1"),
        *EFFORT[revision],
    )
    document = answer.document
    wrong = [case for case in document["cases"] if case["outcome"] in BAD]
    assert (wrong, answer.status) == ([], 0)
    unsupported = [case for case in document["cases"] if case["outcome"] == "unsupported"]
    assert [case for case in unsupported if not LACKS.search(case["detail"])] == []
    assert len(document["cases"]) - len(unsupported) > (100 if revision is Revision.V10 else 60)
