"""What every layer of a backing chain offers to the one above it: guest data, read-only."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

    from addcow_ref.storage import WritableBuffer

__all__ = ["Extent", "Layer", "LayerInfo"]


class Extent(NamedTuple):
    """A range of the disk whose bytes come from one place; the fields are those of ``qemu-img map``.

    Attributes:
        start: first byte of the range on the disk.
        length: its length in bytes, 1 or more.
        depth: layer that it is allocated in: 0 is the image itself, 1 its backing file and so on.
        present: whether any layer has it; without one it reads as zeros, and depth is that of the layer
            whose backing file is missing or too short.
        zero: whether it is known to read as zeros.
        data: whether bytes are stored for it.
        compressed: whether they are stored compressed.
        offset: where these bytes begin in ``path``, None where there are none or they are compressed.
        path: the file that holds them, None where offset is None.
    """

    start: int
    length: int
    depth: int
    present: bool
    zero: bool
    data: bool
    compressed: bool = False
    offset: int | None = None
    path: bytes | None = None

    def deeper(self) -> Extent:
        """The same, seen from the layer above."""
        start, length, depth, present, zero, data, compressed, offset, path = self
        return Extent(start, length, depth + 1, present, zero, data, compressed, offset, path)


class LayerInfo(NamedTuple):
    """A layer of a chain as people want to know it.

    Attributes:
        path: the file that was opened for it.
        format: ``add-cow``, ``raw`` or ``qcow2``.
        revision: revision of the header: ``v4`` to ``v10``, ``v2`` or ``v3``; empty for raw.
        size: bytes of guest data that it offers.
        image_path: the image file of an add-cow layer, else None.
    """

    path: bytes
    format: str
    revision: str
    size: int
    image_path: bytes | None = None


class Layer(Protocol):
    """Guest data of a backing file, through its own format. Every method may be called from any thread."""

    @property
    def size(self) -> int:
        """Bytes of guest data."""

    @property
    def chain(self) -> tuple[LayerInfo, ...]:
        """This layer and those below it, top down."""

    @property
    def below(self) -> Layer | None:
        """The layer under this one; None at the bottom. This one closes it."""

    def read_into(self, offset: int, buffer: WritableBuffer) -> None:
        """Fill ``buffer`` with guest data; the range lies inside the layer.

        Raises:
            StorageError: reading failed.
            ImageError: what the layer's tables say breaks a rule.
        """

    def extents(self, offset: int, length: int) -> Iterator[Extent]:
        """The range cut up by where its bytes come from, in order and without gaps; this layer has depth 0.

        Raises:
            StorageError: reading failed.
            ImageError: what the layer's tables say breaks a rule.
        """

    def close(self) -> None:
        """Close the files of this layer and of those below it."""
