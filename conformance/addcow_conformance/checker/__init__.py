"""The checker: is this add-cow image sound, and where is it not?

``check_image`` reads the whole triple (add-cow file, image file, backing chain) and answers with a `Report`.
It shares no code with the engine, and writes nothing: mending is in
`addcow_conformance.checker.repair`.
"""

from addcow_conformance.checker._check import CHECKED_RULES, check_image, has_magic
from addcow_conformance.checker._files import Identity, Opener, OpenFailed, OpenFile, Refusal
from addcow_conformance.checker._model import (
    BitmapSummary,
    Bucket,
    ChainFile,
    CheckOptions,
    FileFormat,
    HeaderField,
    Repair,
    Report,
    Verdict,
)

__all__ = [
    "CHECKED_RULES",
    "BitmapSummary",
    "Bucket",
    "ChainFile",
    "CheckOptions",
    "FileFormat",
    "HeaderField",
    "Identity",
    "OpenFailed",
    "OpenFile",
    "Opener",
    "Refusal",
    "Repair",
    "Report",
    "Verdict",
    "check_image",
    "has_magic",
]
