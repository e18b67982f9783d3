"""Opening what a loss of power has left, and judging it: by the disk, by the checker, and by streaming it."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from addcow_conformance._units import Units
from addcow_conformance.programs import IMAGE, RAW, Endless, Patience, Violation, check_memory
from addcow_ref.memory import MemoryFiles
from addcow_spec.errors import ImageError
from addcow_spec.rules import Severity

if TYPE_CHECKING:
    from collections.abc import Mapping

    from addcow_conformance.powerloss._allowed import Allowed, Moment
    from addcow_conformance.powerloss._history import History, State
    from addcow_conformance.programs import Disk
    from addcow_conformance.targets import Image, Target

__all__ = ["Checked", "Judge"]

# What the checker says, by all that it looks at: the add-cow file, and of the image file the length alone.
Checked: TypeAlias = dict[tuple[int, int], tuple[str, str] | None]
_MOST_CHECKED = 1 << 16


class Judge:
    """Judges the states of one disk.

    Args:
        disk: the disk.
        target: the implementation that opens them.
        backing: the files below, by name.
        checked: what the checker said of other states of the disk; takes what it says of these.
    """

    def __init__(
        self, disk: Disk, target: Target, backing: Mapping[bytes, bytes], checked: Checked | None = None
    ) -> None:
        self._disk = disk
        self._target = target
        self._files = MemoryFiles(backing)
        self._checked: Checked = {} if checked is None else checked

    def judge(self, history: History, moment: Moment, state: State) -> Violation | None:
        """What is wrong with a state at a moment; None where nothing is."""
        for name in (IMAGE, RAW):
            file = self._files.create(name)
            history.put(name, state, file)
            file.close()
        try:
            with Patience():
                return self._judge_files(state, moment)
        except (Exception, Endless) as error:  # noqa: BLE001 - whatever it is, what is left is of no use
            return Violation("ACW-DYN-005", f"using what is left: {type(error).__name__}: {error}")

    def _judge_files(self, state: State, moment: Moment) -> Violation | None:
        try:
            image = self._target.open_image(
                self._files.open(IMAGE, writable=True),
                writable=True,
                revision=self._disk.revision,
                cache_size=self._disk.cache_size,
            )
        except ImageError as error:
            if error.rule in moment.refusals:
                return None
            return Violation(error.rule, f"what is left is refused: {error}")
        return self._judge_opened(image, state, moment)

    def _judge_opened(self, image: Image, state: State, moment: Moment) -> Violation | None:
        fitting = [disk for disk in moment.disks if disk.size == image.size]
        if not fitting:
            sizes = " or ".join(str(disk.size) for disk in moment.disks)
            return Violation("ACW-DYN-011", f"the disk has {image.size} bytes, and not {sizes}")
        allowed = fitting[0]
        parts = [image.read(*window) for window in allowed.windows]
        units = _units(image, allowed.unit_size)
        fault = allowed.fault(parts, units)
        if fault and any(other.fault(parts, units) is None for other in fitting[1:]):
            fault = None
        fault = fault or self._check(state) or self._stream(image, allowed, parts)
        return Violation(*fault) if fault else None

    def _check(self, state: State) -> tuple[str, str] | None:
        """The first error that the checker finds (warnings are none)."""
        key = state.key(IMAGE), state.files[RAW].option.length
        if len(self._checked) > _MOST_CHECKED:
            self._checked.clear()
        if key not in self._checked:
            report = check_memory(self._files, self._disk.revision)
            errors = [f for f in report.findings if report.severity(f) is Severity.ERROR]
            self._checked[key] = (errors[0].rule, f"the checker: {errors[0]}") if errors else None
            if report.problem:
                self._checked[key] = "ACW-DYN-005", f"the checker: {report.problem}"
        return self._checked[key]

    def _stream(self, image: Image, allowed: Allowed, parts: list[bytes]) -> tuple[str, str] | None:
        """Streamed to its end, the image file alone is the disk that was found (ACW-DYN-012)."""
        size = image.size
        image.stream()
        image.close()
        raw = self._files.open(RAW)
        if raw.length() != size:
            return "ACW-DYN-012", f"the image file has {raw.length()} bytes after a stream, and not {size}"
        for (start, length), expected in zip(allowed.windows, parts, strict=True):
            found = bytearray(length)
            raw.read_into(start, found)
            if found != expected:
                return "ACW-DYN-012", f"after a stream the image file differs from the disk beyond {start}"
        return None


def _units(image: Image, unit: int) -> Units:
    """The units whose bits are set."""
    found = Units()
    for extent in image.extents():
        if extent.present and extent.depth == 0:
            found |= Units.between(extent.start // unit, -(-(extent.start + extent.length) // unit))
    return found
