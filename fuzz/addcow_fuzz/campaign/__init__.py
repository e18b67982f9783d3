"""Campaigns: targets fuzzed in slices, and what they find kept in a folder."""

from __future__ import annotations

from addcow_fuzz.campaign._by_hand import Way, fuzz_by_hand, measured
from addcow_fuzz.campaign._campaign import Campaign, Plan, Row
from addcow_fuzz.campaign._judge import Judged, judge, smallest
from addcow_fuzz.campaign._model import Counters, Found, Result, Slice, SliceFailed, Subject
from addcow_fuzz.campaign._registry import (
    BadRegistry,
    Entry,
    Standing,
    Status,
    load_registry,
    standing,
)
from addcow_fuzz.campaign._slice import run_slice
from addcow_fuzz.campaign._store import BadFolder, Store

__all__ = [
    "BadFolder",
    "BadRegistry",
    "Campaign",
    "Counters",
    "Entry",
    "Found",
    "Judged",
    "Plan",
    "Result",
    "Row",
    "Slice",
    "SliceFailed",
    "Standing",
    "Status",
    "Store",
    "Subject",
    "Way",
    "fuzz_by_hand",
    "judge",
    "load_registry",
    "measured",
    "run_slice",
    "smallest",
    "standing",
]
