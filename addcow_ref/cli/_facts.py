"""What there is to know of the layers of a chain, under qemu-img's names."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from addcow_ref import FileStorage, Image, open_image
from addcow_ref._qcow2_header import qcow2_reference, read_qcow2_header
from addcow_ref.cli._errors import about
from addcow_spec.model import Features, HeaderV10
from addcow_spec.text import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from addcow_ref import Layer, LayerInfo
    from addcow_spec.model import Header

__all__ = ["chain_facts"]

_FEATURES = {
    Features.BACKING_FILE: "backing-file",
    Features.BACKING_FORMAT_NO_PROBE: "backing-format-no-probe",
}
_BLOCK = 512

# Feature bits of qcow2 that a reader gets past.
_DIRTY = 1
_CORRUPT = 2
_LAZY_REFCOUNTS = 1


def chain_facts(layer: Layer) -> list[dict[str, Any]]:
    """The facts of an opened layer and of those below it, top down.

    Raises:
        Failure: a layer below cannot be opened a second time.
        AddCowError: reading failed.
    """
    chain = layer.chain
    below: Sequence[LayerInfo | None] = [*chain[1:], None]
    top = layer if isinstance(layer, Image) else None
    return [
        _facts(info, under, None if number else top)
        for number, (info, under) in enumerate(zip(chain, below, strict=True))
    ]


def _facts(info: LayerInfo, below: LayerInfo | None, opened: Image | None) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "virtual-size": info.size,
        "filename": printable(info.path),
        "format": info.format,
        "actual-size": sum(_on_disk(path) for path in (info.path, info.image_path) if path),
        "dirty-flag": False,
    }
    if below is not None:
        facts["full-backing-filename"] = printable(below.path)
    if info.format == "add-cow":
        facts |= _add_cow(opened) if opened else _add_cow_below(info)
    elif info.format == "qcow2":
        facts |= _qcow2(info)
    return facts


def _on_disk(path: bytes) -> int:
    """Bytes that the file takes on the disk."""
    with about(path):
        return os.stat(path).st_blocks * _BLOCK


def _add_cow_below(info: LayerInfo) -> dict[str, Any]:
    # The chain that is open holds the locks already.
    with about(info.path), open_image(info.path, lock=False) as image:
        return _add_cow(image)


def _add_cow(image: Image) -> dict[str, Any]:
    facts: dict[str, Any] = {"cluster-size": image.unit_size}
    if image.backing_file is not None:
        facts["backing-filename"] = printable(image.backing_file)
    features = _features(image.header)
    if _FEATURES[Features.BACKING_FORMAT_NO_PROBE] in features:
        facts["backing-filename-format"] = "raw"
    data = {
        "revision": image.revision.value,
        "image-file": printable(image.image_file),
        "full-image-filename": printable(image.image_path),
        "features": features,
        "unit-size": image.unit_size,
        "units": image.units,
        "allocated-units": image.allocated_units(),
        "notes": [f"{note.rule}: {note.message}" for note in image.notes],
    }
    return facts | {"format-specific": {"type": "add-cow", "data": data}}


def _features(header: Header) -> list[str]:
    if not isinstance(header, HeaderV10):
        return []
    return [_FEATURES.get(bit, hex(bit)) for bit in map(Features, _bits(header.features))]


def _bits(value: int) -> list[int]:
    return [1 << place for place in range(value.bit_length()) if value >> place & 1]


def _qcow2(info: LayerInfo) -> dict[str, Any]:
    with about(info.path):
        file = FileStorage.open_path(info.path)
        try:
            header, _ = read_qcow2_header(file)
            reference = qcow2_reference(file, header)
        finally:
            file.close()
    facts: dict[str, Any] = {
        "cluster-size": 1 << header.cluster_bits,
        "dirty-flag": bool(header.incompatible_features & _DIRTY),
    }
    if reference is not None:
        facts["backing-filename"] = printable(reference.name)
        if reference.format is not None:
            facts["backing-filename-format"] = printable(reference.format)
    data: dict[str, Any] = {"compat": "0.10" if header.version == 2 else "1.1"}
    if header.version > 2:
        data["lazy-refcounts"] = bool(header.compatible_features & _LAZY_REFCOUNTS)
        data["corrupt"] = bool(header.incompatible_features & _CORRUPT)
    data["refcount-bits"] = 1 << header.refcount_order
    return facts | {"format-specific": {"type": "qcow2", "data": data}}
