"""For each target a bug, put into what it judges: found within so many runs, and nothing without the bug.

The runs are those of a loop with the target's own mutators, from its seeds and from a fixed seed: libFuzzer,
which looks at coverage as well, needs fewer.
"""

from __future__ import annotations

import pytest

from addcow_conformance.checker import _repair_plan
from addcow_conformance.report import json as json_report
from addcow_ref import _header, _linux, _qcow2, _qcow2_map
from addcow_ref._bitmap import Bitmap
from addcow_spec import codec
from tests.fuzz.inputs import NAMES, hunt

# Within how many runs each bug is found.
RUNS = {
    "header": 2000,
    "roundtrip": 1000,
    "image": 1000,
    "resolve": 500,
    "chain": 1000,
    "cache": 300,
    "qcow2": 2000,
    "repair": 1000,
    "report": 120,
}


def signed_length(monkeypatch):
    """The length of a qcow2 extension is read as a signed number, and memory is asked for."""
    right = codec._parse_extensions

    def wrong(data, start, end):
        if int.from_bytes(data[start + 4 : start + 8], "big", signed=True) < 0:
            raise MemoryError
        return right(data, start, end)

    monkeypatch.setattr(codec, "_parse_extensions", wrong)


def lost_bits(monkeypatch):
    """Unknown feature bits are not built again."""
    right = codec._values

    def wrong(layout, model):
        values = right(layout, model)
        return values | {"features": values["features"] & 3} if "features" in values else values

    monkeypatch.setattr(codec, "_values", wrong)


def accepted_feature(monkeypatch):
    """The engine takes a feature for known that is not."""
    monkeypatch.setattr(_header, "_KNOWN", 0b111)


def open_door(monkeypatch):
    """The engine lets names lead anywhere."""
    monkeypatch.setattr(_linux, "_beneath", lambda *_: True)


def beyond_the_backing_file(monkeypatch):
    """A qcow2 layer reads on behind the end of its backing file."""
    monkeypatch.setattr(_qcow2.Qcow2Layer, "_inside_backing", lambda *arguments: arguments[-1].length)


def dropped_page(monkeypatch):
    """A page that was changed leaves the cache unwritten."""

    def wrong(self):
        del self.pages[next(iter(self.pages))]
        return True

    monkeypatch.setattr(Bitmap, "_evict", wrong)


def zeros_are_data(monkeypatch):
    """A zero cluster with a place belongs to the cluster before it."""
    monkeypatch.setattr(_qcow2_map, "_MEANING", _qcow2_map._OFFSET | _qcow2_map._COMPRESSED)


def cleared_byte(monkeypatch):
    """The repair of trailing bits clears the whole byte."""
    right = _repair_plan._plan_bitmap

    def wrong(report, broken):
        return [patch._replace(change=lambda old: bytes(len(old))) for patch in right(report, broken)]

    monkeypatch.setattr(_repair_plan, "_plan_bitmap", wrong)


def no_span(monkeypatch):
    """The JSON report takes every finding to have a span."""
    monkeypatch.setattr(json_report, "_span", lambda span: {"offset": span.offset, "length": span.length})


# The bug, and the tokens that it may be found by: which comes first is a matter of luck.
PLANTED = {
    "header": (signed_length, {"strict:-:parse:memoryerror.addcow_spec.codec.parse_qcow2"}),
    "roundtrip": (lost_bits, {"codec:-:build-v10:-"}),
    "image": (accepted_feature, {"checker:acw-fea-003:open:-"}),
    "resolve": (
        open_door,
        {f"engine:acw-{rule}:open:-" for rule in ("chn-001", "env-001", "env-002", "env-003")},
    ),
    "chain": (beyond_the_backing_file, {"strict:-:read:storageerror.addcow_ref._raw.read_into"}),
    "cache": (dropped_page, {f"oracle:-:{place}:-" for place in ("runs", "scan", "write-back")}),
    "qcow2": (zeros_are_data, {"oracle:-:read:-", "qemu:-:extents:-", "qemu:-:read:-"}),
    "repair": (cleared_byte, {"oracle:-:repair:-"}),
    "report": (no_span, {"strict:-:json:attributeerror.addcow_conformance.report.json._finding"}),
}


@pytest.mark.parametrize("name", NAMES)
def test_bug_is_found(name, monkeypatch):
    plant, tokens = PLANTED[name]
    plant(monkeypatch)
    assert hunt(name, RUNS[name]) in tokens


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_found_without_it(name):
    assert hunt(name, RUNS[name]) is None
