"""What is below: damaged tables of a qcow2 backing file, and chains that are too long."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING

from addcow_conformance.adapters._make import make_image
from addcow_conformance.programs import Backing, BackingKind, Violation, make_backing
from addcow_conformance.suite._case import Bench, Case
from addcow_conformance.suite._made import create, open_made, put
from addcow_spec.errors import AdapterError, AddCowError
from addcow_spec.geometry import SECTOR_SIZE
from addcow_spec.model import Revision

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["cases"]

_LOST, _LONG, _FORGED = "ACW-QC2-017", "ACW-CHN-004", "ACW-CHN-003"
_LAYERS = 200
_SIZE = 128 << 10
# Where the header of a qcow2 file says that its table of tables is.
_L1_FIELD = 40
_OFFSET = (1 << 56) - 512
_BEYOND = 1 << 40


def _entry(file: bytearray, at: int) -> int:
    return int.from_bytes(file[at : at + 8], "big")


def _put_entry(file: bytearray, at: int, value: int) -> None:
    file[at : at + 8] = value.to_bytes(8, "big")


def _tables(file: bytearray) -> tuple[int, int]:
    """Where the first entry is that leads to a table, and the first one that leads to a cluster."""
    l1 = _entry(file, _L1_FIELD)
    table = _entry(file, l1) & _OFFSET
    return l1, next(at for at in range(table, len(file), 8) if _entry(file, at) & _OFFSET)


def _table_unaligned(file: bytearray) -> None:
    at, _ = _tables(file)
    _put_entry(file, at, _entry(file, at) + 512)


def _table_beyond(file: bytearray) -> None:
    at, _ = _tables(file)
    _put_entry(file, at, _entry(file, at) + _BEYOND)


def _cluster_unaligned(file: bytearray) -> None:
    _, at = _tables(file)
    _put_entry(file, at, _entry(file, at) + 512)


def _cluster_beyond(file: bytearray) -> None:
    _, at = _tables(file)
    _put_entry(file, at, _entry(file, at) + _BEYOND)


_DAMAGE: dict[str, tuple[str, Callable[[bytearray], None]]] = {
    "table-unaligned": ("an L2 table that is unaligned", _table_unaligned),
    "table-beyond-the-end": ("an L2 table beyond the end of the file", _table_beyond),
    "cluster-unaligned": ("a cluster that is unaligned", _cluster_unaligned),
    "cluster-beyond-the-end": ("a cluster beyond the end of the file", _cluster_beyond),
}


def cases() -> Iterator[Case]:
    """What can be wrong below, for each revision."""
    for revision in Revision:
        for slug, (what, damage) in _DAMAGE.items():
            yield Case(_LOST, revision, slug, f"a read that needs {what} fails", partial(_lost, damage))
        if revision is Revision.V10:
            title = "what is stated to be raw is raw, whatever it holds"
            yield Case(_FORGED, revision, "a-forged-header", title, _forged)
        yield Case(
            _LONG, revision, "as-many-as-may-be", "a chain of 200 layers is read", partial(_chain, _LAYERS)
        )
        yield Case(
            _LONG, revision, "one-too-many", "a chain of 201 layers is refused", partial(_chain, _LAYERS + 1)
        )


def _lost(damage: Callable[[bytearray], None], bench: Bench) -> None:
    bench.need("backing-qcow2")
    root = bench.folder()
    (name, data), *_ = make_backing(Backing(BackingKind.QCOW2, _SIZE)).files.items()
    file = bytearray(data)
    damage(file)
    path = os.path.join(root, b"disk.add-cow")
    put(os.path.join(root, name), bytes(file))
    put(os.path.join(root, b"disk.raw"), b"", _SIZE)
    put(path, b"")
    if create(bench, path, b"disk.raw", name, probed=True) is not None:
        return
    found = _read(bench, path, _SIZE)
    if found is None:
        raise Violation(_LOST, "bytes are read that are nowhere")


def _read(bench: Bench, path: bytes, size: int) -> AddCowError | None:
    """The error that opening and reading ends in, None where there is none."""
    try:
        image = open_made(bench, path, writable=False)
        try:
            image.read(0, size)
        finally:
            image.close()
    except AdapterError:
        raise
    except AddCowError as error:
        return error
    return None


def _forged(bench: Bench) -> None:
    """Guest data that looks like a header, in a backing file that is stated to be raw."""
    root = bench.folder()
    (_, data), *_ = make_backing(Backing(BackingKind.QCOW2, _SIZE)).files.items()
    path = os.path.join(root, b"disk.add-cow")
    put(os.path.join(root, b"base.raw"), data)
    put(os.path.join(root, b"disk.raw"), b"", len(data))
    put(path, b"")
    error = create(bench, path, b"disk.raw", b"base.raw")
    if error is not None:
        raise Violation(_FORGED, f"creating on a backing file that is stated to be raw fails: {error}")
    image = open_made(bench, path, writable=False)
    try:
        found = image.read(0, len(data))
    finally:
        image.close()
    if found != data:
        wrong = next(at for at in range(len(data)) if found[at : at + 1] != data[at : at + 1])
        difference = wrong, data[wrong : wrong + 32], found[wrong : wrong + 32]
        raise Violation(_FORGED, "what is stated to be raw is not read as it is", difference)


def _chain(length: int, bench: Bench) -> None:
    bench.need("backing-add-cow")
    root = bench.folder()
    for number in range(length):
        image, below = b"%d.raw" % number, b"%d.add-cow" % (number - 1) if number else b""
        put(os.path.join(root, image), b"", SECTOR_SIZE)
        make_image(os.path.join(root, b"%d.add-cow" % number), image, below, bench.revision, raw=False)
    refusal = _read(bench, os.path.join(root, b"%d.add-cow" % (length - 1)), SECTOR_SIZE)
    if length <= _LAYERS:
        if refusal is not None:
            raise Violation(_LONG, f"{length} layers are refused: {refusal}")
        return
    if refusal is None:
        raise Violation(_LONG, f"{length} layers are opened")
    named = getattr(refusal, "rule", "")
    if named not in {"", _LONG}:
        raise Violation(_LONG, f"{length} layers are refused by {named}")
