"""Any bytes are a qcow2 file that reads as its tables say, or that is refused, whole or where it is read.

What is read and told of the disk's first, middle and last part equals an arithmetic that shares no code with
the engine. A file that `qemu-img` was asked about reads as it was converted, and has the extents it listed.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

from addcow_conformance.checker import ChainFile, FileFormat
from addcow_fuzz._files import InputFiles
from addcow_fuzz._main import fuzz
from addcow_fuzz._packing import Record, name_of
from addcow_fuzz._plain import Broken, Plain
from addcow_fuzz._recorded import BASE, Recorded, recorded
from addcow_fuzz.invariants import Finding, strict
from addcow_fuzz.mutators import mutate_qcow2 as custom_mutator
from addcow_ref import open_layer
from addcow_spec.errors import ImageError
from addcow_spec.model import Role

if TYPE_CHECKING:
    from collections.abc import Iterable

    from addcow_ref import Extent, Layer, LayerInfo

__all__ = ["check_one", "custom_mutator"]

_WINDOW = 1024


def check_one(data: bytes) -> None:
    """Open the bytes as a qcow2 file, and read the disk.

    Raises:
        Finding: it is not what its tables, or QEMU, say.
    """
    files = InputFiles([Record(0, 0, data), Record(1, 0, BASE)])
    said = recorded(data)
    try:
        with strict("open", ImageError):
            layer = open_layer(files.open(name_of(0)), format="qcow2")
    except ImageError as error:
        if said and said.check == 0:
            raise Finding("qemu", f"it is sound: {error}", rule=error.rule, operation="open") from error
        return
    plain = Plain(files, [_file(index, info) for index, info in enumerate(layer.chain)])
    if layer.size != plain.size:
        raise Finding("oracle", f"{layer.size} bytes, not {plain.size}", operation="size")
    for start in sorted({0, layer.size // 2, max(layer.size - _WINDOW, 0)}):
        _compare(layer, plain, start, min(_WINDOW, layer.size - start))
    if said:
        _compare_recorded(layer, said)
    layer.close()


def _file(index: int, info: LayerInfo) -> ChainFile:
    """A layer, as the checker tells it."""
    parent, role = (index - 1, Role.BACKING) if index else (None, None)
    return ChainFile(index, info.path, FileFormat(info.format), parent, role, revision=info.revision)


def _compare(layer: Layer, plain: Plain, start: int, length: int) -> None:
    """Bytes and extents of a range, beside the tables."""
    try:
        expected: bytes | None = plain.read(start, length)
    except Broken:
        expected = None
    found = _read(layer, start, length)
    if found != expected:
        raise Finding("oracle", f"{length} bytes at {start}: {expected!r}, not {found!r}", operation="read")
    extents = _extents(layer, start, length)
    if found is None:
        return
    if extents is None:
        raise Finding("engine", f"{length} bytes at {start} are read, and not told", operation="extents")
    at = start
    for extent in extents:
        part = found[extent.start - start : extent.start + extent.length - start]
        if extent.start != at or len(part) != extent.length or not part or (extent.zero and any(part)):
            raise Finding("oracle", f"{extent} at {at}", operation="extents")
        at += extent.length
    if at != start + length:
        raise Finding("oracle", f"extents end at {at}, not {start + length}", operation="extents")


def _compare_recorded(layer: Layer, said: Recorded) -> None:
    """The whole disk, beside what QEMU made of it."""
    disk, extents = _read(layer, 0, layer.size), _extents(layer, 0, layer.size)
    if disk is None or extents is None:
        if said.check == 0:
            raise Finding("qemu", "it is sound, and cannot be read", operation="read")
        return
    if said.disk and sha256(disk).hexdigest() != said.disk:
        raise Finding("qemu", "it is converted to another disk", operation="read")
    # QEMU does not look for holes below allocated clusters.
    told = [(e.start, e.length, e.depth, e.present, e.zero and not e.data, e.data) for e in extents]
    if said.map and _merged(told) != _merged(said.map):
        raise Finding("qemu", f"extents {_merged(told)}, not {said.map}", operation="extents")


def _merged(extents: Iterable[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """The extents, those that follow each other and are alike made one."""
    found: list[tuple[int, ...]] = []
    for start, length, *kind in extents:
        if found and list(found[-1][2:]) == kind:
            start, length = found[-1][0], found.pop()[1] + length  # noqa: PLW2901 - it grows
        found.append((start, length, *kind))
    return found


def _read(layer: Layer, start: int, length: int) -> bytes | None:
    """Bytes of the disk; None where a table is broken."""
    buffer = bytearray(length)
    try:
        with strict("read", ImageError):
            layer.read_into(start, buffer)
    except ImageError as error:
        _judge(error, "read")
        return None
    return bytes(buffer)


def _extents(layer: Layer, start: int, length: int) -> list[Extent] | None:
    """The extents of a range; None where a table is broken."""
    try:
        with strict("extents", ImageError):
            return list(layer.extents(start, length))
    except ImageError as error:
        _judge(error, "extents")
        return None


def _judge(error: ImageError, operation: str) -> None:
    if error.rule != "ACW-QC2-017":
        raise Finding("engine", str(error), rule=error.rule, operation=operation) from error


if __name__ == "__main__":
    fuzz("qcow2")
