"""A target whose programs are told the path of an image, and look for it where they are run."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Generic, Self, TypeVar

from addcow_conformance.adapters._command import Place
from addcow_conformance.adapters._storage import Storage, vacated
from addcow_spec.errors import InvalidImage, UsageError

if TYPE_CHECKING:
    from addcow_spec.model import Revision

__all__ = ["TargetByPath"]

_Image = TypeVar("_Image")


class TargetByPath(ABC, Generic[_Image]):
    """Creating and opening as `targets.Target` has them; of storages no more is used than their paths."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def create_image(
        self,
        target: Storage,
        image_file: bytes,
        *,
        backing_file: bytes | None,
        backing_format: str | None,
        revision: Revision,
    ) -> None:
        """See `targets.Target.create_image`; the storage's file is removed first, if it is empty.

        Raises:
            UsageError: it is refused, or nothing was made.
            AdapterError: there is no answer.
        """
        path = vacated(target)
        self._create(Place(path, None, revision), image_file, backing_file or b"", backing_format or "")

    def open_image(
        self,
        target: Storage,
        *,
        writable: bool,
        revision: Revision,
        cache_size: int = 0,  # noqa: ARG002 - the program's own matter
    ) -> _Image:
        """See `targets.Target.open_image`. A relative path is one of the working directory as it is now.

        Raises:
            InvalidImage: it is refused; ``rule`` is the first that was named, or empty.
            AdapterError: there is no answer.
        """
        path = target.path
        target.close()
        place = Place(path, None if os.path.isabs(path) else os.getcwdb(), revision)
        try:
            return self._open(place, writable=writable)
        except UsageError as error:
            raise InvalidImage(str(error), rule=error.rule) from error

    @abstractmethod
    def close(self) -> None:
        """End what runs."""

    @abstractmethod
    def _create(self, place: Place, image_file: bytes, backing_file: bytes, backing_format: str) -> None:
        """Make an image where there is no file; what there is not is empty.

        Raises:
            UsageError: it is refused, or nothing was made.
        """

    @abstractmethod
    def _open(self, place: Place, *, writable: bool) -> _Image:
        """Open an image.

        Raises:
            UsageError: it is refused.
        """
