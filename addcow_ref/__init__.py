"""The reference engine: what the add-cow format means, executable."""

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
