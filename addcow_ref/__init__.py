"""The reference engine: what the add-cow format means, executable."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from addcow_ref._create import create_image
    from addcow_ref._file_storage import FileStorage
    from addcow_ref._finalize import finalize_image
    from addcow_ref._image import Image
    from addcow_ref._judge import Note
    from addcow_ref._layer import Extent, Layer, LayerInfo
    from addcow_ref._open import open_image, open_layer
    from addcow_ref.storage import OpenFailed, OpenReason, Storage

__all__ = [
    "Extent",
    "FileStorage",
    "Image",
    "Layer",
    "LayerInfo",
    "Note",
    "OpenFailed",
    "OpenReason",
    "Storage",
    "create_image",
    "finalize_image",
    "open_image",
    "open_layer",
]

# Loaded when asked for: the command line is a part of this package, and its help needs no engine.
_HOMES = {
    "create_image": "_create",
    "FileStorage": "_file_storage",
    "finalize_image": "_finalize",
    "Image": "_image",
    "Note": "_judge",
    **dict.fromkeys(("Extent", "Layer", "LayerInfo"), "_layer"),
    **dict.fromkeys(("open_image", "open_layer"), "_open"),
    **dict.fromkeys(("OpenFailed", "OpenReason", "Storage"), "storage"),
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = found = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    return found
