"""Everything that must hold between two operations."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING

from addcow_conformance._units import Units
from addcow_conformance.programs._files import IMAGE, RAW
from addcow_conformance.programs._program import (
    Flush,
    Kill,
    Operation,
    Race,
    Read,
    Reopen,
    Resize,
    Stream,
    Write,
    Zeroes,
)
from addcow_conformance.programs._violation import Violation
from addcow_spec.geometry import Geometry
from addcow_spec.rules import Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from addcow_conformance.programs._session import Result, Session
    from addcow_conformance.programs._watch import Call
    from addcow_conformance.targets import Image
    from addcow_spec.model import Revision

__all__ = ["bits_set", "compare", "differing", "windows_of"]

# A disk of this size or less is read whole; of a larger one the windows that something happened in.
_WHOLE = 4 << 20
_WINDOW = 64 << 10
_ZEROS = bytes(_WINDOW)
# So many windows of a single request, and the last one.
_MANY = 16
# So many files are known to be sound.
_MOST_SOUND = 1 << 16
# Bytes of a difference that are kept, and that are told in a line.
_SHOWN, _TOLD = 32, 8
# The rule of bits that are wrong; and of those that are wrong after what is no write.
_BITS = "ACW-DYN-002"
_BITS_OF: dict[type[Operation | None], str] = {Resize: "ACW-DYN-011", Stream: "ACW-DYN-012"}


def compare(
    session: Session, rule: str, operation: Operation | None = None, result: Result | None = None
) -> None:
    """Compare the image with what it must be.

    Args:
        session: the image, and the oracle.
        rule: the rule that is broken where nothing tells more.
        operation: what was done last, None after creating.
        result: what became of it.

    Raises:
        Violation: the first difference.
    """
    if result:
        _compare_changes(session, operation, result)
    seen = len(session.watch.changes)
    session.checked = session.checked and session.files.private and not _written(session.watch.changes)
    flushing = isinstance(operation, Flush | Reopen) or (
        isinstance(operation, Resize) and result is not None and result.changes
    )
    flushed = result is None or (flushing and result.outcome == "done")
    if flushed or not session.files.private:
        _compare_backing(session)
    image = session.image
    if image is None:
        return
    if image.size != session.oracle.size:
        raise Violation("ACW-DYN-011", f"the size is {image.size}, and not {session.oracle.size}")
    _compare_bytes(session, image, rule, operation)
    _judge_comparison(session, seen)
    _compare_units(session, image, operation)
    _judge_comparison(session, seen)
    session.checked = session.checked and not _written(session.watch.changes)
    if flushed and not session.checked:
        _compare_files(session, operation)
        session.checked = True


def _written(changes: list[Call]) -> bool:
    return any(change.operation != "sync" for change in changes)


def _compare_backing(session: Session) -> None:
    for name, data in session.backing.files.items():
        if session.files.get(name) != data:
            raise Violation("ACW-DYN-004", f"the bytes of {name.decode()} have changed")


def _compare_changes(session: Session, operation: Operation | None, result: Result) -> None:
    """What was written to the files at all."""
    closing = isinstance(operation, Reopen | Kill)
    for change in result.changes:
        if change.name in session.backing.files:
            raise Violation("ACW-DYN-004", f"a backing file is written: {change}")
        if result.outcome == "refused" and change.operation != "sync":
            raise Violation(
                "ACW-DYN-007" if session.writable else "ACW-DYN-004",
                f"{operation} is refused, and does {change}",
            )
        if isinstance(operation, Read) or not (session.writable or closing):
            _judge_reading(session, operation, change)


def _judge_reading(session: Session, operation: object, change: Call) -> None:
    """A change of a file by what only reads; a page of the bitmap may have to leave the cache for it."""
    if change.operation != "sync" and not (session.writable and change.name == IMAGE):
        raise Violation("ACW-DYN-004", f"{operation} writes: {change}")


def _judge_comparison(session: Session, since: int) -> None:
    for change in session.watch.changes[since:]:
        _judge_reading(session, "a comparison", change)


# --- the disk's bytes


def _compare_bytes(session: Session, image: Image, rule: str, operation: Operation | None) -> None:
    for offset, length in _windows(session):
        data = image.read(offset, length)
        wrong = session.oracle.see(offset, data)
        if wrong is None:
            continue
        if isinstance(operation, Write | Zeroes) and 0 <= wrong - operation.offset < operation.length:
            rule = "ACW-DYN-001"
        found = differing(session, rule, f"bytes from {wrong} on are not the disk's", offset, data)
        raise _explained(session, image, found) if isinstance(operation, Write | Zeroes) else found


def _explained(session: Session, image: Image, found: Violation) -> Violation:
    """Bytes that are wrong after a write, or the wrong bit that is why."""
    try:
        _compare_units(session, image)
    except Violation as wrong:
        if wrong.rule == _BITS:
            return Violation(wrong.rule, f"{wrong.detail}: {found.detail}", found.difference)
    return found


def differing(session: Session, rule: str, what: str, offset: int, data: bytes) -> Violation:
    """A violation that shows the first bytes of ``data``, read at ``offset``, that cannot be the disk's."""
    wrong = session.oracle.see(offset, data)
    if wrong is None:
        raise AssertionError("the bytes may be the disk's")
    expected = session.oracle.read(wrong, _SHOWN)
    found = data[wrong - offset : wrong - offset + _SHOWN]
    shown = f"{found[:_TOLD].hex(' ')}, and not {expected[:_TOLD].hex(' ')}"
    return Violation(rule, f"{what}: {shown}", (wrong, expected, found))


