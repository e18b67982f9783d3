"""What sessions of one disk of one implementation have to learn only once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from addcow_ref.testing import Event

__all__ = ["Known"]


@dataclass(slots=True)
class Known:
    """What is known of a disk of an implementation; it holds as long as neither is changed.

    Attributes:
        created: the bytes of its new image; None until one has been created in memory.
        creation: what is written to create it; None until that has been done with a log.
        sound: files in which the checker found nothing, but for what it warns of in any; see `_compare.py`.
    """

    created: bytes | None = None
    creation: tuple[Event, ...] | None = None
    sound: set[tuple[bytes, int, frozenset[str]]] = field(default_factory=set)
