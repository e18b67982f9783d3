"""addcow-fuzz as its page shows it, but with two targets, which start at once and have planted bugs."""

from __future__ import annotations

from addcow_fuzz import cli
from addcow_fuzz.commands import _given
from tests.fuzz.fake_command import FAKE

__all__ = ["TARGETS"]

# What the page names one by one.
TARGETS = ("header", "image")

if __name__ == "__main__":
    _given.SUBJECTS.clear()
    _given.SUBJECTS.update({name: FAKE._replace(name=name) for name in TARGETS})
    cli.main()
