"""The explorer sees what it is for: variants of the engine with one fault of durability each."""

from __future__ import annotations

import re

import pytest

import addcow_ref
from addcow_conformance.powerloss import FAMILIES, explore, rerun
from addcow_conformance.programs import Flush, Kill, Write, dump_program, load_program
from addcow_conformance.targets import load_target
from tests.conformance import variants

BY_NAME = {family.name: family for family in FAMILIES}

# Variant, family, operations of the smallest workload, what the first violation breaks, and what tells why:
# the write that is there though another is lost, or that is lost though it was flushed.
LOST_DATA = r"disk.raw \S+: (lost|torn)"

CAUGHT = [
    (variants.BitsFirst, "v10", 1, "ACW-DYN-005", LOST_DATA, r"add-cow \S+: there"),
    (variants.BitsFirst, "v6", 1, "ACW-DYN-005", LOST_DATA, r"add-cow \S+: there"),
    (
        variants.NoBarrierOnEviction,
        "v4-pages",
        2,
        "ACW-DYN-005",
        LOST_DATA,
        r"add-cow \S+: there",
    ),
    (
        variants.NoBarrierOnEviction,
        "v6-pages",
        2,
        "ACW-DYN-005",
        LOST_DATA,
        r"add-cow \S+: there",
    ),
    (variants.LyingSync, "v10", 1, None, r": lost", r": lost"),
    (variants.OneFileFlush, "v10", 1, "ACW-DYN-005", r"add-cow \S+: lost", r"raw \S+: durable"),
    (variants.HeaderFirst, "v6", 0, "ACW-BMP-001", r"sync disk.add-cow", r"add-cow 0.*: there"),
    (
        variants.GrowsImageFirst,
        "v10",
        1,
        "ACW-BMP-001",
        r"add-cow .*: durable",
        r"truncate disk.raw .*: there",
    ),
]


@pytest.mark.parametrize(
    ("variant", "family", "length", "rule", "missing", "present"),
    CAUGHT,
    ids=[f"{case[0].__name__}-{case[1]}" for case in CAUGHT],
)
def test_variant_is_caught(variant, family, length, rule, missing, present):
    summary = explore(target=variants.target(variant), families=[BY_NAME[family]], operations=length)
    found = next(each for each in summary.found if rule in {None, each.rule})
    assert len(found.program.operations) == length
    for pattern in (missing, present):
        assert any(re.search(pattern, line) for line in found.order)
    # It is told as a program that says it again, and that the engine passes.
    program = load_program(dump_program(found.program))
    again = rerun(program, load_target(variants.target(variant)))
    assert (again.rule, again.program, again.order) == (found.rule, found.program, found.order)
    assert rerun(program, addcow_ref) is None


def test_smaller_workloads_do_not_show_an_eviction():
    summary = explore(
        target=variants.target(variants.NoBarrierOnEviction), families=[BY_NAME["v6-pages"]], operations=1
    )
    assert summary.found == ()


def test_bits_of_a_killed_process_are_caught():
    """A write that leaves a page behind, a kill, a flush: it takes all three, and the engine had it."""
    family = BY_NAME["v6-pages"]
    crossing = next(
        o for o in family.alphabet if isinstance(o, Write) and o.offset < 16 << 20 < o.offset + o.length
    )
    family = family._replace(alphabet=(crossing, Kill(), Flush()))
    summary = explore(target=variants.target(variants.ForgetsOldBits), families=[family], operations=3)
    assert summary.found[0].rule == "ACW-DYN-005"
    assert summary.found[0].program.operations == (crossing, Kill(), Flush())
    assert explore(families=[family], operations=3).found == ()
