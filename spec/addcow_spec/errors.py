"""Errors that say whose fault it is.

``ImageError`` and its kinds blame the image and name the broken rule; ``UsageError`` blames the caller;
``ImageInUse`` another process; ``StorageError`` blames the storage and carries the ``OSError`` as its cause;
``AdapterError`` and its kinds blame a program that is tried, and say that it gave no answer to take for one.
Anything else that escapes is a bug of this project.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from addcow_spec.model import Span

__all__ = [
    "AdapterError",
    "AddCowError",
    "BackingChainError",
    "CannotStart",
    "Crashed",
    "ImageError",
    "ImageInUse",
    "InvalidImage",
    "MalformedImage",
    "ProtocolViolation",
    "SanitizerReport",
    "StorageError",
    "TimedOut",
    "UnsupportedImage",
    "UsageError",
]


class AddCowError(Exception):
    """Base of every error that this project raises on purpose."""


class ImageError(AddCowError):
    """The image breaks a rule.

    Attributes:
        rule: id of the rule, for example ``ACW-HDR-002``.
        span: the bytes at fault in the file, or None where no byte range is to blame.
        field: dotted path of the field at fault, empty where there is none.
    """

    def __init__(self, message: str, *, rule: str, span: Span | None = None, field: str = "") -> None:
        super().__init__(message)
        self.rule = rule
        self.span = span
        self.field = field


class MalformedImage(ImageError):
    """The bytes cannot be taken apart: magic, version, truncation."""


class InvalidImage(ImageError):
    """The bytes parse, and what they say breaks a rule."""


class UnsupportedImage(ImageError):
    """The image asks for a feature that no reader of this project has."""


class BackingChainError(ImageError):
    """A file that the image names is missing, unreadable, used twice or part of a cycle."""


class UsageError(AddCowError):
    """The caller asked for something that makes no sense.

    Attributes:
        rule: id of the rule that forbids it, for example ``ACW-DYN-007``; empty where none does.
    """

    def __init__(self, message: str, *, rule: str = "") -> None:
        super().__init__(message)
        self.rule = rule


class ImageInUse(AddCowError):
    """Another process has the file locked (ACW-DYN-014).

    Attributes:
        path: the file that is locked.
        rule: ``ACW-DYN-014``.
    """

    rule = "ACW-DYN-014"

    def __init__(self, message: str, *, path: bytes) -> None:
        super().__init__(message)
        self.path = path


class StorageError(AddCowError):
    """Reading or writing failed; ``__cause__`` is the ``OSError``."""


class AdapterError(AddCowError):
    """A program that is tried has given no answer: neither a result nor a refusal.

    Attributes:
        said: the last lines that it wrote to its standard error, fit to be shown; the owner of the program
            sets them.
    """

    said: tuple[str, ...] = ()


class CannotStart(AdapterError):
    """There is no such program, or it has ended, or said nothing, before it said who it is."""


class ProtocolViolation(AdapterError):
    """A line is not what the protocol has in its place."""


class TimedOut(AdapterError):
    """The program has not answered in time."""


class Crashed(AdapterError):
    """The program has ended while it was needed: by a signal, or of itself."""


class SanitizerReport(Crashed):
    """A sanitizer has reported a fault of memory, threads or arithmetic, whatever the program answered."""
