"""Workflow commands of GitHub Actions, which make annotations of a run."""

from __future__ import annotations

__all__ = ["MOST", "annotation"]

# The service drops what a step annotates beyond this, of each level.
MOST = 10

_DATA = str.maketrans({"%": "%25", "\r": "%0D", "\n": "%0A"})
_PROPERTY = _DATA | str.maketrans({":": "%3A", ",": "%2C"})


def annotation(level: str, message: str, **properties: str) -> str:
    """The line that makes an annotation.

    Args:
        level: ``error``, ``warning`` or ``notice``.
        message: its text, of any number of lines.
        properties: such as ``title`` and ``file``.
    """
    listed = ",".join(f"{key}={value.translate(_PROPERTY)}" for key, value in properties.items())
    return f"::{level} {listed}::{message.translate(_DATA)}\n"
