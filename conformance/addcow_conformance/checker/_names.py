"""From a stored name to a file: resolution, and the rules on what it leads to (families NAM, ENV)."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from addcow_conformance.checker._files import OpenFailed, OpenFile, Refusal
from addcow_conformance.checker._registry import Draft
from addcow_spec.model import Role, Span
from addcow_spec.text import printable

if TYPE_CHECKING:
    from addcow_conformance.checker._collector import Collector
    from addcow_conformance.checker._files import Opener
    from addcow_conformance.checker._model import CheckOptions

__all__ = ["NAME_RULES", "has_protocol", "open_name", "resolve"]

# QEMU's own test: a colon before the first slash.
_PROTOCOL = re.compile(rb"[^/:]*:")

_MISSING = {Role.IMAGE: "ACW-ENV-001", Role.BACKING: "ACW-ENV-002"}
_REFUSALS = {Refusal.IRREGULAR: "ACW-ENV-003", Refusal.OUTSIDE: "ACW-ENV-004"}
_REMOTE, _WORKING_DIRECTORY = "ACW-NAM-011", "ACW-NAM-010"

NAME_RULES = frozenset({*_MISSING.values(), *_REFUSALS.values(), _REMOTE, _WORKING_DIRECTORY})


def has_protocol(name: bytes) -> bool:
    """Whether a name has a protocol prefix, so that it is no local path (ACW-NAM-011)."""
    return _PROTOCOL.match(name) is not None


def resolve(name: bytes, opened: bytes) -> bytes:
    """The path that ``name`` leads to when stored in the file opened as ``opened`` (ACW-NAM-010)."""
    return os.path.join(os.path.dirname(opened), name)


def open_name(
    name: bytes,
    *,
    role: Role,
    path: bytes,
    at: tuple[int, Span, str],
    options: CheckOptions,
    collector: Collector,
    opener: Opener,
) -> OpenFile | None:
    """Open the file that a stored name leads to, or record why it was not opened.

    Args:
        name: the name as stored.
        role: what the file is to the one that names it.
        path: what the name resolves to.
        at: where the name is: index of the file, span and field.
        options: confinement and block devices.
        collector: takes the finding.
        opener: opens the file.
    """
    file, span, field = at
    if has_protocol(name):
        collector.add(_REMOTE, file, Draft(span, field, "a local path", printable(name)))
        return None
    try:
        return opener(path, confine=options.confine, allow_block_devices=options.allow_block_devices)
    except OpenFailed as failed:
        rule = _REFUSALS.get(failed.refusal, _MISSING[role])
        actual = f"{printable(path)}: {failed.detail}"
        if (
            failed.refusal is Refusal.ABSENT
            and collector.knows(_WORKING_DIRECTORY)
            and _opens(name, options, opener)
        ):
            rule = _WORKING_DIRECTORY
            actual += "; it would be found from the working directory"
        collector.add(rule, file, Draft(span, field, f"the {role} file", actual))
        return None


def _opens(name: bytes, options: CheckOptions, opener: Opener) -> bool:
    """Whether a name leads to a file from the working directory."""
    try:
        with opener(name, confine=options.confine, allow_block_devices=options.allow_block_devices):
            return True
    except OpenFailed:
        return False