def windows_of(operation: Operation) -> set[int]:
    """The windows of a large disk that an operation writes, by number; of many, some and the last one."""
    if isinstance(operation, Race):
        return windows_of(operation.first) | windows_of(operation.second)
    if not isinstance(operation, Write | Zeroes):
        return set()
    first, last = operation.offset // _WINDOW, (operation.offset + operation.length) // _WINDOW
    return {*range(first, min(last, first + _MANY)), last}


def _windows(session: Session) -> Iterator[tuple[int, int]]:
    size = session.oracle.size
    if size <= _WHOLE:
        yield 0, size
        return
    ends = {0, len(session.backing.data) // _WINDOW, (size - 1) // _WINDOW}
    for window in sorted(session.touched | ends):
        start = window * _WINDOW
        if start < size:
            yield start, min(_WINDOW, size - start)


# --- the bitmap


def _compare_units(session: Session, image: Image, operation: Operation | None = None) -> None:
    """Extents: complete, in order, true about zeros, and allocated where the oracle wants it."""
    if "extents" not in session.abilities:
        return
    oracle, found, at = session.oracle, Units(), 0
    for extent in image.extents():
        if extent.start != at or extent.length < 1:
            raise Violation(
                "ACW-DYN-001", f"an extent starts at {extent.start}, and the one before ends at {at}"
            )
        at += extent.length
        if at > oracle.size:
            break
        if extent.present and extent.depth == 0:
            found |= oracle.units(extent.start, extent.length)
        elif session.backing.depths(extent.start, at) != {extent.depth if extent.present else 0}:
            raise Violation("ACW-DYN-001", f"the extent at {extent.start} is in another layer")
        if extent.zero and not _is_zero(session, extent.start, at):
            raise Violation("ACW-DYN-001", f"the extent at {extent.start} is said to be zeros")
    if at != oracle.size:
        raise Violation("ACW-DYN-001", f"the extents end at {at}, and the disk at {oracle.size}")
    _judge_units(session, found, "in the extents", _BITS_OF.get(type(operation), _BITS))


def _is_zero(session: Session, start: int, end: int) -> bool:
    """Whether a range can read as zeros; of a large disk, its ends and where something happened."""
    pieces = [(start, end)]
    if session.oracle.size > _WHOLE:
        inside = ((max(at, start), min(at + length, end)) for at, length in _windows(session))
        ends = [(start, min(start + _WINDOW, end)), (max(end - _WINDOW, start), end)]
        pieces = [*ends, *(piece for piece in inside if piece[0] < piece[1])]
    return all(session.oracle.see(first, _zeros(stop - first)) is None for first, stop in pieces)


def _zeros(length: int) -> bytes:
    return _ZEROS[:length] if length <= _WINDOW else bytes(length)


def _judge_units(session: Session, found: Units, where: str, rule: str) -> None:
    wrong = session.oracle.see_units(found)
    if wrong:
        unit = min(wrong)
        state = "set" if unit in found else "clear"
        detail = f"unit {unit} is {state} {where}; {len(wrong)} units are wrong"
        raise Violation(rule, detail, otherwise=_BITS)


def _compare_files(session: Session, operation: Operation | None) -> None:
    """After a flush: the bits on disk, and what the checker says."""
    file = session.files.get(IMAGE)
    found, rule = bits_set(file, session.disk.revision, session.oracle.size), _BITS
    if isinstance(operation, Flush) and "extents" in session.abilities and found < session.oracle.must_be_set:
        rule = "ACW-DYN-005"  # the image shows them, so that they are in memory only
    _judge_units(session, found, "in the file", _BITS_OF.get(type(operation), rule))
    # All that the checker looks at, as it reads nothing of the image file, and what is below has not changed.
    looked_at = blake2b(file).digest(), session.files.length(RAW), session.warnings
    if looked_at in session.known.sound:
        return
    report = session.files.check(session.disk.revision)
    if report.problem:
        raise Violation("ACW-DYN-005", f"the checker: {report.problem}")
    for finding in report.findings:
        if report.severity(finding) is not Severity.NOTE and finding.rule not in session.warnings:
            raise Violation(finding.rule, f"the checker: {finding}")
    if session.files.private:
        if len(session.known.sound) > _MOST_SOUND:
            session.known.sound.clear()
        session.known.sound.add(looked_at)


def bits_set(file: bytes, revision: Revision, size: int) -> Units:
    """The units whose bits are set in the bytes of an add-cow file."""
    geometry = Geometry(revision, size)
    return Units.of_bitmap(file[geometry.bitmap_offset : geometry.bitmap_end])
