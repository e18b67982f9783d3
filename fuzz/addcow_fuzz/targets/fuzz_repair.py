"""A repair does what a dry run has told, is done once, and touches no data of the guest.

What it says it has mended is mended; an image that opened opens afterwards and reads the same; the backup has
the bytes that were replaced. Options: as those of `image`, then whether all is to be mended.
"""

from __future__ import annotations

import json
import os
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from addcow_conformance.checker import CheckOptions, Report
from addcow_conformance.checker.repair import repair_image
from addcow_fuzz._agreement import Reading, reading_of
from addcow_fuzz._made import take_apart
from addcow_fuzz._main import fuzz
from addcow_fuzz._packing import Record, name_of
from addcow_fuzz.invariants import Finding, strict
from addcow_fuzz.mutators import crossover_files as custom_crossover
from addcow_fuzz.mutators import mutate_files as custom_mutator
from addcow_ref import open_image
from addcow_spec.errors import ImageError, StorageError
from addcow_spec.rules import Repair

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["check_one", "custom_crossover", "custom_mutator"]

# File systems have limits, and what is compared is read whole.
_LONGEST_OTHER, _LONGEST = 1 << 40, 1 << 20
_WINDOW = 1024


def check_one(data: bytes) -> None:
    """Repair the first file of an input twice.

    Raises:
        Finding: the repair is not what it must be.
    """
    packed = take_apart(data)
    if not any(record.file == 0 for record in packed.records) or not all(map(_fits, packed.records)):
        return
    mode = Repair.ALL if packed.options & 8 else Repair.SAFE
    with TemporaryDirectory() as directory:
        _Trial(os.fsencode(directory), packed.records, reading_of(packed.options), mode).run()


def _fits(record: Record) -> bool:
    return record.offset <= (_LONGEST_OTHER if record.file else _LONGEST)


def _bits(report: Report, content: bytes) -> int:
    """The bits of all units, as one number."""
    if report.bitmap is None:
        return 0
    span, units = report.bitmap.span, report.bitmap.units
    return int.from_bytes(content[span.offset : span.end], "little") & (1 << units) - 1


class _Trial:
    """Files in a directory, and repairs of the first one."""

    def __init__(self, directory: bytes, records: Iterable[Record], reading: Reading, mode: Repair) -> None:
        self._directory = directory
        self._reading = reading
        self._mode = mode
        self._path = os.path.join(directory, name_of(0))
        for file, offset, data in records:
            descriptor = os.open(os.path.join(directory, name_of(file)), os.O_RDWR | os.O_CREAT, 0o600)
            os.pwrite(descriptor, data, offset)
            os.truncate(descriptor, max(os.fstat(descriptor).st_size, offset + len(data)))
            os.close(descriptor)

    def run(self) -> None:
        before, others, disk = self._content(), self._others(), self._disk()
        foreseen = self._repair(dry_run=True)
        if self._content() != before:
            raise Finding("oracle", "a dry run changes the file", operation="dry-run")
        done = self._repair()
        after = self._content()
        if done.problem:
            return
        if done.repairs != foreseen.repairs:
            raise Finding("oracle", f"{done.repairs}, foreseen {foreseen.repairs}", operation="dry-run")
        self._judge(done, before, after)
        if disk is not None and self._disk() != disk:
            raise Finding("oracle", "the disk is another one", operation="repair")
        again = self._repair()
        if again.repairs or self._content() != after:
            raise Finding("oracle", f"repaired again: {again.repairs}", operation="repair-again")
        if self._others() != others:
            raise Finding("oracle", "another file is changed", operation="repair")

    def _repair(self, *, dry_run: bool = False) -> Report:
        options = CheckOptions(self._reading.revision, self._reading.profile)
        with strict("repair"):
            return repair_image(self._path, options, mode=self._mode, dry_run=dry_run)

    def _judge(self, done: Report, before: bytes, after: bytes) -> None:
        left = {finding.rule for finding in done.findings if not finding.file}
        mended = {repair.rule for repair in done.repairs}
        if left & mended:
            rule = min(left & mended)
            raise Finding("oracle", "it is said to be mended, and is not", rule=rule, operation="repair")
        if _bits(done, before) != _bits(done, after):
            raise Finding("oracle", "bits that stand for units are changed", operation="repair")
        restored = bytearray(after)
        if done.backup:
            with open(done.backup, "rb") as lines:
                pieces = [json.loads(line) for line in lines]
            for piece in reversed(pieces):
                old = bytes.fromhex(piece["old"])
                restored[piece["offset"] : piece["offset"] + len(old)] = old
        if restored != before:
            raise Finding("oracle", "the backup does not give back what was there", operation="backup")

    def _content(self) -> bytes:
        with open(self._path, "rb") as file:
            return file.read()

    def _others(self) -> list[tuple[str, int, int]]:
        """Name, length and time of the other files, without backups."""
        with os.scandir(os.fsdecode(self._directory)) as found:
            return sorted(
                (entry.name, entry.stat().st_size, entry.stat().st_mtime_ns)
                for entry in found
                if "." not in entry.name and entry.name != name_of(0).decode()
            )

    def _disk(self) -> tuple[int, bytes | None, bytes | None] | None:
        """Size, first and last bytes of the disk; None where it is refused."""
        try:
            with open_image(
                self._path, revision=self._reading.revision, profile=self._reading.profile
            ) as image:
                last = max(image.size - _WINDOW, 0)
                length = min(_WINDOW, image.size)
                return image.size, image.read(0, length), image.read(last, length)
        except (ImageError, StorageError):
            return None


if __name__ == "__main__":
    fuzz("repair")
