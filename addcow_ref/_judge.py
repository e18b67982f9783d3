"""Which broken rules keep an image from being opened, and which are only told."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from addcow_spec.errors import ImageError, InvalidImage
from addcow_spec.rules import Level, Profile, rule

if TYPE_CHECKING:
    from addcow_spec.model import Span

__all__ = ["Judge", "Note"]


class Note(NamedTuple):
    """Something about an image that does not keep it from being opened."""

    rule: str
    message: str


class Judge:
    """Takes what is wrong with an image, and raises where the profile says must.

    Attributes:
        profile: which reading of the rules.
        notes: what was found and did not keep the image from being opened.
    """

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self.notes: list[Note] = []

    def broken(
        self,
        identifier: str,
        message: str,
        *,
        span: Span | None = None,
        field: str = "",
        kind: type[ImageError] = InvalidImage,
    ) -> None:
        """Tell that a rule is broken.

        Raises:
            ImageError: of the kind that is given, where the rule is a must in the profile.
        """
        level = rule(identifier).level[self.profile]
        if level is Level.MUST:
            raise kind(message, rule=identifier, span=span, field=field)
        if level is not Level.ABSENT:
            self.notes.append(Note(identifier, message))
