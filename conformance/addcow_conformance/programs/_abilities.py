"""What a target must be able to do for a disk, and for an operation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from addcow_conformance.programs._program import (
    BackingKind,
    Disk,
    Fault,
    Operation,
    Race,
    Resize,
    Stream,
    Write,
    Zeroes,
)
from addcow_conformance.targets import abilities_of, is_external
from addcow_spec.errors import UsageError

if TYPE_CHECKING:
    from addcow_conformance.targets import Target

__all__ = ["Unsupported", "backing_kinds", "check_disk", "lacking"]

_NOTHING = frozenset[str]()
_OPERATIONS: dict[type[Operation], frozenset[str]] = {
    Write: frozenset({"write"}),
    Zeroes: frozenset({"write", "zeroes"}),
    Resize: frozenset({"write", "resize"}),
    Stream: frozenset({"write", "stream"}),
    Fault: frozenset({"storage"}),
    Race: frozenset({"parallel"}),
}
_BACKING = {
    BackingKind.RAW: frozenset[str](),
    BackingKind.QCOW2: frozenset({"backing-qcow2"}),
    BackingKind.CHAIN: frozenset({"backing-add-cow"}),
}


class Unsupported(UsageError):
    """A target says that it has no such disks; no fault of anybody."""


def lacking(operation: Operation, abilities: frozenset[str]) -> frozenset[str]:
    """What a target lacks for an operation; nothing where it can be done."""
    lacks = _OPERATIONS.get(type(operation), _NOTHING) - abilities
    if isinstance(operation, Race):
        return lacks.union(lacking(operation.first, abilities), lacking(operation.second, abilities))
    return lacks


def backing_kinds(target: Target) -> tuple[BackingKind, ...]:
    """The kinds of backing files that a target says it has."""
    abilities = abilities_of(target)
    return tuple(kind for kind, needed in _BACKING.items() if needed <= abilities)


def check_disk(disk: Disk, target: Target, *, in_files: bool) -> None:
    """Check that a target has disks of that kind.

    Args:
        disk: the disk.
        target: the implementation.
        in_files: whether the disk is in files, and not in memory.

    Raises:
        Unsupported: it says that it has none.
        UsageError: it is a process of its own, and the disk is in memory.
    """
    if is_external(target) and not in_files:
        raise UsageError("a target in a process of its own needs a directory for the files")
    lacks = _BACKING[disk.backing.kind] - abilities_of(target) if disk.backing else ()
    if lacks:
        raise Unsupported(f"the target has not said {', '.join(lacks)}")
    about = getattr(target, "about", None)
    if about is not None and disk.revision not in about.revisions:
        raise Unsupported(f"the target has not said {disk.revision}")
