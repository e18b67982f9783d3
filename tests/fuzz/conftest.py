"""What is the same for all tests of the fuzzers."""

from __future__ import annotations

import pytest

from addcow_fuzz._program_run import shared


@pytest.fixture(autouse=True)
def _nothing_is_known():
    """A test that plants a fault has another engine than the one before, and the one after."""
    shared.cache_clear()
    yield
    shared.cache_clear()
