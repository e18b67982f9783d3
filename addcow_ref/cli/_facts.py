"""What there is to know of the layers of a chain, under qemu-img's names."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from addcow_ref import Image
from addcow_ref._qcow2 import Qcow2Layer
from addcow_ref.cli._errors import about
from addcow_spec.model import Features, HeaderV10
from addcow_spec.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from addcow_ref import Layer, LayerInfo
    from addcow_spec.model import Header

__all__ = ["layer_facts"]

_FEATURES = {
    Features.BACKING_FILE: "backing-file",
    Features.BACKING_FORMAT_NO_PROBE: "backing-format-no-probe",
}
_BLOCK = 512

# Feature bits of qcow2 that a reader gets past.
_DIRTY = 1
_CORRUPT = 2
_LAZY_REFCOUNTS = 1


def layer_facts(top: Layer) -> Iterator[dict[str, Any]]:
    """The facts of an opened layer, then those of each below it. No file is opened for them.

    Raises:
        Failure: a file has gone.
        AddCowError: reading failed.
    """
    layer: Layer | None = top
    chain = top.chain
    for info, under in zip(chain, [*chain[1:], None], strict=True):
        if layer is not None:
            yield _facts(layer, info, under)
            layer = layer.below


def _facts(layer: Layer, info: LayerInfo, below: LayerInfo | None) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "virtual-size": info.size,
        "filename": printable(info.path),
        "format": info.format,
        "actual-size": sum(_on_disk(path) for path in (info.path, info.image_path) if path),
        "dirty-flag": False,
    }
    if below is not None:
        facts["full-backing-filename"] = printable(below.path)
    if isinstance(layer, Image):
        facts |= _add_cow(layer)
    elif isinstance(layer, Qcow2Layer):
        facts |= _qcow2(layer)
    return facts


def _on_disk(path: bytes) -> int:
    """Bytes that the file takes on the disk."""
    with about(path):
        return os.stat(path).st_blocks * _BLOCK


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


def _qcow2(layer: Qcow2Layer) -> dict[str, Any]:
    header, reference = layer.header, layer.reference
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
